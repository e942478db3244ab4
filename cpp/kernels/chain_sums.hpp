// SPDX-License-Identifier: BSD-3-Clause
// A sum of what several threads compute, in one order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/block.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains of rows of op(A), which are added in their order; in parts, so that threads follow
// each other and none waits for the whole of another's chain.
template <class T>
class ChainSums {
 public:
  ChainSums(std::int64_t size, std::int64_t part)
      : part_(part),
        parts_(chunks(size, part)),
        z_(aligned_array<T>(size)),
        next_(std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(parts_))) {
    std::fill_n(z_.get(), size, T(0));
  }

  // Part `part` of z, when it has all chains before `index`; null if there is no use in it any more.
  T* turn(std::int64_t index, std::int64_t part) {
    for (int seen = next(part).load(); seen != index; seen = next(part).load()) {
      if (seen < 0) return nullptr;
      next(part).wait(seen);
    }
    return z_.get() + part * part_;
  }

  void done(std::int64_t index, std::int64_t part) {
    auto seen = static_cast<int>(index);
    next(part).compare_exchange_strong(seen, seen + 1);  // unless all have given up
    next(part).notify_all();
  }

  void give_up() {  // nobody waits any more: a chain before theirs will not come
    for (std::int64_t part = 0; part < parts_; ++part) {
      next(part).store(-1);
      next(part).notify_all();
    }
  }

  const T* data() const { return z_.get(); }

 private:
  std::atomic<int>& next(std::int64_t part) { return next_[static_cast<std::size_t>(part)]; }

  std::int64_t part_, parts_;
  AlignedArray<T> z_;
  std::unique_ptr<std::atomic<int>[]> next_;  // of each part: how many chains it has; -1: given up
};

}  // namespace sigmascope
