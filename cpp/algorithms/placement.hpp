// SPDX-License-Identifier: BSD-3-Clause
// Whether the k values found are the k largest, by proof.
#pragma once

#include <algorithm>
#include <cstdint>

#include "algorithms/assessment.hpp"

namespace sigmascope {

enum class Placement {
  open,    // larger values may have been missed
  within,  // proved to the tolerance: by Weyl, what is missing moves no value by more than that
  sure     // proved, or confirmed by MultiplicityGuard
};

// By Weyl, A^T A restricted to the complement of the k Ritz vectors has no eigenvalue above
// theta_{k+1} + missing mass.
template <Backend B>
Placement proved_placement(const KrylovSpace<B>& space, const Assessment& a, double fro2,
                           const KrylovOptions& options) {
  const double missing = missing_mass(space, fro2, a.rounding);
  const double next = a.count() > options.k ? a.theta(options.k) : 0.0;
  if (next + missing <= a.theta(options.k - 1)) return Placement::sure;
  const bool within = missing <= options.tolerance * options.tolerance * a.theta(0);
  return within ? Placement::within : Placement::open;
}

// Whether ||A||_F contradicts the space: the mean of the eigenvalues outside is above all that has
// not converged inside. A start without gaps would have seen it, unless it belongs to copies of a
// value, of which the space holds as many as random columns were drawn.
template <Backend B>
bool misses_a_value(const KrylovSpace<B>& space, const RitzPairs& a, double fro2,
                    const Rounding& rounding) {
  constexpr double share = 0.01;  // of a value: copies that rounding has spread
  const double mean = mean_outside(space, fro2, rounding);
  if (mean <= 0) return false;
  double inside = 0;
  for (std::int64_t j = 0; j < a.count(); ++j)
    if (a.residual(j) > unconverged_share * a.theta(j))
      inside = std::max(inside, a.theta(j) + a.residual(j));
  if (inside == 0 && a.count() < space.columns()) inside = a.theta(a.count() - 1);
  if (mean <= inside) return false;
  const std::int64_t copies = space.random_columns();
  for (std::int64_t i = 0; i + copies - 1 < a.count(); ++i)
    if (a.theta(i + copies - 1) >= (1 - share) * std::max(a.theta(i), mean)) return false;
  return true;
}

template <Backend B>
bool misses_a_value(const KrylovSpace<B>& space, const Assessment& a, double fro2,
                    const KrylovOptions& options) {
  return !options.norm_is_bound && misses_a_value(space, a, fro2, a.rounding);
}

}  // namespace sigmascope
