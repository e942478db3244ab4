// SPDX-License-Identifier: BSD-3-Clause
// Long sums of products: blocks of 65,536 terms, whose sums are added as a binary tree. Of equal
// terms all roundings have one sign, so that over m terms the error grows with log2(m / 65,536),
// not with m. The terms' numbers alone fix the tree. The kernels of a device have the same.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define SIGMASCOPE_HOST_DEVICE __host__ __device__
#else
#define SIGMASCOPE_HOST_DEVICE
#endif

namespace sigmascope {

// Terms of a block, a multiple of what every product sums at a time.
inline constexpr std::int64_t block_terms = 65536;

// Levels of the tree: sums that it keeps next to that of the block which is being summed.
SIGMASCOPE_HOST_DEVICE constexpr std::int64_t tree_levels(std::int64_t terms) {
  std::int64_t levels = 0;
  for (std::int64_t blocks = (terms - 1) / block_terms; blocks > 0; blocks /= 2) ++levels;
  return levels;
}

// Ends block `block`. Calls add(level) for each level whose sum is to be added to the block's, and
// returns the level that receives the result; -1 after the last block, where it is the whole sum.
template <class Add>
SIGMASCOPE_HOST_DEVICE std::int64_t end_block(std::int64_t block, bool last, const Add& add) {
  std::int64_t level = 0;
  for (; block > 0; block /= 2, ++level) {
    if (block % 2 == 1) add(level);
    else if (!last) break;
  }
  return last ? -1 : level;
}

// The same of single sums that lie `step` apart, after each of `all` parts: `sum` has the `seen` of
// them in this block, which takes `of_block`.
template <class T>
SIGMASCOPE_HOST_DEVICE void end_part(std::int64_t seen, std::int64_t of_block, std::int64_t all,
                                     T& sum, T* levels, std::int64_t step) {
  if (all <= of_block || (seen % of_block != 0 && seen != all)) return;
  const std::int64_t level = end_block((seen - 1) / of_block, seen == all,
                                       [&](std::int64_t before) { sum += levels[before * step]; });
  if (level >= 0) levels[level * step] = sum, sum = 0;
}

// The most additions that follow one another in a sum of so many terms, in chains of 64 and groups
// of 16 chains (NumberPanels).
constexpr std::int64_t product_additions(std::int64_t terms) {
  constexpr std::int64_t chain = 64, chains = 16, groups = block_terms / (chain * chains);
  const std::int64_t count = terms / (chain * chains);
  return chain + chains + (count < groups ? count : groups) + tree_levels(terms);
}

}  // namespace sigmascope
