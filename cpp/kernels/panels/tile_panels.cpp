// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/panels/tile_panels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/blocks/tile_registers.hpp"
#include "kernels/panels/stored_parts.hpp"
#include "kernels/panels/tile_columns.hpp"
#include "kernels/panels/tile_heights.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t column_chunk = 512;  // columns per task
constexpr std::int64_t edge = TilePanels::edge, depth = TilePanels::depth,
                       strip = TilePanels::strip;

std::int64_t columns_at_a_time(std::int64_t cols, int threads) {
  return std::min(column_chunk, round_up(chunks(round_up(cols, depth), threads), strip));
}

}  // namespace

TilePanels::TilePanels(const Isa& isa, ThreadPool& pool, const MatrixView& a,
                       const PanelOptions& options)
    : isa_(isa),
      tiles_(*isa.tiles),
      pool_(pool),
      by_columns_(a.transposed),
      most_parts_(a.remainder ? 1 : std::min(stored_parts(*a.matrix), options.parts)),
      block_parts_(options.parts),
      rows_(a.rows()),
      cols_(a.cols()),
      width_(options.width) {
  const bool own = options.threads == PanelThreads::one;
  sum_rows_ = columns_at_a_time(cols_, own ? 1 : pool.threads());
  const std::int64_t row_bytes = 2 * std::max<std::int64_t>(cols_, 1) * most_parts_;
  const std::int64_t fitting =
      own ? own_tile_rows(row_bytes, width_ * cols_ * (2 * block_parts_ + 4), most_parts_)
          : shared_tile_rows(row_bytes, pool.threads());
  height_ = std::min(tile_rows(options, fitting), round_up(a.rows(), depth));
  strips_ = strips_at_a_time(2 * most_parts_ * height_ * cols_, most_parts_);
  const Factors factors(a.factor);
  block_factor_ = static_cast<float>(factors.block);
  panel_factor_ = factors.panel;
  decoding_.resize(as_size(pool.threads()));
  paired_.resize(as_size(pool.threads()));
  given_ = PackedBlock(height_, width_, block_parts_);
}

std::shared_ptr<const PackedBlock> TilePanels::packed(const Block<float>& x) const {
  auto block = std::make_shared<PackedBlock>(cols_, width_, block_parts_);
  pack(*block, by_columns_ ? BlockSide::left : BlockSide::right, x.data.get(), cols_);
  return block;
}

void TilePanels::load_block(std::shared_ptr<const PackedBlock> x) {
  x_ = std::move(x);
  y_ = aligned_array<float>(height_ * width_);
  if (by_columns_) columns_ = aligned_array<float>(width_ * round_up(height_, depth));
  else
    blocks_ = TermBlocks<float>(cols_, ChainSums<float>::group * chain, row_chunk * width_,
                                pool_.threads());
}

ChainSums<float> TilePanels::allocate_sums() const {
  return {width_ * round_up(cols_, depth), width_ * sum_rows_, rows_, chain};
}

void TilePanels::attach_sums(ChainSums<float>& sums) {
  totals_ = &sums;
  const std::int64_t size = width_ * round_up(cols_, depth);
  sums_ = aligned_array<float>(size);
  std::fill_n(sums_.get(), size, 0.0f);
}

// Rows [0, rows) of a row-major block, times the factor.
void TilePanels::pack(PackedBlock& to, BlockSide side, const float* x, std::int64_t rows) const {
  const std::int64_t steps = round_up(rows, depth) / depth;
  const auto pack_step = side == BlockSide::left ? tiles_.pack_left : tiles_.pack_right;
  constexpr std::int64_t few = 4;
  pool_.run(chunks(steps, few), [&](std::int64_t chunk, int) {
    for (std::int64_t s = chunk * few; s < std::min(steps, chunk * few + few); ++s)
      for (std::int64_t j = 0; j < width_; j += edge)
        pack_step(x + s * depth * width_ + j, width_, std::min(depth, rows - s * depth),
                  block_factor_, to.parts,
                  to.codes.get() + (j / edge * steps + s) * to.parts * tile_codes);
  });
}

void TilePanels::load_panel(const Panel& panel) {
  here_ = by_columns_ ? panel.cols : panel.rows;
  const int stored = panel_factor_ == 1.0 ? parts_at_hand(panel, part_stride_) : 0;
  if (stored > 0 && panel.rows % depth == 0 && panel.cols % depth == 0) {
    codes_ = reinterpret_cast<const std::uint16_t*>(panel.pieces.front().data);
    ld_ = panel.pieces.front().row_stride / 2;
    parts_ = std::min(stored, most_parts_);
    return;
  }
  const std::int64_t rows = round_up(by_columns_ ? cols_ : height_, depth),
                     cols = by_columns_ ? height_ : cols_;
  ld_ = spread<std::uint16_t>(round_up(cols, depth));
  part_stride_ = rows * ld_;
  if (!own_) own_ = aligned_array<std::uint16_t>(most_parts_ * part_stride_);
  codes_ = own_.get();
  constexpr std::int64_t few = 16;
  const std::int64_t below = round_up(panel.rows, depth);
  const Summands sum(panel, panel_factor_);
  std::vector<int> parts(as_size(chunks(below, few)), 1);
  pool_.run(chunks(below, few), [&](std::int64_t chunk, int worker) {
    DecodeScratch& scratch = decoding_[as_size(worker)];
    scratch.numbers.resize(as_size(panel.cols));
    int& most = parts[as_size(chunk)];
    for (std::int64_t i = chunk * few; i < std::min(below, chunk * few + few); ++i)
      most = std::max(most, load_row(panel, sum, stored, i, scratch));
  });
  parts_ = parts.empty() ? 1 : *std::max_element(parts.begin(), parts.end());
}

int TilePanels::load_row(const Panel& panel, const Summands& sum, int stored, std::int64_t i,
                         DecodeScratch& scratch) {
  const std::int64_t across = round_up(panel.cols, depth);
  std::uint16_t* to = own_.get() + i * ld_;
  if (i >= panel.rows) {
    for (int q = 0; q < most_parts_; ++q)
      std::fill_n(to + q * part_stride_, across, std::uint16_t{0});
    return 1;
  }
  if (stored == 1) {
    const Piece& piece = panel.pieces.front();
    std::memcpy(to, piece.data + i * piece.row_stride, as_size(2 * panel.cols));
    std::fill_n(to + panel.cols, across - panel.cols, std::uint16_t{0});
    return 1;
  }
  if (sum.count() > 0)
    return tiles_.split_sum(sum.row(i).data(), sum.count(), panel.cols, most_parts_, to,
                            part_stride_);
  const float* numbers = scratch.numbers.data();
  if (panel_factor_ == 1.0 && is_plain<float>(panel, DType::f32))
    numbers = reinterpret_cast<const float*>(panel.pieces.front().data +
                                             i * panel.pieces.front().row_stride);
  else
    decode_panel(isa_, panel, i, i + 1, 0, panel.cols, panel_factor_, scratch.numbers.data(),
                 panel.cols, scratch.codes);
  return tiles_.split(numbers, panel.cols, most_parts_, to, part_stride_);
}

TileOperand TilePanels::panel_rows(std::int64_t i, std::int64_t j) const {
  return {.data = reinterpret_cast<const std::byte*>(codes_ + i * ld_ + j),
          .stride = 2 * ld_,
          .tile = 2 * edge * ld_,
          .step = 2 * depth,
          .part = 2 * part_stride_,
          .parts = parts_};
}

// C += P B, for `rows` rows from i on and, from column j0, `terms` columns of the panel.
void TilePanels::multiply_rows(std::int64_t i, std::int64_t rows, std::int64_t j0,
                               const TileOperand& b, std::int64_t terms, float* c,
                               Accumulate mode) const {
  const TileRegisters ready(tiles_);
  tiles_.multiply(rows / edge, width_ / edge, chunks(terms, depth), panel_rows(i, j0), b,
                  BlockSide::right, {c, width_, edge * width_, edge}, mode);
}

// task(i, rows, worker) for chunks of so many rows.
template <class Task>
void TilePanels::each_rows(std::int64_t rows, const Task& task) const {
  const std::int64_t all = round_up(rows, depth);
  const std::int64_t chunk = std::min(row_chunk, round_up(chunks(all, pool_.threads()), depth));
  pool_.run(chunks(all, chunk), [&](std::int64_t index, int worker) {
    task(index * chunk, std::min(chunk, all - index * chunk), worker);
  });
}

float* TilePanels::forward() {
  const std::int64_t all = round_up(here_, depth);
  if (!by_columns_) {
    const TileOperand x = x_->operand(x_->steps);
    each_rows(here_, [&](std::int64_t i, std::int64_t rows, int worker) {
      blocks_.sum(worker, y_.get() + i * width_, rows * width_,
                  [&](std::int64_t first, std::int64_t terms, float* to) {
                    TileOperand b = x;
                    b.data += first / depth * b.step;
                    multiply_rows(i, rows, first, b, terms, to, Accumulate::sum_blocks);
                  });
    });
    return y_.get();
  }
  // The sums of `adjoint`: those of a strip are the work of one thread.
  ChainSums<float> totals(width_ * all, width_ * strip, cols_, chain);
  std::fill_n(columns_.get(), width_ * all, 0.0f);
  add_columns(0, cols_, here_, *x_, columns_.get(), columns_at_a_time(here_, pool_.threads()),
              [&](std::int64_t j, std::int64_t end, std::int64_t index) {
                if (float* to = totals.wait_for_turn(index, j / strip))
                  isa_.blocks.move_f32(columns_.get() + j * width_, (end - j) * width_, to);
                totals.advance(index, j / strip);
              });
  for (std::int64_t i = 0; i < all; i += edge)
    for (std::int64_t j = 0; j < width_; j += edge)
      tiles_.transpose(totals.data() + i * width_ + j * edge, edge, y_.get() + i * width_ + j,
                       width_);
  return y_.get();
}

void TilePanels::adjoint(const float* y) {
  const std::int64_t all = round_up(cols_, depth);
  for (std::int64_t i = 0; i < here_;) {
    const std::int64_t run = std::min(here_ - i, tile_sum - before_ % tile_sum),
                       index = before_ / tile_sum;
    const bool ends = (before_ + run) % tile_sum == 0 || before_ + run == rows_;
    const auto finish = [&](std::int64_t j, std::int64_t end, std::int64_t) {
      if (!ends) return;
      const std::int64_t part = j / sum_rows_;
      if (float* sum = totals_->wait_for_turn(index, part))
        isa_.blocks.move_f32(sums_.get() + j * width_, (end - j) * width_,
                             sum + (j - part * sum_rows_) * width_);
      if (end % sum_rows_ == 0 || end == all) totals_->advance(index, part);
    };
    pack(given_, by_columns_ ? BlockSide::right : BlockSide::left, y + i * width_, run);
    if (by_columns_) {
      const TileOperand given = given_.operand(chunks(run, depth));
      each_rows(cols_, [&](std::int64_t row, std::int64_t rows, int) {
        multiply_rows(row, rows, i, given, run, sums_.get() + row * width_, Accumulate::chain);
      });
      pool_.run(chunks(all, sum_rows_), [&](std::int64_t part, int) {
        finish(part * sum_rows_, std::min(part * sum_rows_ + sum_rows_, all), index);
      });
    } else {
      add_columns(i, run, cols_, given_, sums_.get(), sum_rows_, finish);
    }
    i += run;
    before_ += run;
  }
}

void TilePanels::write_result(const ChainSums<float>& sums, Block<float>& z) const {
  if (by_columns_) {
    std::copy_n(sums.data(), cols_ * width_, z.data.get());
    return;
  }
  constexpr std::int64_t part = 256;
  pool_.run(chunks(cols_, part), [&](std::int64_t chunk, int) {
    alignas(64) float tile[edge * edge];
    for (std::int64_t i = chunk * part; i < std::min(cols_, chunk * part + part); i += edge)
      for (std::int64_t j = 0; j < width_; j += edge) {
        tiles_.transpose(sums.data() + i * width_ + j * edge, edge, tile, edge);
        for (std::int64_t r = 0; r < std::min(edge, cols_ - i); ++r)
          std::copy_n(tile + r * edge, edge, z.row(i + r) + j);
      }
  });
}

}  // namespace sigmascope
