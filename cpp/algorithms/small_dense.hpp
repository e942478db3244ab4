// SPDX-License-Identifier: BSD-3-Clause
// Dense factorisations of small host matrices in fp64, by LAPACK. Each throws std::runtime_error
// when LAPACK fails.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "matrix/small.hpp"

namespace sigmascope {

struct EigenPairs {
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
Small gram_of(const Small& a);                         // a^T a, its upper triangle
std::vector<double> column_norms(const Small& a);

// All eigenpairs of a symmetric matrix (lower triangle read), descending: dsyevd.
EigenPairs eigh(Small a);

// A symmetric matrix (lower triangle read) as Q Z diag(values) Z^T Q^T, Q being reflections that
// make it tridiagonal, Z from divide and conquer (Gu & Eisenstat 1995): what is wanted of the
// eigenvectors Q Z is turned back then, at half the cost of all. Relatively robust representations
// (dsyevr) would find a few vectors alone, but take twice as long at these sizes, and repeat a
// vector where eigenvalues are equal.
class Diagonalized {
 public:
  explicit Diagonalized(Small matrix);
  std::int64_t order() const { return order_; }
  // The k largest eigenpairs, descending.
  EigenPairs top(std::int64_t k) const;
  // All eigenvalues, descending, and of the eigenvectors the first and the last rows.
  EigenRows rows(std::int64_t first, std::int64_t last) const;

 private:
  void turn(const char* side, Small& x) const;  // Q x ("L") or x Q ("R")

  int order_;
  Small reflections_, z_;
  std::vector<double> values_, tau_;  // values ascending
};
// The norms of a x - lambda x for such pairs; the lower triangle of a is read.
Small symmetric_product(const Small& a, const Small& x);  // a x, of a the lower triangle
std::vector<double> symmetric_residuals(const Small& a, const EigenPairs& pairs);
SmallSvd svd(Small a);
// Upper triangular R with R^T R = a, unless a is not positive definite.
std::optional<Small> cholesky(Small a);
Small inverse_upper(Small r);
// a^-1 b, unless a is singular: LU with partial pivoting.
std::optional<Small> solution(Small a, Small b);

}  // namespace sigmascope
