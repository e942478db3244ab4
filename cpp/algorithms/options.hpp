// SPDX-License-Identifier: BSD-3-Clause
// The options of a block Krylov search.
#pragma once

#include <cstdint>

#include "algorithms/rounding.hpp"

namespace sigmascope {

// Steps of a density at least, whatever the values need: with fewer, the bulk of a spectrum below a
// few large values is hardly resolved.
inline constexpr std::int64_t least_density_steps = 8;

// What the tolerance bounds. `either`: of each value its error, or its residual if the error is not
// above the tolerance by more than a factor. A residual says that a singular value lies that near,
// an error that the one of this place does: inside the bulk of a spectrum errors come down only
// after the bulk itself is resolved.
enum class Tolerance { of_residuals, of_errors, of_either };

// The factor: errors of a search for either that has converged are at most so many tolerances.
inline constexpr double widest_error = 10;

struct KrylovOptions {
  std::int64_t k = 6;
  double tolerance = 1e-4;  // relative to sigma_1
  Tolerance kind = Tolerance::of_residuals;
  std::int64_t block = 32;
  std::int64_t max_steps = 200;

  // Limits on the columns of the basis; 0: none.
  std::int64_t soft_restart_columns = 0;  // restart before the basis is longer, unless values span
                                          // much or form clusters
  std::int64_t hard_restart_columns = 0;  // restart before the basis is longer, in any case
  std::int64_t refusal_columns = 0;       // end without an answer before the basis is longer
  std::int64_t full_readout_columns = 0;  // end without an answer if all columns of a longer basis
                                          // would have to be read out

  std::uint64_t seed = 0;
  bool vectors = true;
  bool bounded = false;                // end without an answer at the limit of Work
  bool density = false;                // also the quadrature of the space, before any restart
  Products products = Products::full;  // of the first steps
  bool norm_is_bound = false;          // the ||A||_F^2 given is an upper bound
  ProductErrors product_errors = {};

  bool of_residuals() const { return kind == Tolerance::of_residuals; }
};

}  // namespace sigmascope
