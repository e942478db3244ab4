// SPDX-License-Identifier: BSD-3-Clause
// The BLAS and LAPACK routines that the kernels call, under the prefix of scipy-openblas32.
// OpenBLAS is kept to one thread: our own threads call it side by side, and its bits then depend on
// nothing but the arguments.
#pragma once

extern "C" {
void scipy_dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                  const double* alpha, const double* a, const int* lda, const double* b,
                  const int* ldb, const double* beta, double* c, const int* ldc);
void scipy_dsytrd_(const char* uplo, const int* n, double* a, const int* lda, double* d, double* e,
                   double* tau, double* work, const int* lwork, int* info);
void scipy_dsymv_(const char* uplo, const int* n, const double* alpha, const double* a,
                  const int* lda, const double* x, const int* incx, const double* beta, double* y,
                  const int* incy);
void scipy_dgeqrt3_(const int* m, const int* n, double* a, const int* lda, double* t,
                    const int* ldt, int* info);
void scipy_dgemqrt_(const char* side, const char* trans, const int* m, const int* n, const int* k,
                    const int* nb, const double* v, const int* ldv, const double* t, const int* ldt,
                    double* c, const int* ldc, double* work, int* info);
void scipy_dtrtri_(const char* uplo, const char* diag, const int* n, double* a, const int* lda,
                   int* info);
void scipy_dpttrf_(const int* n, double* d, double* e, int* info);
void scipy_dlasq1_(const int* n, double* d, double* e, double* work, int* info);
void scipy_openblas_set_num_threads(int threads);
char* scipy_openblas_get_config();
char* scipy_openblas_get_corename();
}

namespace sigmascope {

// Throws std::runtime_error, which says what helps, if a product of small integer matrices is not
// exact: OpenBLAS chooses kernels by the processor, and not all are right (those for SME are wrong
// in an emulator, whatever the length of its vectors).
void check_products();

}  // namespace sigmascope
