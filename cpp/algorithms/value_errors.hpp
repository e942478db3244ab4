// SPDX-License-Identifier: BSD-3-Clause
// Error bounds for singular values from a Krylov space. Inputs are the residuals, bounds on what
// has not converged, and the clusters among the values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sigmascope {

// Upper bounds, in lambda, on eigenvalues of A^T A that the k leading Ritz vectors may lack.
struct UnconvergedBounds {
  double above_subspace = 0;  // for the part that has not converged: eta in the formulas
  double within_first_k = 0;  // below this, rounded products may mix a value with the first k;
                              // 0 with full products
  double next_value = 0;     // for the (k + 1)-th value, with the likely error of rounded products;
                             // 0 with full products
  double next_ritz = 0;      // the (k + 1)-th Ritz value; its vector is not read out
  double ritz_rounding = 0;  // rounding error of T's entries, which mixes the first k Ritz vectors
                             // with the others; 0 if all of them are read out
};

// The neighbourhood of a Ritz value: how near an eigenvalue may be that the space does not hold.
struct Cluster {
  // Distance in lambda from the value, and from the Ritz values nearer than that, to the nearest
  // eigenvalue outside the space; 0: unknown, because the value belongs to a cluster.
  double distance = std::numeric_limits<double>::infinity();
  double tangent = 1;  // very likely upper bound for tan(angle) between the Ritz vector and the
                       // singular vector of its place
  double nearer = 0;   // lambda: root of the sum of squares of those nearer values' residuals
};

// Lower bound for the mean square of `count` Gaussian numbers, which fails with probability 1e-6.
// P(chi^2_b < q) < (q / 2)^(b / 2) / (b / 2)!
inline double least_mean_square(std::int64_t count) {
  const double half = static_cast<double>(count) / 2;
  return std::min(std::exp((std::log(1e-6) + std::lgamma(half + 1)) / half) / half, 1.0);
}

// Loss of a value, in sigma, because rounding of T mixed its vector with others of the space. The
// mixing angle is about rounding / gap.
inline double mixing(double sigma, const UnconvergedBounds& bounds) {
  const double rounding = bounds.ritz_rounding;
  if (rounding <= 0 || sigma <= 0) return 0;
  const double gap = sigma * sigma - bounds.next_ritz;
  return rounding / (2 * sigma) * (gap > rounding ? rounding / gap : 1.0);
}

// Error bound of one value, in sigma, from its residual (sigma).
//
// Quadratic bound: rho^2 sigma / gap, where the gap is the distance to what has not converged, or
// to what rounding may have mixed with it. The bound is four times its first-order value, since eta
// is an estimate. Ritz values nearer than the gap may share vectors with this one, so that their
// residuals count too.
//
// Linear bound: the residual times the tangent. A residual alone bounds the distance to the nearest
// singular value, not to the one of this place: a vector that the space lacks is represented by a
// part of the Ritz vectors near it, and the larger that part, the smaller the residual.
//
// Values at or below eta: further singular values up to sqrt(eta) may be missing; in a cluster, the
// linear bound holds as well. With rounded
// products, values up to sqrt(next_value) may be outside the k Ritz vectors.
inline double value_error(double sigma, double residual, const UnconvergedBounds& bounds,
                          const Cluster& cluster) {
  constexpr double eta_margin = 1.1;  // eta may be too small by a few per cent
  const double eta = bounds.above_subspace, theta = sigma * sigma;
  residual = std::max(residual, std::sqrt(bounds.next_value) - sigma);
  const double of_all = sigma > 0 ? std::hypot(residual, cluster.nearer / sigma) : residual;
  const double linear = of_all * cluster.tangent;
  if (theta <= eta)
    return std::max(cluster.distance > 0 ? residual : linear, eta_margin * std::sqrt(eta) - sigma);
  const double gap = std::min(theta - std::max(eta, bounds.within_first_k), cluster.distance);
  if (!(gap > 0)) return linear;
  return std::min(linear, 4 * of_all * of_all * sigma / gap + mixing(sigma, bounds));
}

// Tighten errors of later values by those of earlier ones. A value read from a subspace is at most
// the singular value of its place (Cauchy), which is at most any singular value before it.
inline void bound_by_earlier(const std::vector<double>& values, std::vector<double>& errors) {
  double upper = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < errors.size(); ++i) {
    upper = std::min(upper, values[i] + errors[i]);
    errors[i] = std::max(upper - values[i], 0.0);
  }
}

// Bounds on |s_i - sigma_i|.
// Converged: value_error, and at least the mixing, since a residual does not tell which of several
// close values rounding has put into this place.
// Not converged: Weyl's inequality, sigma_i^2 <= theta_i + ||A - A V V^T||_F^2, with `missing` for
// the last term. This bound is loose, but holds for every matrix.
// Both plus the rounding `floor`.
inline std::vector<double> value_errors(const std::vector<double>& values,
                                        const std::vector<double>& residuals, bool converged,
                                        const UnconvergedBounds& bounds,
                                        const std::vector<Cluster>& clusters, double missing,
                                        double floor) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double s = values[i], weyl = std::sqrt(s * s + missing) - s;
    errors.push_back(converged ? std::min(weyl, value_error(s, residuals[i], bounds, clusters[i]))
                               : weyl);
  }
  bound_by_earlier(values, errors);
  for (std::size_t i = 0; i < errors.size(); ++i)
    errors[i] = std::max(errors[i], converged ? mixing(values[i], bounds) : 0.0) + floor;
  return errors;
}

}  // namespace sigmascope
