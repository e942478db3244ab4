// SPDX-License-Identifier: BSD-3-Clause
// When to restart a search, and how many Ritz vectors a restart keeps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "algorithms/assessment.hpp"
#include "algorithms/multiplicity_guard.hpp"

namespace sigmascope {

// The number of Ritz vectors that a restart keeps, out of n at most: those wanted, all that belong
// to the cluster of the last of them, and half as many again. Copies that were dropped would come
// back without having converged, and no rule could use them.
inline std::int64_t restart_size(const RitzPairs& pairs, const KrylovOptions& options,
                                 std::int64_t n) {
  std::int64_t cluster = options.k;
  while (cluster < pairs.count() && pairs.theta(cluster) > 0.98 * pairs.theta(options.k - 1))
    ++cluster;
  const std::int64_t size = std::min(cluster + options.k / 2 + options.block / 2, n);
  if (options.hard_restart_columns <= 0) return size;
  return std::min(size, std::max(options.hard_restart_columns - 2 * options.block, options.k));
}

// The Ritz vectors that a restart keeps, in the coordinates of the space.
inline Small restart_vectors(const Assessment& a, const KrylovOptions& options, std::int64_t n) {
  return a.vectors.first(restart_size(a, options, n));
}

// Whether a restart costs no step. It does harm where T is a poor guide, and where copies may be
// missing, since it would drop their first traces. If many restarts were not enough, the search
// needs a longer basis.
template <Backend B>
bool is_restart_harmless(const Assessment& a, const KrylovOptions& options, bool injected,
                         int restarts) {
  constexpr int most_restarts = 8;
  return !is_graded<B>(a, options.k) && !injected && !has_full_cluster(a, options.block, 0.01) &&
         restarts < most_restarts;
}

// Whether the next block would make the basis too long. `injected`: random columns have been
// injected; `restarts`: the number of restarts so far.
template <Backend B>
bool must_restart(const KrylovSpace<B>& space, const Assessment& a, const KrylovOptions& options,
                  bool injected, int restarts) {
  const std::int64_t next = space.columns() + space.next_columns();
  if (space.columns() <= options.k || a.count() < options.k) return false;
  if (options.hard_restart_columns > 0 && next > options.hard_restart_columns) return true;
  const std::int64_t least = restart_size(a, options, space.size()) + 4 * space.next_columns();
  return options.soft_restart_columns > 0 && next > std::max(options.soft_restart_columns, least) &&
         is_restart_harmless<B>(a, options, injected, restarts);
}

}  // namespace sigmascope
