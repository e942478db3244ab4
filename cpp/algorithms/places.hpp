// SPDX-License-Identifier: BSD-3-Clause
// Whether the k values found are the k largest: by proof, or by guards against copies that were
// missed.
//
// Guards. A Krylov space of block b holds at most b copies of a multiple singular value, and no
// residual shows it. The Gaussian start counts copies: |R0^T x_i[first block]|^2 / b has mean =
// multiplicity behind Ritz value i. If the count exceeds what was found by four standard errors, or
// b Ritz values agree to the tolerance, random columns are injected and the values must stand still
// for three more steps. ||A||_F^2 - trace(T), the mass outside the space, can prove them idle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "algorithms/stopping.hpp"

namespace sigmascope {

// Values that agree, as many as the block is wide: the cluster may go on, unseen.
inline bool has_full_cluster(const Assessment& a, std::int64_t block, double share) {
  const auto found = static_cast<std::int64_t>(a.rho.size());
  for (std::int64_t i = 0; i + block - 1 < found; ++i)
    if (a.theta(i) - a.theta(i + block - 1) <= share * a.theta(i)) return true;
  return false;
}

// Of the k values, as many agree as random columns were drawn: the space holds no more copies than
// that.
template <Backend B>
bool may_lack_copies(const KrylovSpace<B>& space, const Assessment& a, const TopOptions& options) {
  const std::int64_t copies = std::max<std::int64_t>(space.drawn(), 1);
  for (std::int64_t i = 0; i + copies - 1 < options.k; ++i)
    if (a.theta(i) - a.theta(i + copies - 1) <= 4 * options.tolerance * a.theta(i) + blur<B>(a))
      return true;
  return false;
}

// More vectors stand behind the values found than were found.
template <Backend B>
bool counts_more(const KrylovSpace<B>& space, const Assessment& a, const TopOptions& options) {
  const std::int64_t b = space.start().cols;
  std::int64_t above = 0;
  // Only converged values: one that has not converged stands for several.
  while (above < options.k &&
         a.theta(above) > a.theta(options.k - 1) * (1 + 2 * options.tolerance) + blur<B>(a) &&
         a.rho[static_cast<std::size_t>(above)] <= unconverged * a.theta(above))
    ++above;
  if (above == 0) return false;
  const Small weights =
      probe_weights(a.ritz.vectors.part(0, a.ritz.vectors.rows, 0, above), space.start());
  double count = 0;
  for (const double weight : weights.values) count += weight / static_cast<double>(b);
  const auto n = static_cast<double>(above);
  return (count - n) / std::sqrt(2 * n / static_cast<double>(b)) > 4;
}

// How sure it is that the k values found are the k largest.
enum class Place {
  open,    // nothing speaks for it
  within,  // proved to the tolerance: by Weyl, whatever is missing moves no value by more
  sure     // proved, or found by the guards
};

// By Weyl, A^T A restricted to the complement of the k Ritz vectors has no eigenvalue above
// theta_{k+1} + missing mass.
template <Backend B>
Place proved_place(const KrylovSpace<B>& space, const Assessment& a, double fro2,
                   const TopOptions& options) {
  const double missing = missing_mass(space, fro2, a.rounding);
  const double next =
      static_cast<std::int64_t>(a.rho.size()) > options.k ? a.theta(options.k) : 0.0;
  if (next + missing <= a.theta(options.k - 1)) return Place::sure;
  return missing <= options.tolerance * options.tolerance * a.theta(0) ? Place::within
                                                                       : Place::open;
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
  template <Backend B>
  bool step(const Assessment& a, const TopOptions& options) {
    const double allowed =
        2 * options.tolerance * std::sqrt(a.theta(0));  // d theta = 2 sigma d sigma
    for (std::int64_t i = 0; i < options.k; ++i) {
      const double before = std::max(reference[static_cast<std::size_t>(i)], 0.0);
      if (std::abs(a.theta(i) - before) > allowed * std::sqrt(a.theta(i)) + blur<B>(a)) {
        start(a, options.k);
        return false;
      }
    }
    return --remaining <= 0;
  }
};

}  // namespace sigmascope
