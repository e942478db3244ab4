// SPDX-License-Identifier: BSD-3-Clause
// Sums of what several threads compute, in one order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/term_blocks.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// z = op(A)^T y as the sum of chains of rows of op(A), which are added in their order. z is cut
// into parts, so that a thread waits for one part of another's chain and not for all of it. Sums of
// 16 chains are added to that of a block of rows, and blocks as a tree (term_blocks.hpp).
template <class T>
class ChainSums {
 public:
  static constexpr std::int64_t group = 16;

  // Of `size` sums over so many rows.
  ChainSums(std::int64_t size, std::int64_t part, std::int64_t rows, std::int64_t chain)
      : size_(size),
        part_(part),
        parts_(chunks(size, part)),
        chains_(chunks(rows, chain)),
        chains_of_block_(block_terms / chain),
        z_(aligned_array<T>(size)),
        total_(aligned_array<T>(more_sums(rows, chain) * size)),
        next_(std::make_unique<std::atomic<int>[]>(as_size(parts_))) {
    std::fill_n(z_.get(), size, T(0));
    if (has_groups()) std::fill_n(total_.get(), size, T(0));
  }

  // Sums of groups, of blocks and of the levels of their tree, for each of z.
  static std::int64_t more_sums(std::int64_t rows, std::int64_t chain) {
    return rows > group * chain ? 1 + tree_levels(rows) : 0;
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
    const bool last = index + 1 == chains_;
    if (has_groups() && ((index + 1) % group == 0 || last)) {
      T *sums = z_.get() + part * part_, *total = total_.get() + part * part_;
      move(sums, total, part);
      if ((index + 1) % chains_of_block_ == 0 || last) {
        const std::int64_t level =
            end_block(index / chains_of_block_, last,
                      [&](std::int64_t before) { add(total + (1 + before) * size_, total, part); });
        if (level >= 0) {
          std::copy_n(total, count_of(part), total + (1 + level) * size_);
          std::fill_n(total, count_of(part), T(0));
        }
      }
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

  const T* data() const { return has_groups() ? total_.get() : z_.get(); }

 private:
  static_assert(block_terms % (group * tile_sum) == 0);

  bool has_groups() const { return chains_ > group; }
  std::int64_t count_of(std::int64_t part) const { return std::min(part_, size_ - part * part_); }
  void add(const T* from, T* to, std::int64_t part) const {
    for (std::int64_t e = 0; e < count_of(part); ++e) to[e] += from[e];
  }
  // to += from; from = 0
  void move(T* from, T* to, std::int64_t part) const {
    add(from, to, part);
    std::fill_n(from, count_of(part), T(0));
  }
  std::atomic<int>& next(std::int64_t part) { return next_[as_size(part)]; }

  std::int64_t size_, part_, parts_, chains_, chains_of_block_;
  // Sums of up to 16 chains; if there are more, of the groups of 16 in a block, and of each level.
  AlignedArray<T> z_, total_;
  std::unique_ptr<std::atomic<int>[]> next_;  // how many chains each part has; -1: cancelled
};

// Sums over all terms of A x, in tasks of several threads: blocks of terms, added as a tree.
template <class T>
class TermBlocks {
 public:
  TermBlocks() = default;
  // Up to `group` terms are summed at a time, and the groups of a block in their order. A task has
  // no more than `most` sums.
  TermBlocks(std::int64_t terms, std::int64_t group, std::int64_t most, int threads)
      : terms_(terms),
        group_(group),
        most_(most),
        sums_(terms > group ? 1 + tree_levels(terms) : 0),
        own_(aligned_array<T>(threads * sums_ * most)) {}

  // y, of `count` sums. add(first, terms, to) adds the products of some terms.
  template <class Add>
  void sum(int worker, T* y, std::int64_t count, const Add& add) const {
    T* group = own_.get() + worker * sums_ * most_;
    const auto add_to_y = [&](const T* from) {
      for (std::int64_t e = 0; e < count; ++e) y[e] += from[e];
    };
    std::fill_n(y, count, T(0));
    for (std::int64_t first = 0; first < terms_; first += group_) {
      const std::int64_t terms = std::min(group_, terms_ - first), end = first + terms;
      if (first % block_terms == 0) {
        add(first, terms, y);
      } else {
        std::fill_n(group, count, T(0));
        add(first, terms, group);
        add_to_y(group);
      }
      if (terms_ <= block_terms || (end % block_terms != 0 && end != terms_)) continue;
      const std::int64_t level =
          end_block(first / block_terms, end == terms_,
                    [&](std::int64_t before) { add_to_y(group + (1 + before) * most_); });
      if (level >= 0) {
        std::copy_n(y, count, group + (1 + level) * most_);
        std::fill_n(y, count, T(0));
      }
    }
  }

 private:
  std::int64_t terms_ = 0, group_ = 1, most_ = 0, sums_ = 0;
  AlignedArray<T> own_;  // of each thread: sums of a group, and of each level
};

}  // namespace sigmascope
