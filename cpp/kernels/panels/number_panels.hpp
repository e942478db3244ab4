// SPDX-License-Identifier: BSD-3-Clause
// Products with panels of a matrix in T, the precision of blocks: Isa::product_f32, adjoint_f32 and
// those of fp64, or, where the matrix is stored in bf16, their like that widen its numbers on the
// way: half the bytes, the same bits. For cpu_backend.cpp alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {
namespace {

// Products with A (m x n), panel after panel of its rows. DOTS: a block of few columns may be
// multiplied by dot products along A's rows, faster; else sums are those of the adjoint of A's
// transpose, bit by bit.
template <class T, bool DOTS>
class NumberPanels {
  struct Right {
    const Block<T>* x;
    Turned<T> turned;
  };

 public:
  static constexpr bool columns = false;  // A^T goes along the rows of A
  // Rows of z = A^T y are summed in chains of so many, and these in groups of 16 (`ChainSums`), as
  // `forward` sums K: the error grows with 64 + 16 + m / 1024, not with m. Longer chains are no
  // faster, and rows of one repeated number made them err by 140 roundings (chains of 256) where
  // now it is 21. The cuts lie in the matrix, not in the panel, so that no bit depends on the
  // panel.
  static constexpr std::int64_t chain = 64;

  // `alone`: other threads take other panels.
  NumberPanels(const Isa& isa, ThreadPool& pool, const MatrixView& a, std::int64_t width, int,
               bool alone, std::int64_t asked_height)
      : isa_(isa),
        pool_(pool),
        rows_(a.rows()),
        cols_(a.cols()),
        width_(width),
        strip_(std::min(
            strip, chunks(chunks(cols_, alone ? 1 : pool.threads()), adjoint_tile) * adjoint_tile)),
        height_(std::min(asked_height > 0 ? asked_height
                         : !alone         ? shared_rows()
                         : width_ <= 64   ? own_rows
                                          : own_rows_wide,
                         std::max<std::int64_t>(a.rows(), 1))),
        scratch_(static_cast<std::size_t>(pool.threads())) {
    const Factors factors(a.factor);
    block_factor_ = static_cast<T>(factors.block);
    panel_factor_ = factors.panel;
    wide_ = std::is_same_v<T, float> && panel_factor_ == 1.0 && cols_ % 2 == 0 &&
            is_one_of_bf16(*a.matrix);
  }

  std::int64_t height() const { return height_; }

  std::shared_ptr<const Right> packed(const Block<T>& x) const {  // of an x that outlives it
    auto right = std::make_shared<Right>(Right{&x, {}});
    if constexpr (DOTS)
      if (isa_.dots && width_ <= 2 * dot_columns)
        right->turned = Turned(x.data.get(), cols_, width_, pool_);
    return right;
  }

  void multiply_with(std::shared_ptr<const Right> x) {  // what `forward` multiplies with
    right_ = std::move(x);
    y_ = aligned_array<T>(height_ * width_);
    if (cols_ > depth) more_ = aligned_array<T>(pool_.threads() * row_chunk * width_);
  }

  void make(std::optional<ChainSums<T>>& sums) const {
    sums.emplace(width_ * sum_rows(), width_ * strip_, chunks(rows_, chain));
  }

  void sum_in(ChainSums<T>& sums) {  // what `adjoint` adds to
    sums_ = &sums;
    chain_ = aligned_array<T>(width_ * sum_rows());
    std::fill_n(chain_.get(), width_ * sum_rows(), T(0));
    if (block_factor_ != T(1)) scaled_ = aligned_array<T>(height_ * width_);
  }

  void sum_no_more() { chain_.reset(); }
  void start(std::int64_t row) { before_ = row; }  // of the next panel, the first of a chain

  // The next: its numbers where they are stored, or decoded; it must outlive them.
  void take(const Panel& panel) {
    here_ = panel.rows;
    if (wide_) return take_codes(panel.pieces.front());
    if (panel_factor_ == 1.0 && is_plain<T>(panel, sizeof(T) == 4 ? DType::f32 : DType::f64)) {
      numbers_ = reinterpret_cast<const T*>(panel.pieces.front().data);
      ld_ = panel.pieces.front().row_stride / static_cast<std::int64_t>(sizeof(T));
      if (ld_ * static_cast<std::int64_t>(sizeof(T)) == panel.pieces.front().row_stride) return;
    }
    ld_ = spread<T>(cols_);
    if (!own_) own_ = aligned_array<T>(height_ * ld_);
    numbers_ = own_.get();
    constexpr std::int64_t few = 16;
    pool_.run(chunks(here_, few), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * few;
      decode_panel(isa_, panel, i, std::min(i + few, here_), 0, cols_, panel_factor_,
                   own_.get() + i * ld_, ld_, scratch_[static_cast<std::size_t>(worker)]);
    });
  }

  // y = (rows of A in the panel) x
  T* forward() {
    const std::int64_t size = std::min(row_chunk, chunks(here_, pool_.threads()));
    pool_.run(chunks(here_, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, count = std::min(size, here_ - i);
      T* y = y_.get() + i * width_;
      std::fill_n(y, count * width_, T(0));
      if constexpr (DOTS)
        if (right_->turned.words) dots(i, count, y);
      if (!right_->turned.words) {
        product(i, 0, count, std::min(depth, cols_), y);
        for (std::int64_t p = depth; p < cols_; p += depth) {
          T* more = more_.get() + worker * row_chunk * width_;
          std::fill_n(more, count * width_, T(0));
          product(i, p, count, std::min(depth, cols_ - p), more);
          for (std::int64_t e = 0; e < count * width_; ++e) y[e] += more[e];
        }
      }
      if (block_factor_ != T(1)) scale(y, count, y);
    });
    return y_.get();
  }

  // z += (rows of A in the panel)^T y
  void adjoint(const T* y) {
    if (scaled_) {
      scale(y, here_, scaled_.get());
      y = scaled_.get();
    }
    pool_.run(chunks(cols_, strip_), [&](std::int64_t part, int) {
      const std::int64_t j = part * strip_, count = std::min(strip_, cols_ - j);
      T* sum = chain_.get() + j * width_;
      for (std::int64_t i = 0, run = 0; i < here_; i += run) {
        const std::int64_t before = before_ + i, index = before / chain;
        run = std::min(here_ - i, chain - before % chain);
        adjoint(i, j, run, count, y + i * width_, sum);
        if ((before + run) % chain != 0 && before + run != rows_) continue;
        if (T* total = sums_->turn(index, part))
          IsaOf<T>::move(isa_)(sum, std::min(strip_, sum_rows() - j) * width_, total);
        sums_->done(index, part);
      }
    });
    before_ += here_;
  }

  void result(const ChainSums<T>& sums, Block<T>& z) const {
    pool_.run(chunks(cols_, strip_), [&](std::int64_t part, int) {
      for (std::int64_t j = part * strip_; j < std::min(cols_, (part + 1) * strip_); ++j) {
        const std::int64_t place = wide_ ? isa_.wide_places[j % adjoint_tile] : j % adjoint_tile;
        const T* tile = sums.data() + j / adjoint_tile * adjoint_tile * width_ + place;
        for (std::int64_t c = 0; c < width_; ++c) z.row(j)[c] = tile[c * adjoint_tile];
      }
    });
  }

 private:
  // Terms of K summed at a time: long runs of every row.
  static constexpr std::int64_t depth = ChainSums<T>::group * chain;
  static constexpr std::int64_t row_chunk = 64;  // rows per task
  // Columns per task of a transposed product.
  static constexpr std::int64_t strip = 192;
  // Rows of a panel that one thread passes over twice. All threads at one: as many bytes as make
  // the sums of the transposed product a small part of the work.
  static constexpr std::int64_t own_rows = 64, own_rows_wide = 128, most_rows = 256,
                                shared_bytes = std::int64_t{4} << 20;

  std::int64_t shared_rows() const {
    const std::int64_t row_bytes =
                           static_cast<std::int64_t>(sizeof(T)) * std::max<std::int64_t>(cols_, 1),
                       turn = 64 * pool_.threads();
    return std::clamp<std::int64_t>(shared_bytes / (row_bytes * turn), 1,
                                    std::max<std::int64_t>(most_rows / turn, 1)) *
           turn;
  }
  std::int64_t sum_rows() const { return chunks(cols_, adjoint_tile) * adjoint_tile; }

  // Pairs of codes, at addresses of words.
  void take_codes(const Piece& piece) {
    codes_ = reinterpret_cast<const std::uint16_t*>(piece.data);
    ld_ = piece.row_stride / 2;
    if (piece.aligned_to(4)) return;
    ld_ = spread<std::uint16_t>(cols_);
    if (!own_codes_) own_codes_ = aligned_array<std::uint16_t>(height_ * ld_);
    codes_ = own_codes_.get();
    for (std::int64_t i = 0; i < here_; ++i)
      std::memcpy(own_codes_.get() + i * ld_, piece.data + i * piece.row_stride,
                  static_cast<std::size_t>(2 * cols_));
  }

  // y (rows x width) += rows from i, columns from j of the panel, times those rows of x.
  void product(std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t cols, T* y) const {
    const Isa& isa = isa_.of<T>(width_);
    if constexpr (std::is_same_v<T, float>)
      if (wide_)
        return isa.product_wide(
            rows, width_, cols, reinterpret_cast<const std::uint32_t*>(codes_ + i * ld_ + j),
            ld_ / 2, 1, right_->x->row(j), width_, y, width_, Accumulate::sum_blocks);
    IsaOf<T>::product(isa)(rows, width_, cols, numbers_ + i * ld_ + j, ld_, 1, right_->x->row(j),
                           width_, y, width_, Accumulate::sum_blocks);
  }

  // The same of all columns, the block turned.
  void dots(std::int64_t i, std::int64_t rows, T* y) const {
    const auto& [half, words] = right_->turned;
    if (wide_) isa_.dots->wide(rows, cols_, codes_ + i * ld_, ld_, words.get(), half, width_, y);
    else isa_.dots->f32(rows, cols_, numbers_ + i * ld_, ld_, words.get(), half, width_, y);
  }

  // Sums of columns += those rows and columns, turned, times y.
  void adjoint(std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t cols, const T* y,
               T* sums) const {
    if constexpr (std::is_same_v<T, float>)
      if (wide_)
        return isa_.adjoint_wide(codes_ + i * ld_ + j, ld_, rows, cols, y, width_, width_, sums,
                                 adjoint_tile * width_);
    IsaOf<T>::adjoint(isa_)(numbers_ + i * ld_ + j, ld_, rows, cols, y, width_, width_, sums,
                            adjoint_tile * width_);
  }

  void scale(const T* x, std::int64_t rows, T* to) const {
    for (std::int64_t e = 0; e < rows * width_; ++e) to[e] = block_factor_ * x[e];
  }

  const Isa& isa_;
  ThreadPool& pool_;
  std::int64_t rows_, cols_, width_, strip_, height_;
  bool wide_;            // codes, not numbers
  AlignedArray<T> own_;  // of a panel, unless A's own numbers or codes serve
  AlignedArray<std::uint16_t> own_codes_;
  std::shared_ptr<const Right> right_;
  AlignedArray<T> y_, more_, scaled_, chain_;  // the sum that is not yet whole
  ChainSums<T>* sums_ = nullptr;
  std::vector<std::vector<std::byte>> scratch_;
  T block_factor_ = 1;
  double panel_factor_ = 1;
  const T* numbers_ = nullptr;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t here_ = 0, before_ = 0, ld_ = 0;
};

}  // namespace
}  // namespace sigmascope
