// SPDX-License-Identifier: BSD-3-Clause
// Every singular value, as the square roots of the eigenvalues of A^T A. One read of A.
//
// If the error of an eigenvalue lambda_i is at most d_i, that of sigma_i is at most
// sigma_i - (sigma_i^2 - d_i)^1/2, and nothing below d^1/2 is resolved. In fp64
// d = c epsilon lambda_1, and d^1/2 ~ 1e-7 sigma_1. A fast Gram matrix comes with an estimate of
// its elements' errors; if that estimate is doubtful, the matrix is computed again in fp64.
// Work: m n^2 + 4/3 n^3 flops. Memory: n^2 numbers in fp64 and some panels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/gram_errors.hpp"
#include "algorithms/small_dense.hpp"

namespace sigmascope {

struct GramSpectrum {
  std::vector<double> values, errors;  // sigma, descending
  double floor = 0;                    // sigma: smaller values may be zero
  std::string_view precision;          // of the products in A^T A
  bool fallen_back = false;            // from fast products to fp64
  bool fast_reduction = false;         // the eigenvalues come from products in fp32
};

// Sums that follow one another in an element of A^T A without a part of their own in the bound.
inline constexpr std::int64_t additions_at_hand = 64;

// Error of an eigenvalue relative to lambda_1: n^1/2 roundings of a reduction to tridiagonal form,
// times a constant. The largest errors were measured where all values are equal: 1.0e-14 at order
// 1100, 1.2e-14 at 2200, 1.6e-14 at 4096. The bound is twice that.
//
// If rows repeat, all J additions to an element err alike, by half a unit of the partial sum: by
// J / 2 roundings of the whole. The constant has room for 64, which are those of 32768 rows.
inline double gram_error(std::int64_t n, std::int64_t additions) {
  const double beyond =
      static_cast<double>(std::max<std::int64_t>(additions - additions_at_hand, 0));
  return 2e-14 * std::max(1.0, std::sqrt(static_cast<double>(n) / 2048)) + 0x1p-54 * beyond;
}

// The eigenvalues of a fast Gram matrix are computed fast, too, if the error of the reduction is no
// larger than that of the elements, or at most this share of lambda_1: sigma = 1e-3 sigma_1 is then
// right to 2e-7 sigma_1. The relative error of each eigenvalue is added, since an eigenvalue far
// above the others has a vector that is not spread.
inline constexpr double reduction_share = 3e-10, reduction_relative = 1e-7;

// Bound on the shift of an eigenvalue at `value` by independent errors of standard deviation e in
// A^T A. To first order the shift is v^T E v, whose standard deviation is e. N eigenvalues that E
// mixes are spread by 2 e N^1/2 to both sides, the norm of a random matrix of order N (Wigner
// 1958); N = n if A is orthogonal, and in its null space.
inline double displacement(const std::vector<double>& descending, double value, double e) {
  const auto below = [&](double x) {
    return std::lower_bound(descending.begin(), descending.end(), x, std::greater<>());
  };
  const auto bound = [&](double count) { return e * (8 + 3 * std::sqrt(count)); };
  double d = bound(static_cast<double>(descending.size()));
  while (d > 0) {  // reduce N to the number of eigenvalues within the bound
    const auto count = below(value - 2 * d) - below(value + 2 * d);
    const double next = bound(static_cast<double>(std::max<std::ptrdiff_t>(count, 1)));
    if (next >= d) break;
    d = next;
  }
  return d;
}

// Standard deviation of the errors that the eigenvector of `value` is multiplied with. It is larger
// for heavy columns, and a vector whose eigenvalue is small has no weight on these. The factor four
// is a margin for columns that partly cancel.
inline double error_at(const Gram& g, double e, double value) {
  if (!(g.heaviest > g.typical)) return e;
  return e * std::clamp(4 * value / g.typical, 1.0, g.heaviest / g.typical);
}

// Bound on the error of sigma = value^1/2 if the error of the eigenvalue is at most d. `first` is
// the largest sigma.
inline double sigma_error(double value, double d, double first) {
  return value > d ? std::sqrt(value) - std::sqrt(value - d) + 4e-16 * first : std::sqrt(d);
}

// The spectrum of a Gram matrix with measured errors and the eigenvalues `lambda`, ascending, whose
// elements are sums of `additions`. They are not read: g may be without them.
inline GramSpectrum spectrum_of_eigenvalues(std::vector<double> lambda, const Gram& g,
                                            std::int64_t additions, const GramErrors& seen,
                                            bool fast_reduction) {
  GramSpectrum result;
  result.precision = g.precision;
  result.fast_reduction = fast_reduction;
  const double relative = fast_reduction ? reduction_relative : 0.0;
  const double of_elements = std::max(g.error, seen.deviation),
               e = fast_reduction ? std::hypot(of_elements, g.reduction_error) : of_elements;
  std::reverse(lambda.begin(), lambda.end());
  const auto order = static_cast<std::int64_t>(lambda.size());
  const double first = lambda.empty() ? 0.0 : std::max(lambda.front(), 0.0),
               rounding = gram_error(order, additions) * first;
  const auto moved = [&](double value) {
    return std::max(displacement(lambda, value, error_at(g, e, value)), seen.at(value)) +
           relative * std::abs(value);
  };
  result.floor = std::sqrt(rounding + moved(0.0));
  result.values.reserve(lambda.size());
  result.errors.reserve(lambda.size());
  for (const double value : lambda) {
    result.values.push_back(std::sqrt(std::max(value, 0.0)));
    result.errors.push_back(sigma_error(value, rounding + moved(value), result.values.front()));
  }
  return result;
}

// The spectrum of a Gram matrix, which is overwritten, with its measured errors.
template <Backend B>
GramSpectrum spectrum_of_gram(B& device, Gram g, std::int64_t additions,
                              const GramErrors& seen = {}) {
  const bool fast =
      g.error > 0 && g.reduction_error <= std::max(g.error, reduction_share * g.largest);
  std::vector<double> lambda =
      device.eigvalsh(g.values, fast ? GramProducts::fast : GramProducts::full);
  return spectrum_of_eigenvalues(std::move(lambda), g, additions, seen, fast);
}

template <Backend B, LinearOperator A>
GramSpectrum gram_spectrum(B& device, A& a, GramProducts products) {
  Gram g = products == GramProducts::fast ? a.fast_gram() : Gram{};
  const bool fallen_back = g.doubtful;
  if (products == GramProducts::full || fallen_back) {
    g = Gram();  // frees its memory first
    GramSpectrum result =
        spectrum_of_eigenvalues(a.gram_eigenvalues(), g, a.gram_additions(), {}, false);
    result.fallen_back = fallen_back;
    return result;
  }
  const GramErrors seen = g.error > 0 ? measured_errors(device, a, g) : GramErrors();
  return spectrum_of_gram(device, std::move(g), a.gram_additions(), seen);
}

struct GramVectors {
  std::vector<double> values, errors,
      residuals;  // sigma, descending; ||A^T u - sigma v|| with u along A v
  Small vectors;  // right singular vectors, in columns
};

// Bound on the residual of an eigenpair theta, v of the Gram matrix, with |G v - theta v| = rho and
// |G - A^T A| <= d. For u along A v it is the residual for A^T A over |A v| >= (theta - d)^1/2. If
// A v may be any small vector, some u has an A^T u as small: the left vector of the least value.
inline double pair_residual(double theta, double rho, double d) {
  const double lost = std::sqrt(theta + rho + d) + std::sqrt(theta);
  return theta > d ? std::min((rho + 2 * d) / std::sqrt(theta - d), lost) : lost;
}

// The k largest values and right vectors from the Gram matrix alone, in fp64.
inline GramVectors vectors_of_gram(const Small& g, std::int64_t additions, std::int64_t k) {
  EigenPairs top = top_eigenpairs(g, k);
  GramVectors result{{}, {}, symmetric_residuals(g, top), std::move(top.vectors)};
  const double d = gram_error(g.rows, additions) *
                   (top.values.empty() ? 0.0 : std::max(top.values.front(), 0.0));
  for (std::size_t i = 0; i < top.values.size(); ++i) {
    const double sigma = std::sqrt(std::max(top.values[i], 0.0));
    result.values.push_back(sigma);
    result.errors.push_back(sigma_error(top.values[i], d, result.values.front()));
    result.residuals[i] = pair_residual(sigma * sigma, result.residuals[i], d);
  }
  return result;
}

}  // namespace sigmascope
