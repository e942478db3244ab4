// SPDX-License-Identifier: BSD-3-Clause
// Products with panels of a matrix in T, the precision of blocks: ProductKernels, AdjointKernels
// and DotKernels. Where the matrix is stored in bf16, kernels that widen its numbers read half
// the bytes and return the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/panels/products.hpp"
#include "kernels/panels/strip_sums.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Products with A (m x n), panel after panel of its rows.
template <class T, ForwardSums FORWARD>
class NumberPanels {
  struct Right {
    const Block<T>* x;
    DotOperand<T> columns;  // x again, if there are dot products
  };

 public:
  using Real = T;
  static constexpr bool transposes = false;
  // Rows of z = A^T y are summed in chains of so many, these in groups of 16 (`ChainSums`), and
  // groups in blocks, as `forward` sums K: the error grows with 64 + 16 + 64 + log2(m / 65,536),
  // not with m. Chains of 256 save one or two per cent of the time, but on rows of one repeated
  // number they err by more roundings than residuals and floors allow for (test_certificates.py).
  // The cuts lie in the matrix, not in the panel, so that no bit depends on the panel.
  static constexpr std::int64_t chain = 64;
  static constexpr std::int64_t row_chunk = 64;  // rows per task

  // Most rows of a panel, of rows of `cols` numbers.
  static std::int64_t panel_rows(const PanelOptions& options, std::int64_t cols, int threads) {
    constexpr std::int64_t bytes = std::int64_t{4} << 20, most_rows = 256;
    if (options.height > 0) return options.height;
    if (options.threads == PanelThreads::one) {
      // Four columns are multiplied faster than the L2 cache supplies the rows a second time.
      constexpr std::int64_t four = 4, few = 16;
      return sizeof(T) == 8 && options.width <= four ? few : own_panel_rows(options.width);
    }
    const std::int64_t row_bytes =
        static_cast<std::int64_t>(sizeof(T)) * std::max<std::int64_t>(cols, 1);
    return shared_panel_rows(row_bytes, threads, bytes, most_rows);
  }

  NumberPanels(const Isa& isa, ThreadPool& pool, const MatrixView& a, const PanelOptions& options)
      : isa_(isa),
        pool_(pool),
        cols_(a.cols()),
        width_(options.width),
        height_(std::min(panel_rows(options, cols_, pool.threads()),
                         std::max<std::int64_t>(a.rows(), 1))),
        strips_(isa, pool, a, options, chain),
        scratch_(as_size(pool.threads())) {
    const Factors factors(a.factor);
    block_factor_ = static_cast<T>(factors.block);
    panel_factor_ = factors.panel;
    wide_ = std::is_same_v<T, float> && panel_factor_ == 1.0 && cols_ % 2 == 0 &&
            is_one_of_bf16(*a.matrix);
  }

  std::int64_t height() const { return height_; }

  std::shared_ptr<const Right> packed(const Block<T>& x) const {
    auto right = std::make_shared<Right>(Right{&x, {}});
    if constexpr (FORWARD == ForwardSums::fastest)
      if (isa_.dots && width_ <= 2 * dot_columns)
        right->columns = DotOperand(x.data.get(), cols_, width_, pool_);
    return right;
  }

  void load_block(std::shared_ptr<const Right> x) {
    right_ = std::move(x);
    y_ = aligned_array<T>(height_ * width_);
    blocks_ = TermBlocks<T>(cols_, right_->columns.words ? block_terms : depth, row_chunk * width_,
                            pool_.threads());
  }

  ChainSums<T> allocate_sums() const { return strips_.allocate(); }
  void attach_sums(ChainSums<T>& sums) {
    strips_.attach(sums);
    if (block_factor_ != T(1)) scaled_ = aligned_array<T>(height_ * width_);
  }
  void detach_sums() { strips_.detach(); }
  void start_at(std::int64_t row) { before_ = row; }

  // Numbers where they are stored, or decoded.
  void load_panel(const Panel& panel) {
    here_ = panel.rows;
    if (wide_) return load_codes(panel.pieces.front());
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
                   own_.get() + i * ld_, ld_, scratch_[as_size(worker)]);
    });
  }

  // y = (rows of A in the panel) x
  T* forward() {
    const std::int64_t size = std::min(row_chunk, chunks(here_, pool_.threads()));
    pool_.run(chunks(here_, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, count = std::min(size, here_ - i);
      T* y = y_.get() + i * width_;
      blocks_.sum(worker, y, count * width_, [&](std::int64_t first, std::int64_t terms, T* to) {
        if constexpr (FORWARD == ForwardSums::fastest)
          if (right_->columns.words) return dots(i, first, count, terms, to);
        product(i, first, count, terms, to);
      });
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
    pool_.run(strips_.count(), [&](std::int64_t strip, int) {
      for (std::int64_t i = 0, run = 0; i < here_; i += run) {
        run = strips_.run(before_ + i, here_ - i);
        add_adjoint(i, strips_.first(strip), run, strips_.columns(strip), y + i * width_,
                    strips_.sums(strip));
        strips_.finish(strip, before_ + i + run);
      }
    });
    before_ += here_;
  }

  void write_result(const ChainSums<T>& sums, Block<T>& z) const {
    strips_.write(pool_, sums, wide_ ? isa_.adjoint.wide_places : nullptr, z);
  }

 private:
  // Terms of K summed at a time: long runs of every row, as many as a group of chains has.
  static constexpr std::int64_t depth = ChainSums<T>::group * chain;

  // Pairs of codes, at addresses of words.
  void load_codes(const Piece& piece) {
    codes_ = reinterpret_cast<const std::uint16_t*>(piece.data);
    ld_ = piece.row_stride / 2;
    if (piece.aligned_to(4)) return;
    ld_ = spread<std::uint16_t>(cols_);
    if (!own_codes_) own_codes_ = aligned_array<std::uint16_t>(height_ * ld_);
    codes_ = own_codes_.get();
    for (std::int64_t i = 0; i < here_; ++i)
      std::memcpy(own_codes_.get() + i * ld_, piece.data + i * piece.row_stride,
                  as_size(2 * cols_));
  }

  // y (rows x width) += rows from i, columns from j of the panel, times those rows of x.
  void product(std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t cols, T* y) const {
    const Isa& isa = isa_.of<T>(width_);
    if constexpr (std::is_same_v<T, double>)
      if (width_ == 4 && isa_.product.f64_by_four != nullptr) {
        const std::int64_t eights = rows / 8 * 8;
        isa_.product.f64_by_four(eights, cols, numbers_ + i * ld_ + j, ld_, right_->x->row(j), y);
        i += eights, rows -= eights, y += eights * width_;
      }
    if constexpr (std::is_same_v<T, float>)
      if (wide_)
        return isa.product.wide(
            rows, width_, cols, reinterpret_cast<const std::uint32_t*>(codes_ + i * ld_ + j),
            ld_ / 2, 1, right_->x->row(j), width_, y, width_, Accumulate::sum_blocks);
    IsaOf<T>::product(isa)(rows, width_, cols, numbers_ + i * ld_ + j, ld_, 1, right_->x->row(j),
                           width_, y, width_, Accumulate::sum_blocks);
  }

  // The same by dot products, from a multiple of dot_run on.
  void dots(std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t cols, T* y) const {
    const T* x = right_->columns.words.get() + j * dot_columns;
    const std::int64_t half = right_->columns.half;
    if (wide_) isa_.dots->wide(rows, cols, codes_ + i * ld_ + j, ld_, x, half, width_, y);
    else isa_.dots->f32(rows, cols, numbers_ + i * ld_ + j, ld_, x, half, width_, y);
  }

  // Sums += (rows from i, columns from j of the panel)^T y
  void add_adjoint(std::int64_t i, std::int64_t j, std::int64_t rows, std::int64_t cols, const T* y,
                   T* sums) const {
    if constexpr (std::is_same_v<T, float>)
      if (wide_)
        return isa_.adjoint.wide(codes_ + i * ld_ + j, ld_, rows, cols, y, width_, width_, sums,
                                 adjoint_tile * width_);
    IsaOf<T>::adjoint(isa_)(numbers_ + i * ld_ + j, ld_, rows, cols, y, width_, width_, sums,
                            adjoint_tile * width_);
  }

  void scale(const T* x, std::int64_t rows, T* to) const {
    for (std::int64_t e = 0; e < rows * width_; ++e) to[e] = block_factor_ * x[e];
  }

  const Isa& isa_;
  ThreadPool& pool_;
  std::int64_t cols_, width_, height_;
  StripSums<T> strips_;
  bool wide_ = false;    // codes, not numbers
  AlignedArray<T> own_;  // of a panel, unless A's own numbers or codes serve
  AlignedArray<std::uint16_t> own_codes_;
  std::shared_ptr<const Right> right_;
  TermBlocks<T> blocks_;
  AlignedArray<T> y_, scaled_;
  std::vector<std::vector<std::byte>> scratch_;
  T block_factor_ = 1;
  double panel_factor_ = 1;
  const T* numbers_ = nullptr;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t here_ = 0, before_ = 0, ld_ = 0;
};

static_assert(PanelProduct<NumberPanels<float, ForwardSums::fastest>>);
static_assert(PanelProduct<NumberPanels<double, ForwardSums::as_adjoint>>);

}  // namespace sigmascope
