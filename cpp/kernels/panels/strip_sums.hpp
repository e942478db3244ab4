// SPDX-License-Identifier: BSD-3-Clause
// The sums of z = A^T y in strips of columns, for NumberPanels and Bf16Panels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

// One chain of sums for each entry of z, in the order of AdjointKernels: tiles of adjoint_tile
// columns of A. A strip is the work of one task. When the chain ends it is added to ChainSums.
template <class T>
class StripSums {
 public:
  StripSums(const Isa& isa, ThreadPool& pool, const MatrixView& a, const PanelOptions& options,
            std::int64_t chain)
      : isa_(isa),
        rows_(a.rows()),
        cols_(a.cols()),
        width_(options.width),
        chain_(chain),
        strip_(std::min(
            most_columns,
            round_up(chunks(cols_, options.threads == PanelThreads::one ? 1 : pool.threads()),
                     adjoint_tile))) {}

  ChainSums<T> allocate() const {
    return ChainSums<T>(width_ * sum_rows(), width_ * strip_, rows_, chain_);
  }
  void attach(ChainSums<T>& totals) {
    totals_ = &totals;
    sums_ = aligned_array<T>(width_ * sum_rows());
    std::fill_n(sums_.get(), width_ * sum_rows(), T(0));
  }
  void detach() { sums_.reset(); }

  std::int64_t count() const { return chunks(cols_, strip_); }
  std::int64_t first(std::int64_t strip) const { return strip * strip_; }
  std::int64_t columns(std::int64_t strip) const { return std::min(strip_, cols_ - first(strip)); }
  T* sums(std::int64_t strip) { return sums_.get() + first(strip) * width_; }

  // Number of rows, of `count` rows from `row` on, that belong to the same chain.
  std::int64_t run(std::int64_t row, std::int64_t count) const {
    return std::min(count, chain_ - row % chain_);
  }
  // Called when the rows before `end` were added to a strip. If a chain ends there, its sums go to
  // the totals.
  void finish(std::int64_t strip, std::int64_t end) {
    if (end % chain_ != 0 && end != rows_) return;
    const std::int64_t index = (end - 1) / chain_;
    if (T* total = totals_->wait_for_turn(index, strip))
      IsaOf<T>::move(isa_)(sums(strip), std::min(strip_, sum_rows() - first(strip)) * width_,
                           total);
    totals_->advance(index, strip);
  }

  // z from the totals. `places` are those of the columns in a tile; null: in their order.
  void write(ThreadPool& pool, const ChainSums<T>& totals, const std::uint8_t* places,
             Block<T>& z) const {
    pool.run(count(), [&](std::int64_t strip, int) {
      for (std::int64_t j = first(strip); j < first(strip) + columns(strip); ++j) {
        const std::int64_t column = j % adjoint_tile;
        const T* tile =
            totals.data() + (j - column) * width_ + (places != nullptr ? places[column] : column);
        for (std::int64_t c = 0; c < width_; ++c) z.row(j)[c] = tile[c * adjoint_tile];
      }
    });
  }

 private:
  static constexpr std::int64_t most_columns = 192;  // of a strip

  std::int64_t sum_rows() const { return round_up(cols_, adjoint_tile); }

  const Isa& isa_;
  std::int64_t rows_, cols_, width_, chain_, strip_;
  AlignedArray<T> sums_;
  ChainSums<T>* totals_ = nullptr;
};

}  // namespace sigmascope
