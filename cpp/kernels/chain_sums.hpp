// SPDX-License-Identifier: BSD-3-Clause
// A sum of what several threads compute, in one order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "kernels/block.hpp"
#include "kernels/thread_pool.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains, each of tile_sum rows of op(A), which are added in their order.
class ChainSums {
 public:
  explicit ChainSums(std::int64_t size);
  const float* data() const { return z_.get(); }
  std::int64_t size() const { return size_; }
  // z += chain, chain = 0. Waits until it is its turn.
  void add(std::int64_t index, float* chain, ThreadPool& pool);
  void give_up();  // nobody waits any more: a chain before theirs will not come

 private:
  std::int64_t size_, turn_ = 0;
  bool given_up_ = false;
  std::mutex mutex_;
  std::condition_variable next_;
  AlignedArray<float> z_;
};

}  // namespace sigmascope
