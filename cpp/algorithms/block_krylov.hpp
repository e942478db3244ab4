// SPDX-License-Identifier: BSD-3-Clause
// The k largest singular values and vectors to a tolerance, with a stopping rule and two guards against missed copies.
//
// Reads of A: one per step and two at the end (one without residuals). Memory: (n D + m k + n k) numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/spectral_density.hpp"
#include "algorithms/stopping.hpp"

namespace sigmascope {

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

// Reads the answer off the space: values, vectors, residuals, errors; converged only if what was measured meets the
// tolerance and the values are in their places.
template <Backend B, LinearOperator A>
void read_out(B& device, A& a, const KrylovSpace<B>& space, const Assessment& assessment, double fro2,
              const TopOptions& options, Place place, TopResult<B>& result) {
  const std::int64_t k = std::min(options.k, static_cast<std::int64_t>(assessment.rho.size()));
  const bool all = graded<B>(assessment, k), measure = options.vectors || all;
  const Small chosen = all ? Small::identity(space.columns()) : assessment.ritz.vectors.part(0, space.columns(), 0, k);
  result.triplets =
      rayleigh_ritz(device, a, combine_basis(device, space.basis(), chosen), k, options.seed + 1, measure);
  result.residuals = result.triplets.residuals;
  if (!measure)
    for (std::int64_t i = 0; i < k; ++i) result.residuals.push_back(ritz_residual(assessment, i, B::epsilon()));
  const double floor = rounding_floor<B>(result.triplets.s),
               allowed = options.tolerance * result.triplets.s.front() + floor;
  const double missing = missing_mass(space, fro2);
  // Nor does T tell then what lies outside: ask A, with the block that would be next.
  double eta = assessment.eta;
  if (all && space.next_columns() > 0) {
    const auto image = a.multiply(space.next());
    eta = std::max(eta, eigh(device.inner(image, image)).values.front());
  }
  if (measure)
    for (std::size_t i = 0; i < result.residuals.size(); ++i)
      if (const double s = result.triplets.s[i], r = result.residuals[i]; r > unconverged * s + floor)
        eta = std::max(eta, s * (s + r));
  result.errors = value_errors(result.triplets.s, result.residuals, place == Place::sure, eta, missing, floor);
  const auto& judged = options.vectors ? result.residuals : result.errors;
  result.converged = place != Place::open && *std::max_element(judged.begin(), judged.end()) <= allowed;
  if (!result.converged) result.errors = value_errors(result.triplets.s, result.residuals, false, eta, missing, floor);
}

// fro2 = ||A||_F^2. A needs at least as many rows as columns for least work; any shape is right.
template <Backend B, LinearOperator A>
TopResult<B> block_krylov(B& device, A& a, double fro2, const TopOptions& options) {
  const std::int64_t n = a.cols(), k = options.k, block = std::min(options.block, n);
  KrylovSpace<B> space(device, n, block, options.seed);
  TopResult<B> result;
  Confirmation confirmation;
  std::int64_t taken = 0, next_check = k + block;  // columns multiplied so far, over all restarts
  const auto snapshot = [&] {
    if (options.density && !result.quadrature && space.pure()) result.quadrature = quadrature(space);
  };
  const auto inject = [&] {
    snapshot();
    space.inject(std::max<std::int64_t>(block, 16));
    result.injected = true;
  };
  while (true) {
    taken += space.next_columns();
    space.expand(a, nullptr);
    ++result.steps;
    const std::int64_t d = space.columns();
    const bool whole = d >= n, out_of_steps = result.steps >= options.max_steps, last = whole || out_of_steps;
    if (last || (d >= k && (space.exhausted() || taken >= next_check))) {
      const Assessment assessment = assess(space, k);
      const bool seems_done = d >= k && meets_tolerance<B>(assessment, options);
      Place place = whole ? Place::sure : seems_done ? proved_place(space, assessment, fro2, options) : Place::open;
      if (seems_done && place == Place::open && !last &&
          4 * d < 3 * n) {  // of a space almost whole, the rest costs least
        const bool clear = confirmation.active ? confirmation.step(assessment, options)
                                               : !suspects_missed_copies(space, assessment, options);
        if (clear) place = Place::sure;
        if (!clear && !confirmation.active) {
          confirmation.start(assessment, k);
          inject();
        }
      }
      next_check = taken + (confirmation.active ? 1 : std::max(block, d / 12));
      if (last || place != Place::open) {
        read_out(device, a, space, assessment, fro2, options, place, result);
        if (result.converged || last) break;
        next_check = taken + std::max(block, d / 4);  // the measured residuals say that T was too hopeful
      }
    }
    if (space.exhausted()) inject();
    if (options.max_columns > 0 && d + space.next_columns() > options.max_columns && d > k) {
      snapshot();
      const std::int64_t keep = std::min(d, k + k / 2 + block / 2);
      const Eigen ritz = eigh_top(space.t(), keep);
      space.restart(ritz.vectors, ritz.values);
      result.restarted = true;
    }
  }
  snapshot();
  result.columns = space.columns();
  return result;
}

}  // namespace sigmascope
