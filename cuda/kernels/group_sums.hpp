// SPDX-License-Identifier: BSD-3-Clause
// Sums of products over K that many blocks of threads share: each sums a group of terms, and the
// groups are added in their order, blocks of them as a tree (term_blocks.hpp). How many blocks of
// threads there are changes no bit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/blocks/term_blocks.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Terms of a group.
inline constexpr std::int64_t group_terms = 1024;

// The groups of one call, which has terms [before, before + depth) of `all`.
struct TermGroups {
  std::int64_t before = 0, depth = 0, all = 0;

  // Those that have terms in this call.
  std::int64_t count() const {
    return (before + depth + group_terms - 1) / group_terms - before / group_terms;
  }
  // Whether the last one ends in this call.
  bool end() const {
    const std::int64_t seen = before + depth;
    return seen % group_terms == 0 || seen == all;
  }
  // Whether there is one group and no call before or after: its sums are the results.
  bool are_one() const { return before == 0 && depth == all && all <= group_terms; }
  // How many at a time, so that their sums of so many results take 64 MiB, but for one.
  std::int64_t at_once(std::int64_t results, std::int64_t bytes_of_number) const {
    constexpr std::int64_t most = std::int64_t{64} << 20;
    const std::int64_t size = std::max<std::int64_t>(results * bytes_of_number, 1);
    return std::min(count(), std::max<std::int64_t>(most / size, 1));
  }
};

// Sums of `count` groups, from the group `start` of the product on, `size` of each. They are added
// to z, and to tree_levels(all) times `size` levels, which go on from call to call.
template <class T>
struct GroupSums {
  std::int64_t size, all;
  T *z, *levels;
  const T* sums = nullptr;
  std::int64_t start = 0, count = 0;
};

template <class T>
cudaError_t add(const GroupSums<T>& groups, cudaStream_t stream);

// Numbers that the sums of the groups of a call take, each of so many results.
template <class T>
std::int64_t workspace_of(const TermGroups& groups, std::int64_t results) {
  return groups.are_one() ? 0 : groups.at_once(results, sizeof(T)) * results;
}

// Calls start(first, count, sums) for some groups of a call at a time, and adds their sums, which
// are at `workspace`, to z.
template <class T, class Start>
cudaError_t multiply_in_groups(const TermGroups& groups, T* workspace, GroupSums<T> sums,
                               cudaStream_t stream, const Start& start) {
  if (sums.size == 0) return cudaSuccess;
  if (groups.all == 0) return add(sums, stream);  // zeros
  if (groups.are_one()) return start(0, std::int64_t{1}, sums.z);
  sums.sums = workspace;
  const std::int64_t all = groups.count(), most = groups.at_once(sums.size, sizeof(T));
  for (std::int64_t first = 0, count; first < all; first += count) {
    count = std::min(all - first, most);
    sums.start = groups.before / group_terms + first;
    sums.count = count - (first + count == all && !groups.end() ? 1 : 0);
    cudaError_t error = start(static_cast<int>(first), count, workspace);
    if (error == cudaSuccess && sums.count > 0) error = add(sums, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace sigmascope::device
