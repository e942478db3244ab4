// SPDX-License-Identifier: BSD-3-Clause
#include "algorithms/small_dense.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

extern "C" {
void scipy_dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*,
                  const int*, const double*, const int*, const double*, double*, const int*);
void scipy_dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*, const int*, int*,
                   const int*, int*);
void scipy_dsyevr_(const char*, const char*, const char*, const int*, double*, const int*, const double*, const double*,
                   const int*, const int*, const double*, int*, double*, double*, const int*, int*, double*, const int*,
                   int*, const int*, int*);
void scipy_dgesdd_(const char*, const int*, const int*, double*, const int*, double*, double*, const int*, double*,
                   const int*, double*, const int*, int*, int*);
void scipy_dpotrf_(const char*, const int*, double*, const int*, int*);
void scipy_dtrtri_(const char*, const char*, const int*, double*, const int*, int*);
}

namespace sigmascope {

namespace {

int to_int(std::int64_t n) {
  if (n > 46340)
    throw std::invalid_argument("a small matrix of order " + std::to_string(n) + " exceeds LAPACK's 32-bit indices");
  return static_cast<int>(n);
}

void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine + " failed with info = " + std::to_string(failed));
}

Small gemm(const char* transa, const Small& a, const Small& b, std::int64_t m, std::int64_t k) {
  Small c(m, b.cols);
  if (m == 0 || b.cols == 0 || k == 0) return c;
  const int mi = to_int(m), n = to_int(b.cols), ki = to_int(k), lda = to_int(a.rows), ldb = to_int(b.rows);
  const double one = 1, zero = 0;
  scipy_dgemm_(transa, "N", &mi, &n, &ki, &one, a.data(), &lda, b.data(), &ldb, &zero, c.data(), &mi);
  return c;
}

}  // namespace

Small matmul(const Small& a, const Small& b) { return gemm("N", a, b, a.rows, a.cols); }
Small matmul_adjoint(const Small& a, const Small& b) { return gemm("T", a, b, a.cols, a.rows); }

Eigen eigh(Small a) {
  const int n = to_int(a.rows);
  Eigen result{std::vector<double>(static_cast<std::size_t>(n)), Small()};
  if (n > 0) {
    double work_size = 0;
    int iwork_size = 0, query = -1, failed = 0;
    scipy_dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), &work_size, &query, &iwork_size, &query, &failed);
    int lwork = static_cast<int>(work_size), liwork = iwork_size;
    std::vector<double> work(static_cast<std::size_t>(lwork));
    std::vector<int> iwork(static_cast<std::size_t>(liwork));
    scipy_dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), work.data(), &lwork, iwork.data(), &liwork,
                  &failed);
    check("dsyevd", failed);
  }
  std::reverse(result.values.begin(), result.values.end());
  result.vectors = Small(n, n);
  for (std::int64_t j = 0; j < n; ++j) std::copy_n(&a(0, n - 1 - j), n, &result.vectors(0, j));
  return result;
}

namespace {

Eigen first(Eigen all, std::int64_t k) {
  all.values.resize(static_cast<std::size_t>(k));
  all.vectors = all.vectors.part(0, all.vectors.rows, 0, k);
  return all;
}

}  // namespace

Eigen eigh_top(const Small& matrix, std::int64_t k) {
  const int n = to_int(matrix.rows);
  if (2 * k >= n) return first(eigh(matrix), k);
  Small a = matrix;
  const int low = n - static_cast<int>(k) + 1;
  const double unused = 0, tolerance = 0;
  double work_size = 0;
  int found = 0, iwork_size = 0, query = -1, failed = 0;
  std::vector<double> values(static_cast<std::size_t>(n));
  std::vector<int> support(static_cast<std::size_t>(2 * n));
  Small z(n, k);
  scipy_dsyevr_("V", "I", "L", &n, a.data(), &n, &unused, &unused, &low, &n, &tolerance, &found, values.data(),
                z.data(), &n, support.data(), &work_size, &query, &iwork_size, &query, &failed);
  int lwork = static_cast<int>(work_size), liwork = iwork_size;
  std::vector<double> work(static_cast<std::size_t>(lwork));
  std::vector<int> iwork(static_cast<std::size_t>(liwork));
  scipy_dsyevr_("V", "I", "L", &n, a.data(), &n, &unused, &unused, &low, &n, &tolerance, &found, values.data(),
                z.data(), &n, support.data(), work.data(), &lwork, iwork.data(), &liwork, &failed);
  check("dsyevr", failed);
  Eigen result{std::vector<double>(static_cast<std::size_t>(k)), Small(n, k)};
  for (std::int64_t j = 0; j < k; ++j) {
    result.values[static_cast<std::size_t>(j)] = values[static_cast<std::size_t>(k - 1 - j)];
    std::copy_n(&z(0, k - 1 - j), n, &result.vectors(0, j));
  }
  // Inverse iteration can repeat a vector where eigenvalues are equal.
  const Small square = matmul_adjoint(result.vectors, result.vectors);
  for (std::int64_t j = 0; j < k; ++j)
    for (std::int64_t i = 0; i <= j; ++i)
      if (!(std::abs(square(i, j) - (i == j ? 1.0 : 0.0)) < 1e-10)) return first(eigh(matrix), k);
  return result;
}

SmallSvd svd(Small a) {
  const int m = to_int(a.rows), n = to_int(a.cols), p = std::min(m, n);
  SmallSvd result{Small(m, p), std::vector<double>(static_cast<std::size_t>(p)), Small()};
  Small vt(p, n);
  if (p > 0) {
    double work_size = 0;
    int query = -1, failed = 0;
    std::vector<int> iwork(static_cast<std::size_t>(8 * p));
    scipy_dgesdd_("S", &m, &n, a.data(), &m, result.s.data(), result.u.data(), &m, vt.data(), &p, &work_size, &query,
                  iwork.data(), &failed);
    int lwork = static_cast<int>(work_size);
    std::vector<double> work(static_cast<std::size_t>(lwork));
    scipy_dgesdd_("S", &m, &n, a.data(), &m, result.s.data(), result.u.data(), &m, vt.data(), &p, work.data(), &lwork,
                  iwork.data(), &failed);
    check("dgesdd", failed);
  }
  result.v = vt.transposed();
  return result;
}

std::optional<Small> cholesky(Small a) {
  const int n = to_int(a.rows);
  int failed = 0;
  if (n > 0) scipy_dpotrf_("U", &n, a.data(), &n, &failed);
  if (failed > 0) return std::nullopt;
  check("dpotrf", failed);
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = j + 1; i < n; ++i) a(i, j) = 0;
  return a;
}

Small inverse_upper(Small r) {
  const int n = to_int(r.rows);
  int failed = 0;
  if (n > 0) scipy_dtrtri_("U", "N", &n, r.data(), &n, &failed);
  check("dtrtri", failed);
  return r;
}

}  // namespace sigmascope
