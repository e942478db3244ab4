// SPDX-License-Identifier: BSD-3-Clause
// Products with panels of a matrix in bf16 by pairs: Isa::product_bf16. For cpu_bf16.cpp alone.
//
// Sums start afresh every tile_sum terms of the matrix, wherever its panels end, so that no bit
// depends on the panel, on how often A is read, or on which product it is.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/stored_parts.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {
namespace {

constexpr std::int64_t group = 64;      // columns of a block packed side by side: 4 vectors
constexpr std::int64_t depth = 2048;    // K multiplied at a time: long runs of every row
constexpr std::int64_t row_chunk = 64;  // rows per task
constexpr std::int64_t strip = 192;     // columns per task of a transposed product

// Rows of a panel that one thread passes over twice: its L2 cache holds those of most matrices. All
// threads at one: as many bytes as make the sums of the transposed product a small part of the
// work.
constexpr std::int64_t own_rows = 64, own_rows_wide = 128, shared_bytes = std::int64_t{2} << 20;

std::int64_t even(std::int64_t n) { return (n + 1) / 2 * 2; }

// A block as pairs of rows, `group` columns after another: group g's word (pair, column) at
// data[g*pairs*group + ...].
struct Packed {
  std::int64_t pairs, cols;  // cols: padded to whole vectors
  AlignedArray<std::uint32_t> data;
  Turned<std::uint32_t> turned;  // the same, where there are dot products along rows

  Packed(std::int64_t rows, std::int64_t ld)
      : pairs(even(rows) / 2), cols(ld), data(aligned_array<std::uint32_t>(pairs * ld)) {}
  std::int64_t width(std::int64_t j) const { return std::min(group, cols - j); }
  const std::uint32_t* at(std::int64_t pair, std::int64_t j) const {
    return data.get() + j * pairs + pair * width(j);
  }

  // Rows [i0, i1) of a row-major block that starts at x, as bf16(factor x); i0 is even, a missing
  // row is zero.
  void pack(const Isa& isa, const float* x, std::int64_t i0, std::int64_t i1, float factor) {
    for (std::int64_t j = 0; j < cols; j += group)
      isa.pack_pairs(x + i0 * cols + j, cols, i1 - i0, width(j), factor,
                     data.get() + j * pairs + i0 / 2 * width(j));
  }
};

// C += P B for rows of a bf16 panel that lie `ld` apart: pairs along a row are pairs in memory.
void add_rows(const Isa& isa, const std::uint16_t* panel, std::int64_t ld, std::int64_t rows,
              std::int64_t pairs, const Packed& b, std::int64_t pair0, float* c) {
  for (std::int64_t j = 0; j < b.cols; j += group)
    isa.product_bf16(rows, b.width(j), pairs, reinterpret_cast<const std::uint32_t*>(panel), ld / 2,
                     1, b.at(pair0, j), b.width(j), c + j, b.cols, Accumulate::sum_blocks);
}

// Whether a matrix's own bytes can be multiplied: bf16, pairs along whole rows, nothing to scale.
bool is_plain_bf16(const Matrix& a) {
  if (!is_one_of_bf16(a)) return false;
  const Tile& t = a.tiles.front();
  return t.bytes.data() != nullptr && t.row_stride % 4 == 0 && a.cols % 2 == 0 &&
         reinterpret_cast<std::uintptr_t>(t.bytes.data() + t.origin) % 4 == 0;
}

// Products with A (m x n), panel after panel of its rows.
class Bf16Panels {
 public:
  static constexpr bool columns = false;  // A^T goes along the rows of A
  static constexpr std::int64_t chain = tile_sum;

  // `alone`: other threads take other panels.
  Bf16Panels(const Isa& isa, ThreadPool& pool, const MatrixView& a, std::int64_t width, int,
             bool alone, std::int64_t asked_height)
      : isa_(isa),
        pool_(pool),
        rows_(a.rows()),
        cols_(a.cols()),
        width_(width),
        strip_(std::min(
            strip, chunks(chunks(cols_, alone ? 1 : pool.threads()), adjoint_tile) * adjoint_tile)),
        height_(std::min(asked_height > 0  ? even(asked_height)
                         : !alone          ? shared_rows()
                         : width_ <= group ? own_rows
                                           : own_rows_wide,
                         even(a.rows()))),
        left_(std::min(height_, chain), width_),
        decoding_(static_cast<std::size_t>(pool.threads())) {
    const Factors factors(a.factor);
    block_factor_ = static_cast<float>(factors.block);
    panel_factor_ = factors.panel;
  }

  std::int64_t height() const { return height_; }

  std::shared_ptr<const Packed> packed(const Block<float>& x) {
    auto block = std::make_shared<Packed>(cols_, width_);
    pack(*block, x.data.get(), cols_);
    if (isa_.dots && width_ <= 2 * dot_columns)
      block->turned = Turned(block->data.get(), block->pairs, width_, pool_);
    return block;
  }

  void multiply_with(std::shared_ptr<const Packed> x) {  // what `forward` multiplies with
    right_ = std::move(x);
    y_ = aligned_array<float>(height_ * width_);
  }

  void make(std::optional<ChainSums<float>>& sums) const {
    sums.emplace(width_ * sum_rows(), width_ * strip_, chunks(rows_, chain));
  }

  void sum_in(ChainSums<float>& sums) {  // what `adjoint` adds to
    sums_ = &sums;
    chain_ = aligned_array<float>(width_ * sum_rows());
    std::fill_n(chain_.get(), width_ * sum_rows(), 0.0f);
  }

  void sum_no_more() { chain_.reset(); }
  void start(std::int64_t row) { before_ = row; }  // of the next panel, the first of a chain

  // The next: its numbers where they are stored, or decoded; it must outlive them.
  void take(const Panel& panel) {
    here_ = panel.rows;
    std::int64_t apart = 0;
    if (panel_factor_ == 1.0 && panel.cols % 2 == 0 && parts_at_hand(panel, apart) == 1) {
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
                  decoding_[static_cast<std::size_t>(worker)]);
      if (cols_ % 2 != 0)
        for (std::int64_t r = i; r < end; ++r) own_[r * ld_ + cols_] = 0;
    });
  }

  // y = (rows of A in the panel) x
  float* forward() {
    const std::int64_t size = std::min(row_chunk, even(chunks(here_, pool_.threads())));
    pool_.run(chunks(here_, size), [&](std::int64_t chunk, int) {
      const std::int64_t i = chunk * size, count = std::min(size, here_ - i);
      std::fill_n(y_.get() + i * width_, count * width_, 0.0f);
      if (const auto& x = right_->turned; x.words)
        return isa_.dots->bf16(count, even(cols_), codes_ + i * ld_, ld_, x.words.get(), x.half,
                               width_, y_.get() + i * width_);
      for (std::int64_t p = 0; p < cols_; p += depth)
        add_rows(isa_, codes_ + i * ld_ + p, ld_, count, even(std::min(depth, cols_ - p)) / 2,
                 *right_, p / 2, y_.get() + i * width_);
    });
    return y_.get();
  }

  // z += (rows of A in the panel)^T y
  void adjoint(const float* y) {
    for (std::int64_t i = 0, run = 0; i < here_; i += run, before_ += run) {
      run = std::min(here_ - i, chain - before_ % chain);
      const std::int64_t index = before_ / chain;
      const bool ends = (before_ + run) % chain == 0 || before_ + run == rows_;
      pack(left_, y + i * width_, run);
      pool_.run(chunks(cols_, strip_), [&](std::int64_t part, int) {
        const std::int64_t j = part * strip_, count = std::min(strip_, cols_ - j);
        const std::uint16_t* codes = codes_ + i * ld_ + j;
        float* sum = chain_.get() + j * width_;
        for (std::int64_t g = 0; g < width_; g += group)
          isa_.adjoint_bf16(codes, ld_, run, count, left_.at(0, g), left_.width(g), left_.width(g),
                            sum + adjoint_tile * g, adjoint_tile * width_);
        if (!ends) return;
        if (float* total = sums_->turn(index, part))
          isa_.move_f32(sum, std::min(strip_, sum_rows() - j) * width_, total);
        sums_->done(index, part);
      });
    }
  }

  void result(const ChainSums<float>& sums, Block<float>& z) const {
    pool_.run(chunks(cols_, strip_), [&](std::int64_t part, int) {
      const std::int64_t first = part * strip_, end = std::min(cols_, first + strip_);
      for (std::int64_t j = first; j < end; ++j) {
        const float* tile = sums.data() + j / adjoint_tile * adjoint_tile * width_ +
                            isa_.pair_places[j % adjoint_tile];
        for (std::int64_t c = 0; c < width_; ++c) z.row(j)[c] = tile[c * adjoint_tile];
      }
    });
  }

 private:
  std::int64_t sum_rows() const { return chunks(cols_, adjoint_tile) * adjoint_tile; }

  std::int64_t shared_rows() const {
    const std::int64_t turn = row_chunk * pool_.threads(),
                       most = std::max<std::int64_t>(chain / turn, 1);
    return std::clamp<std::int64_t>(shared_bytes / (2 * std::max<std::int64_t>(cols_, 1) * turn), 1,
                                    most) *
           turn;
  }

  void pack(Packed& to, const float* x, std::int64_t rows) const {
    constexpr std::int64_t few = 96;
    pool_.run(chunks(rows, few), [&](std::int64_t chunk, int) {
      to.pack(isa_, x, chunk * few, std::min(rows, chunk * few + few), block_factor_);
    });
  }

  const Isa& isa_;
  ThreadPool& pool_;
  std::int64_t rows_, cols_, width_, strip_, height_;
  AlignedArray<std::uint16_t> own_;  // of a panel, unless A's own bytes serve
  std::shared_ptr<const Packed> right_;
  Packed left_;
  AlignedArray<float> y_, chain_;  // the sum that is not yet whole
  ChainSums<float>* sums_ = nullptr;
  std::vector<DecodeScratch> decoding_;
  float block_factor_ = 1;
  double panel_factor_ = 1;
  const std::uint16_t* codes_ = nullptr;
  std::int64_t here_ = 0, before_ = 0, ld_ = 0;
};

}  // namespace
}  // namespace sigmascope
