// SPDX-License-Identifier: BSD-3-Clause
// The answer of a search, from products of A that the search had no part in, and what it may err
// by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/places.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/spectral_density.hpp"

namespace sigmascope {

template <Backend B>
struct TopResult {
  Triplets<B> triplets;
  std::vector<double> residuals;  // measured, and what their own products may err by
  std::vector<double> errors;     // bounds |s_i - sigma_i|, see value_errors
  bool converged = false;
  bool consistent =
      true;  // U, V are orthonormal to rounding, and the values are no larger than ||A||_F allows
  bool costly = false;  // there is no answer, but estimates of values: the work would have passed
                        // that of every one
  bool injected = false, restarted = false, refined = false;
  std::int64_t columns = 0, steps = 0;
  std::int64_t unread =
      0;  // columns of the basis, or to be read out of it, that were too many: there is no answer
  std::optional<Quadrature> quadrature;
};

// How the answer is read off a space.
struct ReadOut {
  double fro2;
  Products coarsest;  // of the steps so far
  Place place;
  std::int64_t k;
  bool all;  // of the basis, not T's k vectors
};

// Values, vectors, residuals, errors; converged only if what was measured meets the tolerance and
// the values are in their places.
template <Backend B, LinearOperator A>
void measure(TopResult<B>& result, B& device, A& a, const KrylovSpace<B>& space,
             const Assessment& assessment, const ReadOut& how, const TopOptions& options) {
  const Small chosen = how.all ? Small::identity(space.columns())
                               : assessment.ritz.vectors.part(0, space.columns(), 0, how.k);
  // Of two parts where what that errs by, 4 noise + share s, is far below what the search is
  // allowed.
  const Rounding two = Rounding::of(Products::split, how.fro2, a.cols());
  const double largest = std::sqrt(assessment.theta(0)),
               allowed_rounding = options.tolerance * largest / 16;
  const bool split = a.splits() && options.products != Products::full && !how.all &&
                     std::max(4 * two.noise, two.share * largest) <= allowed_rounding;
  auto& triplets = result.triplets =
      rayleigh_ritz(device, a, combine_basis(device, space.basis(), chosen),
                    how.all ? Columns::any : Columns::ritz, how.k, options.seed + 1,
                    split ? Products::split : Products::full);
  result.residuals = triplets.residuals;
  if (split)
    for (std::size_t i = 0; i < result.residuals.size(); ++i)
      result.residuals[i] += 4 * two.noise + two.share * triplets.s[i];
  const double least = rounding_floor<B>(triplets.s),
               floor = least + (split ? 4 * two.noise + two.share * triplets.s.front() : 0),
               allowed = std::max(options.tolerance * triplets.s.front(), least) + least,
               missing =
                   missing_mass(space, how.fro2, Rounding::of(how.coarsest, how.fro2, a.cols()));
  // Nor does T tell then what lies outside: ask A, with the block that would be next.
  Unseen unseen = assessment.unseen;
  double& eta = unseen.eta;
  if (how.all) unseen.blur = 0;
  if (how.all && space.next_columns() > 0) {
    const auto image = a.multiply(space.next());
    eta = std::max(eta, eigh(inner(device, image, image)).values.front());
  }
  std::vector<double> seen = result.residuals;  // an error counts rounding by itself: the floor
  for (double& r : seen) r -= triplets.measuring;
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (const double s = triplets.s[i], r = seen[i]; r > unconverged * s + floor)
      eta = std::max(eta, s * (s + r));
  const auto errors = [&](bool sure) {
    return value_errors(triplets.s, seen, sure, unseen, assessment.crowds, missing, floor);
  };
  result.errors = errors(how.place == Place::sure);
  const auto& judged = options.of_residuals() ? result.residuals : result.errors;
  double squares = 0;
  for (const double s : triplets.s) squares += s * s;
  result.consistent = triplets.deviation <= orthonormal_to<B>() &&
                      squares <= how.fro2 * (1 + 1024 * B::epsilon() + (split ? two.share : 0));
  result.converged = result.consistent && how.place != Place::open &&
                     *std::max_element(judged.begin(), judged.end()) <= allowed;
  if (!result.converged) result.errors = errors(false);
}

}  // namespace sigmascope
