// SPDX-License-Identifier: BSD-3-Clause
// A sum of what several threads compute, in one order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/blocks/block.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains of rows of op(A), which are added in their order. z is cut
// into parts, so that a thread waits for one part of another's chain and not for all of it. Sums of
// 16 chains are added to a total: over m rows the error grows with 16 + m / (16 chain), not with m
// / chain.
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
        next_(std::make_unique<std::atomic<int>[]>(as_size(parts_))) {
    std::fill_n(z_.get(), size, T(0));
    if (chains_ <= group) return;
    total_ = aligned_array<T>(size);
    std::fill_n(total_.get(), size, T(0));
  }

  // Waits until this part of z has all chains before `index`, and returns it; null if cancelled.
  T* wait_for_turn(std::int64_t index, std::int64_t part) {
    for (int seen = next(part).load(); seen != index; seen = next(part).load()) {
      if (seen < 0) return nullptr;
      next(part).wait(seen);
    }
    return z_.get() + part * part_;
  }

  // The part has chain `index` too.
  void advance(std::int64_t index, std::int64_t part) {
    if (total_ && ((index + 1) % group == 0 || index + 1 == chains_)) {
      T *from = z_.get() + part * part_, *to = total_.get() + part * part_;
      const std::int64_t count = std::min(part_, size_ - part * part_);
      for (std::int64_t e = 0; e < count; ++e) to[e] += from[e];
      std::fill_n(from, count, T(0));
    }
    auto seen = static_cast<int>(index);
    next(part).compare_exchange_strong(seen, seen + 1);  // unless cancelled
    next(part).notify_all();
  }

  // After an error: nobody waits any more for a chain that will not come.
  void cancel() {
    for (std::int64_t part = 0; part < parts_; ++part) {
      next(part).store(-1);
      next(part).notify_all();
    }
  }

  const T* data() const { return total_ ? total_.get() : z_.get(); }

 private:
  std::atomic<int>& next(std::int64_t part) { return next_[as_size(part)]; }

  std::int64_t size_, part_, parts_, chains_;
  // Sums of up to 16 chains, and of all groups of 16 before them, if there are more.
  AlignedArray<T> z_, total_;
  std::unique_ptr<std::atomic<int>[]> next_;  // how many chains each part has; -1: cancelled
};

}  // namespace sigmascope
