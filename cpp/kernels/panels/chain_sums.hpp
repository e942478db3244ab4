// SPDX-License-Identifier: BSD-3-Clause
// A sum of what several threads compute, in one order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/blocks/block.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains of rows of op(A), which are added in their order; in parts, so
// that threads follow each other and none waits for the whole of another's chain. Sums of 16 chains
// are added in their turn: of m rows the error grows with 16 + m / (16 chain), not with m / chain.
template <class T>
class ChainSums {
 public:
  static constexpr std::int64_t group = 16;

  ChainSums(std::int64_t size, std::int64_t part, std::int64_t chains)
      : size_(size),
        part_(part),
        parts_(chunks(size, part)),
        chains_(chains),
        z_(aligned_array<T>(size)),
        next_(std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(parts_))) {
    std::fill_n(z_.get(), size, T(0));
    if (chains_ <= group) return;
    total_ = aligned_array<T>(size);
    std::fill_n(total_.get(), size, T(0));
  }

  // Part `part` of z, when it has all chains before `index`; null if there is no use in it any
  // more.
  T* turn(std::int64_t index, std::int64_t part) {
    for (int seen = next(part).load(); seen != index; seen = next(part).load()) {
      if (seen < 0) return nullptr;
      next(part).wait(seen);
    }
    return z_.get() + part * part_;
  }

  void done(std::int64_t index, std::int64_t part) {
    if (total_ && ((index + 1) % group == 0 || index + 1 == chains_)) {
      T *from = z_.get() + part * part_, *to = total_.get() + part * part_;
      const std::int64_t count = std::min(part_, size_ - part * part_);
      for (std::int64_t e = 0; e < count; ++e) to[e] += from[e];
      std::fill_n(from, count, T(0));
    }
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

  const T* data() const { return total_ ? total_.get() : z_.get(); }

 private:
  std::atomic<int>& next(std::int64_t part) { return next_[static_cast<std::size_t>(part)]; }

  std::int64_t size_, part_, parts_, chains_;
  // Sums of up to 16 chains, and of all groups of 16 before them, if there are more.
  AlignedArray<T> z_, total_;
  std::unique_ptr<std::atomic<int>[]> next_;  // of each part: how many chains it has; -1: given up
};

}  // namespace sigmascope
