// SPDX-License-Identifier: BSD-3-Clause
// Dense factorisations of small host matrices in fp64, by LAPACK for the most part. Each function
// throws std::runtime_error if LAPACK fails.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/small_tridiagonal.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

struct EigenRows {
  std::vector<double> values;
  Small first, last;  // the first and the last rows of the eigenvectors
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

// Symmetric eigenproblems: small_eigen.cpp.
//
// All eigenpairs of a symmetric matrix, descending, from its lower triangle (dsyevd).
EigenPairs eigh(Small a);

// A symmetric matrix, given by its lower triangle, as Q Z diag(values) Z^T Q^T. Z comes from divide
// and conquer (Gu & Eisenstat 1995). Q is applied only to the parts of the eigenvectors Q Z that
// are asked for, which halves the cost.
class Diagonalized {
 public:
  explicit Diagonalized(Small matrix);
  explicit Diagonalized(Tridiagonalized matrix);
  std::int64_t order() const { return order_; }
  // The k largest eigenpairs, descending.
  EigenPairs top(std::int64_t k) const;
  // All eigenvalues, descending, with the first and the last rows of the eigenvectors.
  EigenRows rows(std::int64_t first, std::int64_t last) const;

 private:
  Tridiagonalized tridiagonal_;
  int order_;
  Small z_;
  std::vector<double> values_;  // ascending
};

// The k largest eigenpairs of a symmetric matrix, descending, from its lower triangle. A few
// vectors come from inverse iteration, which takes an eighth of the time of divide and conquer for
// 8 vectors of order 128, and makes vectors of close or equal values orthogonal. Where it does not
// find them all, they come from divide and conquer. Relatively robust representations (dstemr) take
// three times as long, and may repeat a vector if eigenvalues are equal.
EigenPairs top_eigenpairs(Small matrix, std::int64_t k);
// Eigenvectors of the k largest values, of the values given in descending order.
Small top_eigenvectors(const Tridiagonalized& matrix, const std::vector<double>& values,
                       std::int64_t k);
// All eigenvalues, descending, with the first and the last rows of the eigenvectors, by the
// implicit QL method. A few rows take half of the time of divide and conquer, or less. Nothing
// if a value does not converge.
std::optional<EigenRows> eigen_rows(const Tridiagonalized& matrix, std::int64_t first,
                                    std::int64_t last);

// a x for a symmetric matrix a, given by its lower triangle.
Small symmetric_product(const Small& a, const Small& x);
// The norms of a x - lambda x for eigenpairs of such a matrix.
std::vector<double> symmetric_residuals(const Small& a, const EigenPairs& pairs);
// A small SVD whose values are right to rounding; see small_svd.cpp. The shorter side of the matrix
// is at most `largest_svd`: dbdsdc counts the numbers of its workspace in 32 bits.
inline constexpr std::int64_t largest_svd = 32767;
SmallSvd svd(Small a);
// Upper triangular R with R^T R = a; nothing if a is not positive definite.
std::optional<Small> cholesky(Small a);
Small inverse_upper(Small r);
// a^-1 b by LU with partial pivoting; nothing if a is singular.
std::optional<Small> solution(Small a, Small b);

}  // namespace sigmascope
