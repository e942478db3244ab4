// SPDX-License-Identifier: BSD-3-Clause
// How wrong the values of a Krylov space may be: from their residuals, from what has not converged,
// from each other.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace sigmascope {

// What may lie outside the k Ritz vectors, lambda.
struct Unseen {
  double eta = 0;     // what has not converged
  double inside = 0;  // what T may not have told from the first k; 0 unless products are rounded
  double above = 0;   // what T puts next, with the rounding that is likely; 0 unless they are
  double next = 0;    // what T puts next, of vectors that are in the space and not read out
  double blur = 0;    // rounding of T's numbers, which mixes those with the ones that are; 0 if all
                      // are read out
};

// How far from a Ritz value, and from those of the space that are nearer, something may be that the
// space does not hold.
struct Crowd {
  double distance =
      std::numeric_limits<double>::infinity();  // lambda; 0: not known, the value is in a crowd
  double tangent = 1;  // of the angle to the vector that counts, if in one: very likely less
  double nearer = 0;   // lambda: the residuals of those nearer values, root of the sum of squares
};

// What a value lacks, in sigma, since rounding of T turned its vector to others of the space, by
// blur / gap.
inline double mixing(double sigma, const Unseen& unseen) {
  if (unseen.blur <= 0 || sigma <= 0) return 0;
  const double gap = sigma * sigma - unseen.next;
  return unseen.blur / (2 * sigma) * (gap > unseen.blur ? unseen.blur / gap : 1.0);
}

// Error bound of one value, in sigma, from its residual (sigma) and the gap to what has not
// converged, or is mixed with it by rounding: four times the first-order value of the quadratic
// bound, since eta is itself an estimate. The residual is that of the value and of those that are
// nearer than the gap, whose vectors may be mixed with its own. By itself it speaks of the nearest
// singular value, not of its place: a vector that the space lacks has a share of those that stand
// for it, and the residual is the less the more of the place it has; hence the tangent. At or below
// eta others, up to sqrt(eta), may still be missing above it, as may be what a T of rounded
// products has put outside the k Ritz vectors, up to sqrt(above). A crowd is a gap that is not
// known.
inline double value_error(double sigma, double residual, const Unseen& unseen, const Crowd& crowd) {
  const double eta = unseen.eta, theta = sigma * sigma, below = std::max(eta, unseen.inside);
  residual = std::max(residual, std::sqrt(unseen.above) - sigma);
  if (theta <= eta)
    return std::max(residual, 1.1 * std::sqrt(eta) - sigma);  // eta may be short by a few per cent
  const double of_all = std::hypot(residual, crowd.nearer / sigma), most = of_all * crowd.tangent,
               gap = std::min(theta - below, crowd.distance);
  return gap > 0 ? std::min(most, 4 * of_all * of_all * sigma / gap + mixing(sigma, unseen)) : most;
}

// A value read from a subspace is at most the singular value of its place (Cauchy), and that is at
// most any before it: of values close together the later need not have converged to be known to
// what is between.
inline void bound_by_earlier(const std::vector<double>& values, std::vector<double>& errors) {
  double upper = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < errors.size(); ++i) {
    upper = std::min(upper, values[i] + errors[i]);
    errors[i] = std::max(upper - values[i], 0.0);
  }
}

// Bounds on |s_i - sigma_i|. Converged: value_error of the residual, and mixing, since a residual
// does not tell which of several close values rounding has put into this place. Not converged:
// Weyl's inequality with all that the space has not captured, sigma_i^2 <= theta_i + ||A - A V
// V^T||_F^2, loose but never wrong. Plus rounding.
inline std::vector<double> value_errors(const std::vector<double>& values,
                                        const std::vector<double>& residuals, bool converged,
                                        const Unseen& unseen, const std::vector<Crowd>& crowds,
                                        double missing, double floor) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double s = values[i], weyl = std::sqrt(s * s + missing) - s;
    errors.push_back(converged ? std::min(weyl, value_error(s, residuals[i], unseen, crowds[i]))
                               : weyl);
  }
  bound_by_earlier(values, errors);
  for (std::size_t i = 0; i < errors.size(); ++i)
    errors[i] = std::max(errors[i], converged ? mixing(values[i], unseen) : 0.0) + floor;
  return errors;
}

}  // namespace sigmascope
