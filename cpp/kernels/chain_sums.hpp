// SPDX-License-Identifier: BSD-3-Clause
// A sum of what several threads compute, in one order.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/block.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains, each of tile_sum rows of op(A), which are added in their order; in parts, so that
// threads follow each other and none waits for the whole of another's chain.
class ChainSums {
 public:
  ChainSums(std::int64_t size, std::int64_t part);
  // Part `part` of z, when it has all chains before `index`; null if there is no use in it any more.
  float* turn(std::int64_t index, std::int64_t part);
  void done(std::int64_t index, std::int64_t part);
  void give_up();  // nobody waits any more: a chain before theirs will not come

  const float* data() const { return z_.get(); }

 private:
  std::atomic<int>& next(std::int64_t part) { return next_[static_cast<std::size_t>(part)]; }

  std::int64_t part_, parts_;
  AlignedArray<float> z_;
  std::unique_ptr<std::atomic<int>[]> next_;  // of each part: how many chains it has; -1: given up
};

}  // namespace sigmascope
