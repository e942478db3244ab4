// SPDX-License-Identifier: BSD-3-Clause
// Dense factorisations of small host matrices in fp64, by LAPACK. Each throws std::runtime_error when LAPACK fails.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "matrix/small.hpp"

namespace sigmascope {

struct Eigen {
  std::vector<double> values;
  Small vectors;  // columns
};
struct EigenRows {
  std::vector<double> values;
  Small first, last;  // rows of the vectors, which are columns
};
struct SmallSvd {
  Small u;                // m x min(m, n)
  std::vector<double> s;  // descending
  Small v;                // n x min(m, n)
};

Small matmul(const Small& a, const Small& b);          // a b
Small matmul_adjoint(const Small& a, const Small& b);  // a^T b
std::vector<double> column_norms(const Small& a);

// All eigenpairs of a symmetric matrix (lower triangle read), descending: dsyevd.
Eigen eigh(Small a);
// The k largest eigenpairs, descending.
Eigen eigh_top(Small a, std::int64_t k);
// All eigenvalues, descending, and of the eigenvectors the first and the last rows: half the work of all.
EigenRows eigh_rows(Small a, std::int64_t first, std::int64_t last);
// The norms of a x - lambda x for such pairs; the lower triangle of a is read.
std::vector<double> symmetric_residuals(const Small& a, const Eigen& pairs);
SmallSvd svd(Small a);
// Upper triangular R with R^T R = a, unless a is not positive definite.
std::optional<Small> cholesky(Small a);
Small inverse_upper(Small r);

}  // namespace sigmascope
