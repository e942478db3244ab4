// SPDX-License-Identifier: BSD-3-Clause
// Singular triplets from an orthonormal basis of a right subspace, with their true residuals.
// Values come from QR(A V), never from the projected A^T A, whose small eigenvalues are lost in
// rounding.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "algorithms/orthonormalize.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <Backend B>
struct Triplets {
  typename B::Block u;  // m x k
  std::vector<double> s;
  typename B::Block v;            // n x k
  std::vector<double> residuals;  // max(|A v - s u|, |A^T u - s v|), from products of A
  Small r;                        // A V = Q R for the basis V that the triplets come from
  double measuring = 0;           // the part of each residual that allows for rounding errors
  double deviation = 0;           // the largest element of U^T U - I and V^T V - I
  double factoring = 0;           // error of every value by QR(A V), where it is beyond rounding
};

// Rounding error of a value from QR(A V), in units of sigma_1. Measured, in units of epsilon: below
// 25, except if all entries have the same sign, and with them the rounding errors of long sums: up
// to 56 in fp32 and 110 in fp64.
inline constexpr double resolution(double epsilon) {
  const double roundings = epsilon < 1e-12 ? 192 : 96;
  return roundings * epsilon;
}

template <Backend B>
double rounding_floor(const std::vector<double>& s) {
  return resolution(B::epsilon()) * (s.empty() ? 0.0 : s.front());
}

// An orthogonal matrix whose first columns are those of v (k x rank).
inline Small completed(const Small& v) {
  const std::int64_t k = v.rows, rank = v.cols;
  Small gap = Small::identity(k);  // I - V V^T has eigenvalue 1 on the complement
  const Small projector = matmul(v, v.transposed());
  for (std::size_t e = 0; e < gap.values.size(); ++e) gap.values[e] -= projector.values[e];
  Small completed(k, k);
  completed.set_part(0, 0, v);
  completed.set_part(0, rank, eigh(gap).vectors.part(0, k, 0, k - rank));
  return completed;
}

// C = R^-1 L, for which A^T A V C = A^T U with U = Q L and A V = Q R, if rounding errors hardly
// grow in it. The rounding error of each column of A^T A V is relative to the norm of that of A V.
// If V holds Ritz vectors, C hardly mixes columns of large and small norm. C = V diag(1/s) from the
// SVD of R would do so: its small vectors, and those of U, are only right to roundings of the
// largest value.
inline std::optional<Small> adjoint_coefficients(const Small& r, const Small& left,
                                                 const std::vector<double>& norms) {
  constexpr double most = 2;
  if (r.rows != r.cols) return std::nullopt;
  std::optional<Small> coefficients = solution(r, left);
  if (!coefficients) return std::nullopt;
  for (std::int64_t j = 0; j < left.cols; ++j) {
    double square = 0;
    for (std::int64_t i = 0; i < r.cols; ++i) {
      const double part = norms[as_size(i)] * (*coefficients)(i, j);
      square += part * part;
    }
    if (!(square <= most * most)) return std::nullopt;
  }
  return coefficients;
}

// Kind of the columns of a basis: Ritz vectors are nearly singular vectors.
enum class Columns : std::uint8_t { any, ritz };

// The largest element of X^T X - I, from the upper triangle of X^T X.
inline double deviation(const Small& square) {
  double most = 0;
  for (std::int64_t j = 0; j < square.cols; ++j)
    for (std::int64_t i = 0; i <= j; ++i)
      most = std::max(most, std::abs(square(i, j) - (i == j ? 1.0 : 0.0)));
  return most;
}
template <Backend B>
double deviation(B& device, const typename B::Block& x) {
  return deviation(inner(device, x, x));
}

// Vectors that deviate by more than this are not orthonormal to rounding.
template <Backend B>
double orthonormal_to() {
  return 160 * B::epsilon();
}

// The basis, orthonormalised again if needed. Random columns replace columns that were linear
// combinations of others.
template <Backend B>
typename B::Block repaired(B& device, typename B::Block basis, std::uint64_t seed) {
  if (deviation(device, basis) <= orthonormal_to<B>() / 2) return basis;
  const std::int64_t n = basis.rows, d = basis.cols;
  std::vector<typename B::Block> parts;
  parts.push_back(orthonormalize(device, parts, std::move(basis), 1024 * B::epsilon()).q);
  const std::int64_t rank = parts.front().cols;
  if (rank == d) return std::move(parts.front());
  parts.push_back(orthonormalize(device, parts, device.gaussian(n, d - rank, seed, d), 0.0).q);
  return combine_basis(device, parts, Small::identity(d));
}

// The norms of X C - Y diag(s), column by column.
template <Backend B>
std::vector<double> defects(B& device, const typename B::Block& x, const Small& c,
                            const typename B::Block& y, const std::vector<double>& s) {
  auto defect = device.zeros(x.rows, c.cols);
  combine(device, defect, x, c);
  Small minus(y.cols, y.cols);
  for (std::int64_t j = 0; j < y.cols; ++j) minus(j, j) = -s[as_size(j)];
  combine(device, defect, y, minus);
  return column_norms(device, defect);
}

// Bound on |s_i - sigma_i(A V)| from |A v - s u| of all vectors, which QR(A V) makes as small as
// rounding, unless columns were nearly dependent on others.
inline double factoring_error(const std::vector<double>& right, double rounding) {
  if (largest_of(right) <= rounding) return 0;
  double squares = 0;
  for (const double defect : right) squares += defect * defect;
  return std::sqrt(squares);
}

// Set the residuals of triplets, from |A v - s u| (right) and |A^T u - s v| (left).
template <Backend B>
void finish(Triplets<B>& of, const std::vector<double>& right, const std::vector<double>& left) {
  of.measuring = of.s.empty() ? 0 : 48 * B::epsilon() * of.s.front();  // measured: up to 42
  for (std::size_t j = 0; j < of.s.size(); ++j) {
    of.residuals.push_back(std::max(right[j], left[j]) + of.measuring);
    if (!std::isfinite(of.residuals[j] + of.s[j]))
      throw std::runtime_error("a singular value or its residual is not finite");
  }
}

// Q L for the first `rank` columns of L, and random orthonormal vectors for its other columns.
template <Backend B>
typename B::Block left_vectors(B& device, typename B::Block q, const Small& left, std::int64_t rank,
                               std::uint64_t seed) {
  const std::int64_t m = q.rows, k = left.cols;
  auto u = device.zeros(m, k);
  if (rank > 0) combine(device, u, q, left);
  if (rank == k) return u;
  std::vector<typename B::Block> basis;
  basis.push_back(std::move(q));
  auto fill = orthonormalize(device, basis, device.gaussian(m, k - rank, seed, 0), 0.0);
  Small place(fill.q.cols, k);
  for (std::int64_t j = 0; j < fill.q.cols; ++j) place(j, rank + j) = 1;
  combine(device, u, fill.q, place);
  return u;
}

// The k largest triplets from a basis of D >= k columns. One read of A for the values (D columns)
// and a second one for the residuals (k columns); a basis of good Ritz vectors takes one read for
// both. If A V is rank-deficient, the left vectors are completed by random orthonormal ones, and
// their residuals show whether the range of A has further directions. The result is independent of
// the recurrence that made the basis: the basis is checked, and A is multiplied again.
template <Backend B, LinearOperator A>
Triplets<B> rayleigh_ritz(B& device, A& a, typename B::Block basis, Columns columns, std::int64_t k,
                          std::uint64_t seed, Products products = Products::full) {
  typename B::Block product, squared;  // A V, A^T A V
  basis = repaired(device, std::move(basis), seed);
  const bool at_once = columns == Columns::ritz;
  if (at_once) squared = a.gram_step(basis, &product, products);
  else product = a.multiply(basis, products);
  const std::vector<double> norms = column_norms(device, product);
  const double floor = 4 * B::epsilon() * largest_of(norms);
  auto image = device.zeros(product.rows, product.cols);
  combine(device, image, product, Small::identity(product.cols));
  // A V = Q R with R rank x D
  auto factor = orthonormalize(device, std::vector<typename B::Block>(), std::move(image), floor);
  const SmallSvd small = svd(factor.r);
  const std::int64_t rank = std::min(factor.q.cols, k);
  Triplets<B> result;
  result.s.assign(as_size(k), 0.0);
  std::copy_n(small.s.begin(), rank, result.s.begin());

  const Small right = (factor.q.cols < k ? completed(small.v) : small.v).part(0, basis.cols, 0, k);
  result.v = device.zeros(basis.rows, k);
  combine(device, result.v, basis, right);
  Small left(factor.q.cols, k);
  left.set_part(0, 0, small.u.part(0, factor.q.cols, 0, rank));
  result.u = left_vectors(device, std::move(factor.q), left, rank, seed);
  const auto right_defects = defects(device, product, right, result.u, result.s);
  product = {};
  const auto coefficients =
      at_once && rank == k ? adjoint_coefficients(factor.r, left, norms) : std::nullopt;
  const auto adjoint = coefficients ? defects(device, squared, *coefficients, result.v, result.s)
                                    : defects(device, a.multiply_adjoint(result.u, products),
                                              Small::identity(k), result.v, result.s);
  result.r = std::move(factor.r);
  finish(result, right_defects, adjoint);
  result.factoring = factoring_error(right_defects, result.measuring);
  result.deviation = std::max(deviation(device, result.u), deviation(device, result.v));
  return result;
}

}  // namespace sigmascope
