// SPDX-License-Identifier: BSD-3-Clause
// Long sums: of what several threads compute, in one order, and with what each addition loses.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/blocks/block.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Terms of a total up to which it is a plain sum. Those of a longer one are added together with
// what each addition loses, which is known exactly (Knuth's TwoSum): of 10^7 equal rows plain sums
// in fp64 were off by 1.7e-13, and in fp32 by 1e-4.
inline constexpr std::int64_t plain_terms = 64;

// total += terms, and lost += what these additions round off.
template <class T>
void add_with_loss(const T* terms, std::int64_t count, T* total, T* lost) {
  for (std::int64_t e = 0; e < count; ++e) {
    const T next = total[e] + terms[e], added = next - total[e];
    lost[e] += (total[e] - (next - added)) + (terms[e] - added);
    total[e] = next;
  }
}

// z = op(A)^T y as the sum of chains of rows of op(A), which are added in their order. z is cut
// into parts, so that a thread waits for one part of another's chain and not for all of it. Sums of
// 16 chains are added to a total, a compensated one where there are more than 64 such sums: the
// error is that of chain + 16 + 64 roundings at most, however many rows there are.
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
    if (!compensates(chains_)) return;
    lost_ = aligned_array<T>(size);
    std::fill_n(lost_.get(), size, T(0));
  }

  static bool compensates(std::int64_t chains) { return chains > plain_terms * group; }

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
    const bool last = index + 1 == chains_;
    if (total_ && ((index + 1) % group == 0 || last)) {
      const std::int64_t first = part * part_, count = std::min(part_, size_ - first);
      T *from = z_.get() + first, *to = total_.get() + first;
      if (lost_) add_with_loss(from, count, to, lost_.get() + first);
      else add(from, count, to);
      if (lost_ && last) add(lost_.get() + first, count, to);
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
  static void add(const T* terms, std::int64_t count, T* total) {
    for (std::int64_t e = 0; e < count; ++e) total[e] += terms[e];
  }

  std::atomic<int>& next(std::int64_t part) { return next_[as_size(part)]; }

  std::int64_t size_, part_, parts_, chains_;
  // Sums of up to 16 chains; of all groups of 16 before them, if there are more; and what these
  // have lost.
  AlignedArray<T> z_, total_, lost_;
  std::unique_ptr<std::atomic<int>[]> next_;  // how many chains each part has; -1: cancelled
};

}  // namespace sigmascope
