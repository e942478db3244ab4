// SPDX-License-Identifier: BSD-3-Clause
// A guard against missed copies of multiple singular values.
//
// A Krylov space of block b holds at most b copies of a multiple singular value, and no residual
// shows that more exist. The Gaussian start counts them: |R0^T x_i[first block]|^2 / b has the
// number of singular vectors behind Ritz value i as its mean. If this count exceeds the number of
// values found by four standard errors, or if b Ritz values agree to the tolerance, random columns
// are injected, and the values must then stay the same for three more steps. Nothing is injected
// where ||A||_F^2 - trace(T), the mass outside the space, proves the placement (placement.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "algorithms/assessment.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Whether as many Ritz values agree as the block is wide: further copies may exist.
inline bool has_full_cluster(const RitzPairs& pairs, std::int64_t block, double share) {
  for (std::int64_t i = 0; i + block - 1 < pairs.count(); ++i)
    if (pairs.theta(i) - pairs.theta(i + block - 1) <= share * pairs.theta(i)) return true;
  return false;
}

// Whether as many of the first k values agree as random columns were drawn: the space holds no more
// copies than that.
template <Backend B>
bool may_lack_copies(const KrylovSpace<B>& space, const RitzPairs& pairs,
                     const KrylovOptions& options) {
  const std::int64_t copies = std::max<std::int64_t>(space.random_columns(), 1);
  for (std::int64_t i = 0; i + copies - 1 < options.k; ++i) {
    const double allowed = 4 * options.tolerance * pairs.theta(i) + projection_rounding<B>(pairs);
    if (pairs.theta(i) - pairs.theta(i + copies - 1) <= allowed) return true;
  }
  return false;
}

// Whether more singular vectors stand behind the values found than there are values. Only values
// above the k-th one and converged are counted: one that has not converged stands for several.
template <Backend B>
bool counts_more(const KrylovSpace<B>& space, const RitzPairs& pairs,
                 const KrylovOptions& options) {
  const double kth = pairs.theta(options.k - 1) * (1 + 2 * options.tolerance);
  const double bound = kth + projection_rounding<B>(pairs);
  std::int64_t above = 0;
  while (above < options.k && pairs.theta(above) > bound &&
         pairs.residual(above) <= unconverged_share * pairs.theta(above))
    ++above;
  if (above == 0) return false;
  const auto b = static_cast<double>(space.start().cols);
  double count = 0;
  for (std::int64_t i = 0; i < above; ++i)
    for (std::int64_t j = 0; j < pairs.weights.cols; ++j) count += pairs.weights(i, j) / b;
  const auto n = static_cast<double>(above);
  return (count - n) / std::sqrt(2 * n / b) > 4;
}

class MultiplicityGuard {
 public:
  enum class Verdict {
    sure,    // no copy is missing
    wait,    // take further steps: the values are being confirmed
    inject,  // inject random columns; the confirmation starts with the values as they are
  };

  // For k values that meet the tolerance. `injected`: random columns were injected before.
  template <Backend B>
  Verdict examine(const KrylovSpace<B>& space, const Assessment& a, const KrylovOptions& options,
                  bool injected) {
    const bool confirmed = active_;
    if (active_ && !stood_still<B>(a, options)) return Verdict::wait;
    // A cluster may be larger than the number of all columns drawn for it, so that it is examined
    // again. One injection supplies the copies that the start block counts.
    const bool few = space.start().cols < least_random_columns && !injected;
    if (!few && !may_lack_copies(space, a, options) &&
        (confirmed || !counts_more(space, a, options)))
      return Verdict::sure;
    confirm(a, options.k);
    return Verdict::inject;
  }

  bool active() const { return active_; }

 private:
  // With fewer random columns, all of them may be nearly orthogonal to a singular vector.
  static constexpr std::int64_t least_random_columns = 4;

  void confirm(const Assessment& a, std::int64_t k) {
    active_ = true;
    remaining_ = 3;
    reference_.assign(a.values.begin(), a.values.begin() + k);
  }

  // One more step; whether the values have stayed the same for all that were asked for.
  template <Backend B>
  bool stood_still(const Assessment& a, const KrylovOptions& options) {
    // d theta = 2 sigma d sigma
    const double allowed = 2 * options.tolerance * std::sqrt(a.theta(0));
    for (std::int64_t i = 0; i < options.k; ++i) {
      const double before = std::max(reference_[as_size(i)], 0.0);
      const double change = std::abs(a.theta(i) - before);
      if (change > allowed * std::sqrt(a.theta(i)) + projection_rounding<B>(a)) {
        confirm(a, options.k);
        return false;
      }
    }
    return --remaining_ <= 0;
  }

  bool active_ = false;
  int remaining_ = 0;
  std::vector<double> reference_;  // the values at the last injection
};

}  // namespace sigmascope
