// SPDX-License-Identifier: BSD-3-Clause
// Assessment of the k largest values of a Krylov space, and whether they meet the tolerance.
//
// For a Ritz pair (theta, v) with rho = |A^T A v - theta v|, some singular value lies within
// rho / sigma of sqrt(theta). Once theta is separated from eta, an upper bound on the part that has
// not converged, the error is quadratic: rho^2 / ((theta - eta) 2 sigma). Here
// eta = max(theta_j + rho_j) over the j with rho_j > 0.003 theta_j. See value_errors.hpp.
//
// Rounded products (rounding.hpp) change T by a relative share and hide what is below their noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "algorithms/clusters.hpp"
#include "algorithms/options.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// The Ritz vectors of an assessment. Where it needs their first and last rows alone, they are
// computed when they are asked for.
class RitzVectors {
 public:
  RitzVectors() = default;
  explicit RitzVectors(Small known) : known_(std::move(known)) {}
  RitzVectors(Tridiagonalized projection, const std::vector<double>& values)
      : projection_(std::move(projection)), values_(values) {}

  // The first `count` of them, or as many as there are.
  Small first(std::int64_t count) const {
    if (!projection_) return known_.part(0, known_.rows, 0, std::min(count, known_.cols));
    return top_eigenvectors(*projection_, values_, std::min<std::int64_t>(count, values_.size()));
  }

 private:
  Small known_;
  std::optional<Tridiagonalized> projection_;
  std::vector<double> values_;
};

struct Assessment : RitzPairs {
  std::optional<Diagonalized> t;  // the projection, if a quadrature needs it
  RitzVectors vectors;            // in the coordinates of the space
  std::vector<double> moved;      // lambda: added to rho by rounded products; else 0
  std::vector<Cluster> clusters;  // of the first k
  UnconvergedBounds unconverged;
  Rounding rounding;
};

// A Ritz value counts as converged once rho is at most this share of theta.
inline constexpr double unconverged_share = 0.003;

// The part of ||A||_F^2 that rounding may hide in the difference ||A||_F^2 - ||A V||_F^2.
template <Backend B>
double hidden_mass(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  double rounded = 0;
  for (std::int64_t j = 0; j < space.columns(); ++j)
    rounded += space.rounded_shares()[as_size(j)].weight * space.t()(j, j);
  return std::max(2 * rounding.share * rounded, 64 * B::epsilon() * fro2);
}

// Upper bound for the part of ||A||_F^2 outside the space.
template <Backend B>
double missing_mass(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  return std::max(fro2 - space.captured(), 0.0) + hidden_mass(space, fro2, rounding);
}

// Lower bound for the mean of the eigenvalues outside the space, hence for the largest of them.
template <Backend B>
double mean_outside(const KrylovSpace<B>& space, double fro2, const Rounding& rounding) {
  const std::int64_t outside = space.size() - space.columns();
  const double mass = fro2 - space.captured() - hidden_mass(space, fro2, rounding);
  return outside > 0 ? std::max(mass, 0.0) / static_cast<double>(outside) : 0.0;
}

// Bounds on what the first k Ritz pairs lack. A Ritz value of which a `weight` was rounded may be
// too small by the share that all its roundings make together.
template <Backend B>
UnconvergedBounds unconverged_bounds(const KrylovSpace<B>& space, const Assessment& a, double fro2,
                                     std::int64_t k, const std::vector<RoundedShare>& rounded) {
  const Rounding& rounding = a.rounding;
  const auto at_most = [&](std::int64_t j, double share) {
    return a.theta(j) * (1 + share * rounded[as_size(j)].weight);
  };
  UnconvergedBounds bounds;
  double& eta = bounds.above_subspace;
  bool any = false;
  for (std::int64_t j = 0; j < a.count(); ++j) {
    if (!(a.residual(j) > unconverged_share * a.theta(j))) continue;
    eta = std::max(eta, at_most(j, rounding.share) + a.residual(j));
    any = true;
  }
  // All that was read has converged. The margin keeps members of a cluster that goes on below.
  if (!any && a.count() < space.columns() && space.columns() < space.size())
    eta = 0.9 * at_most(a.count() - 1, rounding.share);
  eta = std::max(eta, mean_outside(space, fro2, rounding));
  if (a.count() > k) {
    bounds.next_ritz = a.theta(k);
    bounds.ritz_rounding = projection_rounding<B>(a);
    if (rounding.any()) {
      bounds.within_first_k = at_most(k, rounding.share);
      bounds.next_value = at_most(k, rounding.likely(space.size()));
    }
  }
  return bounds;
}

// The pairs of a pure space of narrow blocks, whose start lies in the first block and whose last
// block alone is coupled to the next one: from the first and the last rows of the vectors.
template <Backend B>
bool assess_by_rows(const KrylovSpace<B>& space, std::int64_t count, Assessment& a) {
  constexpr std::int64_t narrow = 8;
  const Small& start = space.start();
  const std::int64_t d = space.columns(), last = space.last_columns(),
                     first = std::min(start.cols, d);
  if (!space.pure() || first > narrow || last > narrow) return false;
  Tridiagonalized projection(space.t());
  auto rows = eigen_rows(projection, first, last);
  if (!rows) return false;
  a.values.assign(rows->values.begin(), rows->values.begin() + count);
  a.weights =
      probe_weights(rows->first.part(0, first, 0, count), start.part(0, first, 0, start.cols));
  const Small beta = space.coupling().part(0, space.coupling().rows, d - last, d);
  a.rho = column_norms(matmul(beta, rows->last.part(0, last, 0, count)));
  a.vectors = RitzVectors(std::move(projection), a.values);
  return true;
}

// The k largest values as the space knows them, with `least` or more Ritz pairs. `rounding`: the
// coarsest products that the space was made of. `keep`: T is wanted for a quadrature.
template <Backend B>
Assessment assess(const KrylovSpace<B>& space, double fro2, std::int64_t k, std::int64_t least,
                  const Rounding& rounding, bool keep, const ProductErrors& product_errors = {}) {
  Assessment a;
  a.rounding = rounding;
  a.product_errors = product_errors;
  const std::int64_t count =
      std::min(space.columns(), std::max(least, k + 2 * space.last_columns() + 8));
  std::vector<RoundedShare> rounded(as_size(count));
  if (keep || rounding.any() || !assess_by_rows(space, count, a)) {
    a.t.emplace(space.t());
    EigenPairs ritz = a.t->top(count);
    if (!keep) a.t.reset();
    a.values = std::move(ritz.values);
    a.weights = probe_weights(ritz.vectors, space.start());
    a.rho = column_norms(matmul(space.coupling(), ritz.vectors));
    rounded = space.rounded_shares(ritz.vectors);
    a.vectors = RitzVectors(std::move(ritz.vectors));
  }
  for (std::int64_t j = 0; j < a.count(); ++j) {
    const auto& [weight, image2] = rounded[as_size(j)];
    // If a vector is mostly a combination of rounded columns, |A x|^2 of that part is theta.
    const double image = weight > 0.5 ? a.theta(j) : image2;
    a.moved.push_back(rounding.noise * std::sqrt(image + weight * rounding.rms * rounding.rms));
  }
  a.unconverged = unconverged_bounds(space, a, fro2, k, rounded);
  a.clusters = clusters_of(space, a, k);
  return a;
}

// The residual of Ritz pair i, in sigma. The projection resolves nothing below
// sqrt(epsilon) sigma_1, so that no finer residual is claimed.
inline double ritz_residual(const Assessment& a, std::int64_t i, double epsilon) {
  const double least = std::sqrt(epsilon * a.theta(0));
  const double sigma = std::max(std::sqrt(a.theta(i)), least);
  const auto e = as_size(i);
  return sigma > 0 ? std::hypot(a.rho[e], a.moved[e]) / sigma : 0.0;
}

// The quantities that the tolerance bounds, one for each of the k values, in sigma: residuals, the
// errors that follow from them, or what `either` makes of both.
template <Backend B>
std::vector<double> estimated_defects(const Assessment& a, const KrylovOptions& options) {
  std::vector<double> values, residuals, errors;
  for (std::int64_t i = 0; i < options.k; ++i) {
    residuals.push_back(ritz_residual(a, i, B::epsilon()));
    values.push_back(std::sqrt(a.theta(i)));
    errors.push_back(
        value_error(values.back(), residuals.back(), a.unconverged, a.clusters[as_size(i)]));
  }
  if (options.of_residuals()) return residuals;
  bound_by_earlier(values, errors);
  if (options.kind == Tolerance::of_errors) return errors;
  for (std::size_t i = 0; i < errors.size(); ++i)
    errors[i] = std::min(errors[i], std::max(residuals[i], errors[i] / widest_error));
  return errors;
}

// The largest of these quantities over the tolerance; 0 if none exceeds it.
template <Backend B>
double excess_of(const Assessment& a, const KrylovOptions& options) {
  if (a.count() < options.k) return std::numeric_limits<double>::infinity();
  const std::vector<double> defects = estimated_defects<B>(a, options);
  const double largest = *std::max_element(defects.begin(), defects.end());
  const double allowed = options.tolerance * std::sqrt(a.theta(0));
  return largest > allowed ? largest / allowed : 0.0;
}

// Whether the first k values span so much that the Ritz vectors of T are no longer good enough.
// Orthonormalisation drops 16 epsilon theta_1 as rounding, which changes a value sigma_k read from
// QR(A V) by (16 epsilon theta_1)^2 / (2 sigma_k^3). Above this share of theta_1, that is below all
// other rounding.
template <Backend B>
bool is_graded(const Assessment& a, std::int64_t k) {
  return a.theta(k - 1) < 2 * std::pow(B::epsilon(), 2.0 / 3.0) * a.theta(0);
}

// Whether rounding of T hides more of a value than the tolerance allows.
template <Backend B>
bool is_projection_poor(const Assessment& a, std::int64_t k, double tolerance) {
  return projection_rounding<B>(a) > tolerance * std::sqrt(a.theta(0) * a.theta(k - 1));
}

// The values as T knows them, k at most: for a method that replaces an abandoned search.
inline std::vector<double> estimated_values(const Assessment& a, std::int64_t k) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < std::min(k, a.count()); ++i) values.push_back(std::sqrt(a.theta(i)));
  return values;
}

}  // namespace sigmascope
