// SPDX-License-Identifier: BSD-3-Clause
// Whether the k values found are the k largest, by proof.
#pragma once

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

}  // namespace sigmascope
