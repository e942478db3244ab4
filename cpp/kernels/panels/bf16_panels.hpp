// SPDX-License-Identifier: BSD-3-Clause
// Products with panels of a matrix in bf16 by pairs: ProductKernels::bf16 and AdjointKernels::bf16.
//
// Sums start afresh every tile_sum terms of the matrix, wherever its panels end, so that no bit
// depends on the panel, on how often A is read, or on which product it is.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/panels/stored_parts.hpp"
#include "kernels/panels/strip_sums.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

inline std::int64_t even(std::int64_t n) { return round_up(n, 2); }

// A block as pairs of rows, `group` columns after another: word (pair, column) of group g is at
// data[g*pairs*group + ...].
struct PairedBlock {
  static constexpr std::int64_t group = 64;  // 4 vectors

  std::int64_t pairs, cols;  // cols: padded to whole vectors
  AlignedArray<std::uint32_t> data;
  DotOperand<std::uint32_t> columns;  // the same, if there are dot products along rows

  PairedBlock(std::int64_t rows, std::int64_t ld)
      : pairs(even(rows) / 2), cols(ld), data(aligned_array<std::uint32_t>(pairs * ld)) {}
  std::int64_t width(std::int64_t j) const { return std::min(group, cols - j); }
  const std::uint32_t* at(std::int64_t pair, std::int64_t j) const {
    return data.get() + j * pairs + pair * width(j);
  }

  // Rows [i0, i1) of a row-major block that starts at x, as bf16(factor x). i0 is even; a missing
  // row is zero.
  void pack(const Isa& isa, const float* x, std::int64_t i0, std::int64_t i1, float factor) {
    for (std::int64_t j = 0; j < cols; j += group)
      isa.blocks.pack_pairs(x + i0 * cols + j, cols, i1 - i0, width(j), factor,
                            data.get() + j * pairs + i0 / 2 * width(j));
  }
};

// Products with A (m x n), panel after panel of its rows.
class Bf16Panels {
 public:
  using Real = float;
  static constexpr bool transposes = false;
  static constexpr std::int64_t chain = tile_sum;
  static constexpr std::int64_t row_chunk = 64;  // rows per task

  // Most rows of a panel, of rows of `cols` numbers.
  static std::int64_t panel_rows(const PanelOptions& options, std::int64_t cols, int threads) {
    constexpr std::int64_t bytes = std::int64_t{2} << 20;
    if (options.height > 0) return even(options.height);
    if (options.threads == PanelThreads::one) return own_panel_rows(options.width);
    return shared_panel_rows(2 * std::max<std::int64_t>(cols, 1), threads, bytes, chain);
  }

  Bf16Panels(const Isa& isa, ThreadPool& pool, const MatrixView& a, const PanelOptions& options)
      : isa_(isa),
        pool_(pool),
        cols_(a.cols()),
        width_(options.width),
        height_(std::min(panel_rows(options, cols_, pool.threads()), even(a.rows()))),
        strips_(isa, pool, a, options, chain),
        left_(std::min(height_, chain), width_),
        decoding_(as_size(pool.threads())) {
    const Factors factors(a.factor);
    block_factor_ = static_cast<float>(factors.block);
    panel_factor_ = factors.panel;
  }

  std::int64_t height() const { return height_; }

  std::shared_ptr<const PairedBlock> packed(const Block<float>& x) const {
    auto block = std::make_shared<PairedBlock>(cols_, width_);
    pack(*block, x.data.get(), cols_);
    if (isa_.dots && width_ <= 2 * dot_columns)
      block->columns = DotOperand(block->data.get(), block->pairs, width_, pool_);
    return block;
  }

  void load_block(std::shared_ptr<const PairedBlock> x) {
    right_ = std::move(x);
    y_ = aligned_array<float>(height_ * width_);
    blocks_ = TermBlocks<float>(cols_, block_terms, row_chunk * width_, pool_.threads());
  }

  ChainSums<float> allocate_sums() const { return strips_.allocate(); }
  void attach_sums(ChainSums<float>& sums) { strips_.attach(sums); }
  void detach_sums() { strips_.detach(); }
  void start_at(std::int64_t row) { before_ = row; }

  // Numbers where they are stored, or decoded.
  void load_panel(const Panel& panel) {
    here_ = panel.rows;
    std::int64_t stride = 0;
    if (panel_factor_ == 1.0 && panel.cols % 2 == 0 && parts_at_hand(panel, stride) == 1) {
      const Piece& piece = panel.pieces.front();
      if (piece.row_stride % 4 == 0 && piece.aligned_to(4)) {
        codes_ = reinterpret_cast<const std::uint16_t*>(piece.data);
        ld_ = piece.row_stride / 2;
        return;
      }
    }
    ld_ = spread<std::uint16_t>(cols_);
    if (!own_) own_ = aligned_array<std::uint16_t>(height_ * ld_);
    codes_ = own_.get();
    constexpr std::int64_t few = 16;
    pool_.run(chunks(here_, few), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * few, end = std::min(i + few, here_);
      decode_bf16(isa_, panel, i, end, 0, cols_, panel_factor_, own_.get() + i * ld_, ld_,
                  decoding_[as_size(worker)]);
      if (cols_ % 2 != 0)
        for (std::int64_t r = i; r < end; ++r) own_[r * ld_ + cols_] = 0;
    });
  }

  // y = (rows of A in the panel) x
  float* forward() {
    const std::int64_t size = std::min(row_chunk, even(chunks(here_, pool_.threads())));
    pool_.run(chunks(here_, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, count = std::min(size, here_ - i);
      blocks_.sum(worker, y_.get() + i * width_, count * width_,
                  [&](std::int64_t first, std::int64_t terms, float* to) {
                    if (const auto& x = right_->columns; x.words)
                      return isa_.dots->bf16(count, even(terms), codes_ + i * ld_ + first, ld_,
                                             x.words.get() + first / 2 * dot_columns, x.half,
                                             width_, to);
                    for (std::int64_t p = first; p < first + terms; p += depth)
                      add_rows(i, count, p, even(std::min(depth, first + terms - p)) / 2, to);
                  });
    });
    return y_.get();
  }

  // z += (rows of A in the panel)^T y
  void adjoint(const float* y) {
    constexpr std::int64_t group = PairedBlock::group;
    for (std::int64_t i = 0, run = 0; i < here_; i += run, before_ += run) {
      run = strips_.run(before_, here_ - i);
      pack(left_, y + i * width_, run);
      pool_.run(strips_.count(), [&](std::int64_t strip, int) {
        const std::uint16_t* codes = codes_ + i * ld_ + strips_.first(strip);
        for (std::int64_t g = 0; g < width_; g += group)
          isa_.adjoint.bf16(codes, ld_, run, strips_.columns(strip), left_.at(0, g), left_.width(g),
                            left_.width(g), strips_.sums(strip) + adjoint_tile * g,
                            adjoint_tile * width_);
        strips_.finish(strip, before_ + run);
      });
    }
  }

  void write_result(const ChainSums<float>& sums, Block<float>& z) const {
    strips_.write(pool_, sums, isa_.adjoint.pair_places, z);
  }

 private:
  static constexpr std::int64_t depth = 2048;  // K multiplied at a time: long runs of every row

  void pack(PairedBlock& to, const float* x, std::int64_t rows) const {
    constexpr std::int64_t few = 96;
    pool_.run(chunks(rows, few), [&](std::int64_t chunk, int) {
      to.pack(isa_, x, chunk * few, std::min(rows, chunk * few + few), block_factor_);
    });
  }

  // C += P B for rows of the panel from i, the pairs from column p on: pairs along a row are pairs
  // in memory.
  void add_rows(std::int64_t i, std::int64_t rows, std::int64_t p, std::int64_t pairs,
                float* c) const {
    const PairedBlock& b = *right_;
    for (std::int64_t j = 0; j < b.cols; j += PairedBlock::group)
      isa_.product.bf16(rows, b.width(j), pairs,
                        reinterpret_cast<const std::uint32_t*>(codes_ + i * ld_ + p), ld_ / 2, 1,
                        b.at(p / 2, j), b.width(j), c + j, b.cols, Accumulate::sum_blocks);
  }

  const Isa& isa_;
  ThreadPool& pool_;
  std::int64_t cols_, width_, height_;
  StripSums<float> strips_;
  AlignedArray<std::uint16_t> own_;  // of a panel, unless A's own bytes serve
  std::shared_ptr<const PairedBlock> right_;
  PairedBlock left_;
  TermBlocks<float> blocks_;
  AlignedArray<float> y_;
  std::vector<DecodeScratch> decoding_;
  float block_factor_ = 1;
  double panel_factor_ = 1;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t here_ = 0, before_ = 0, ld_ = 0;
};

static_assert(PanelProduct<Bf16Panels>);

}  // namespace sigmascope
