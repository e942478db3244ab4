// SPDX-License-Identifier: BSD-3-Clause
// The k largest singular values and vectors to a tolerance, with a stopping rule and two guards against missed copies.
//
// Stopping. For a Ritz pair (theta, v): rho = |A^T A v - theta v|. Some singular value lies within rho / sigma of
// sqrt(theta); once theta is separated from eta, the top of the part that has not converged, the error is quadratic,
// rho^2 / ((theta - eta) 2 sigma). eta = max(theta_j + rho_j) over the j with rho_j > 0.03 theta_j.
//
// Guards. A Krylov space of block b holds at most b copies of a multiple singular value, and no residual shows it. The
// Gaussian start counts copies: |R0^T x_i[first block]|^2 / b has mean = multiplicity behind Ritz value i. If the
// count exceeds what was found by four standard errors, or b Ritz values agree to the tolerance, random columns are
// injected and the values must stand still for three more steps. ||A||_F^2 - trace(T) = 0 proves that nothing is left.
//
// Reads of A: one per step and two at the end (one without residuals). Memory: (n D + m k + n k) numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/spectral_density.hpp"

namespace sigmascope {

struct TopOptions {
  std::int64_t k = 6;
  double tolerance = 1e-4;          // of sigma_1: residuals if vectors, else errors of the values
  std::int64_t block = 32;
  std::int64_t max_steps = 200;
  std::int64_t max_columns = 0;     // 0: no restart
  std::uint64_t seed = 0;
  bool vectors = true;
  bool density = false;             // also the quadrature of the space, before any restart or injection
};

template <Backend B>
struct TopResult {
  Triplets<B> triplets;
  std::vector<double> residuals;  // |A^T u - s v|: measured if vectors, else by the recurrence
  std::vector<double> errors;     // bounds |s_i - sigma_i|, see value_errors
  bool converged = false;
  bool injected = false, restarted = false;
  std::int64_t columns = 0, steps = 0;
  std::optional<Quadrature> quadrature;
};

// What the space says of its k largest values.
struct Assessment {
  Eigen ritz;                  // more than k of them, where the space has more
  std::vector<double> rho;     // lambda
  double eta = 0;              // lambda
  double theta(std::int64_t i) const { return std::max(ritz.values[static_cast<std::size_t>(i)], 0.0); }
};

// A Ritz value counts as converged once rho is at most this share of theta.
inline constexpr double unconverged = 0.03;

template <Backend B>
Assessment assess(const KrylovSpace<B>& space, std::int64_t k) {
  Assessment a;
  a.ritz = eigh_top(space.t(), std::min(space.columns(), k + 2 * space.last() + 8));
  a.rho = space.residuals(a.ritz.vectors);
  const auto found = static_cast<std::int64_t>(a.rho.size());
  bool any = false;
  for (std::int64_t j = 0; j < found; ++j)
    if (const double rho = a.rho[static_cast<std::size_t>(j)]; rho > unconverged * a.theta(j)) {
      a.eta = std::max(a.eta, a.theta(j) + rho);
      any = true;
    }
  if (!any && found < space.columns()) a.eta = a.theta(found - 1) + a.rho.back();
  return a;
}

// Error bound of one value, in sigma, from its residual (sigma) and the gap to what has not converged; twice the
// quadratic estimate, since eta is itself an estimate.
inline double value_error(double sigma, double residual, double eta) {
  const double theta = sigma * sigma;
  if (theta <= eta) return residual;
  return std::min(residual, 2 * residual * residual * sigma / (theta - eta));
}

// The residual of Ritz pair i in sigma. Below sqrt(epsilon) sigma_1 the projection resolves nothing: no finer claim.
inline double ritz_residual(const Assessment& a, std::int64_t i, double epsilon) {
  const double least = std::sqrt(epsilon * a.theta(0));
  const double sigma = std::max(std::sqrt(a.theta(i)), least);
  return sigma > 0 ? a.rho[static_cast<std::size_t>(i)] / sigma : 0.0;
}

template <Backend B>
bool meets_tolerance(const Assessment& a, const TopOptions& options) {
  if (static_cast<std::int64_t>(a.rho.size()) < options.k) return false;
  const double allowed = options.tolerance * std::sqrt(a.theta(0));
  for (std::int64_t i = 0; i < options.k; ++i) {
    const double residual = ritz_residual(a, i, B::epsilon());
    const double error = options.vectors ? residual : value_error(std::sqrt(a.theta(i)), residual, a.eta);
    if (error > allowed) return false;
  }
  return true;
}

template <Backend B>
bool suspects_missed_copies(const KrylovSpace<B>& space, const Assessment& a, const TopOptions& options) {
  const std::int64_t b = space.start().rows;
  std::int64_t above = 0;
  // Only converged values: one that has not converged stands for several.
  while (above < options.k && a.theta(above) > a.theta(options.k - 1) * (1 + 2 * options.tolerance) &&
         a.rho[static_cast<std::size_t>(above)] <= unconverged * a.theta(above))
    ++above;
  // Values that agree: a cluster as wide as the block may go on below.
  for (std::int64_t i = 0; i + b - 1 < options.k; ++i)
    if (a.theta(i) - a.theta(i + b - 1) <= 4 * options.tolerance * a.theta(i)) return true;
  if (!space.pure() || above == 0) return false;
  const Small weights = probe_weights(a.ritz.vectors.part(0, a.ritz.vectors.rows, 0, above), space.start());
  double count = 0;
  for (const double weight : weights.values) count += weight / static_cast<double>(b);
  const auto n = static_cast<double>(above);
  return (count - n) / std::sqrt(2 * n / static_cast<double>(b)) > 4;
}

// State of the confirmation that follows an injection.
struct Confirmation {
  bool active = false;
  int remaining = 0;
  std::vector<double> reference;

  void start(const Assessment& a, std::int64_t k) {
    active = true;
    remaining = 3;
    reference.assign(a.ritz.values.begin(), a.ritz.values.begin() + k);
  }
  // True when the values have stood still for three steps.
  bool step(const Assessment& a, const TopOptions& options) {
    const double allowed = 2 * options.tolerance * std::sqrt(a.theta(0));  // d theta = 2 sigma d sigma
    for (std::int64_t i = 0; i < options.k; ++i) {
      const double before = std::max(reference[static_cast<std::size_t>(i)], 0.0);
      if (std::abs(a.theta(i) - before) > allowed * std::sqrt(a.theta(i))) {
        start(a, options.k);
        return false;
      }
    }
    return --remaining <= 0;
  }
};

// Bounds on |s_i - sigma_i|. Converged: value_error of the residual. Not converged: Weyl's inequality with all that
// the space has not captured, sigma_i^2 <= theta_i + ||A - A V V^T||_F^2, loose but never wrong. Plus rounding.
template <Backend B>
std::vector<double> value_errors(const TopResult<B>& result, double eta, double missing, double floor) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < result.triplets.s.size(); ++i) {
    const double s = result.triplets.s[i], weyl = std::sqrt(s * s + missing) - s;
    errors.push_back((result.converged ? std::min(weyl, value_error(s, result.residuals[i], eta)) : weyl) + floor);
  }
  return errors;
}

// Rounding of a value read from QR(A V): measured below 25 epsilon sigma_1 over the test suite.
template <Backend B>
double rounding_floor(const std::vector<double>& s) {
  return 48 * B::epsilon() * (s.empty() ? 0.0 : s.front());
}

// fro2 = ||A||_F^2. A needs at least as many rows as columns for least work; any shape is right.
template <Backend B, LinearOperator A>
TopResult<B> block_krylov(B& device, A& a, double fro2, const TopOptions& options) {
  const std::int64_t n = a.cols(), k = options.k, block = std::min(options.block, n);
  KrylovSpace<B> space(device, n, block, options.seed);
  TopResult<B> result;
  Confirmation confirmation;
  Assessment last;
  std::int64_t next_check = k + block;
  const auto snapshot = [&] {
    if (options.density && !result.quadrature && space.pure()) result.quadrature = quadrature(space);
  };
  const auto inject = [&] {
    snapshot();
    space.inject(std::max<std::int64_t>(block, 16));
    result.injected = true;
  };
  while (true) {
    space.expand(a, nullptr);
    ++result.steps;
    const std::int64_t d = space.columns();
    const bool whole = d >= n, out_of_steps = result.steps >= options.max_steps;
    const double missing = std::max(fro2 - space.captured(), 0.0);
    const bool nothing_left = missing <= 64 * B::epsilon() * fro2;
    if (whole || out_of_steps || (d >= k && (space.exhausted() || nothing_left || d >= next_check))) {
      last = assess(space, k);
      next_check = d + std::max(block, d / 12);
      if (whole || (nothing_left && d >= k && meets_tolerance<B>(last, options))) {
        result.converged = true;
        break;
      }
      if (out_of_steps) break;
      if (meets_tolerance<B>(last, options)) {
        if (confirmation.active ? confirmation.step(last, options) : !suspects_missed_copies(space, last, options)) {
          result.converged = true;
          break;
        }
        if (!confirmation.active) {
          confirmation.start(last, k);
          inject();
        }
        next_check = d + 1;
      }
    }
    if (space.exhausted()) inject();
    if (options.max_columns > 0 && d + space.next_columns() > options.max_columns && d > options.k) {
      snapshot();
      const std::int64_t keep = std::min(d, k + k / 2 + block / 2);
      const Eigen ritz = eigh_top(space.t(), keep);
      space.restart(ritz.vectors, ritz.values);
      result.restarted = true;
    }
  }
  snapshot();
  result.columns = space.columns();
  const auto found = std::min(k, static_cast<std::int64_t>(last.rho.size()));
  auto basis = combine_basis(device, space.basis(), last.ritz.vectors.part(0, space.columns(), 0, found));
  result.triplets = rayleigh_ritz(device, a, std::move(basis), options.seed + 1, options.vectors);
  const double missing = std::max(fro2 - space.captured(), 0.0) + 64 * B::epsilon() * fro2;
  result.residuals = result.triplets.residuals;
  if (!options.vectors)
    for (std::int64_t i = 0; i < found; ++i) result.residuals.push_back(ritz_residual(last, i, B::epsilon()));
  else if (result.converged)
    for (const double residual : result.residuals)
      result.converged &= residual <= (options.tolerance + 64 * B::epsilon()) * result.triplets.s.front();
  result.errors = value_errors(result, last.eta, missing, rounding_floor<B>(result.triplets.s));
  return result;
}

}  // namespace sigmascope
