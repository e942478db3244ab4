// SPDX-License-Identifier: BSD-3-Clause
// Products with A by tiles of bf16 (Intel AMX), in place of those of fp32 and of the rounded ones.
//
// Numbers of fp32 are sums of bf16 parts. A has as many parts as hold its numbers: 1 for bf16 and
// fp8, 2 for fp16, 3 for fp32, counted from the values, so that no bit depends on the storage. A
// block has 3 parts. The products of parts that reach 2^-24 are summed in fp32. The result is as
// exact as fp32, at 1/3 to 1/6 of 16 times its rate.
//
// Where less precision is enough (rounding.hpp), a block, and then A, has fewer parts. Two parts
// hold 16 bits and take three products in place of six. One part is a rounded number.
//
// Sums start afresh every tile_sum terms of the matrix, wherever its panels end, so that no bit
// depends on the panel, on how often A is read, or on which product it is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/packed_block.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/panels/stored_parts.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {

// Products with op(A) (m x n), panel after panel of its rows.
class TilePanels {
 public:
  using Real = float;
  static constexpr bool transposes = true;
  static constexpr std::int64_t chain = tile_sum;
  static constexpr std::int64_t edge = tile_side, depth = tile_depth;
  static constexpr std::int64_t strip = 64;  // columns that are paired at a time
  // Bytes of a strip, of so many rows: the L1 cache holds them and the sums.
  static constexpr std::int64_t strip_bytes = std::int64_t{16} << 10;
  static constexpr std::int64_t row_chunk = 128;  // rows per task

  TilePanels(const Isa& isa, ThreadPool& pool, const MatrixView& a, const PanelOptions& options);

  // Strips that are paired before any is multiplied. L2 holds most panels, and then one strip after
  // another is best. Of others, long runs of each row are read.
  static std::int64_t strips_at_a_time(std::int64_t panel_bytes, int parts) {
    constexpr std::int64_t far_bytes = std::int64_t{2} << 20, far_strips = 8;
    return parts == 1 && panel_bytes > far_bytes ? far_strips : 1;
  }

  std::int64_t height() const { return height_; }

  std::shared_ptr<const PackedBlock> packed(const Block<float>& x) const;
  void load_block(std::shared_ptr<const PackedBlock> x);
  ChainSums<float> allocate_sums() const;
  void attach_sums(ChainSums<float>& sums);
  void detach_sums() { sums_.reset(); }
  void start_at(std::int64_t row) { before_ = row; }
  void load_panel(const Panel& panel);
  float* forward();
  void adjoint(const float* y);
  void write_result(const ChainSums<float>& sums, Block<float>& z) const;

 private:
  // Splits row i of the panel into parts. Returns how many of them are not zero.
  int load_row(const Panel& panel, const Summands& sum, int stored, std::int64_t i,
               DecodeScratch& scratch);
  void pack(PackedBlock& to, BlockSide side, const float* x, std::int64_t rows) const;
  TileOperand panel_rows(std::int64_t i, std::int64_t j) const;
  void multiply_rows(std::int64_t i, std::int64_t rows, std::int64_t j0, const TileOperand& b,
                     std::int64_t terms, float* c, Accumulate mode) const;
  template <class Task>
  void each_rows(std::int64_t rows, const Task& task) const;
  template <class Finish>
  void add_columns(std::int64_t i0, std::int64_t rows, std::int64_t cols, const PackedBlock& b,
                   float* c, std::int64_t chunk, const Finish& finish);

  const Isa& isa_;
  const TileKernels& tiles_;
  ThreadPool& pool_;
  bool by_columns_;
  int most_parts_, block_parts_;
  std::int64_t rows_, cols_, width_, height_ = 0;  // rows and cols of op(A)
  std::int64_t sum_rows_;                          // of z, a part of the sums
  float block_factor_ = 1;
  double panel_factor_ = 1;
  std::shared_ptr<const PackedBlock> x_;
  PackedBlock given_;  // the y of `adjoint`
  // Transposed sums are 16 x 16 numbers after each other, of one column of tiles of op(A) after
  // another: the sums of `forward` if `by_columns_`, else those of `adjoint`.
  AlignedArray<float> y_;               // of a panel
  AlignedArray<float> sums_, columns_;  // of the chain that goes on, of `adjoint` and of `forward`
  TermBlocks<float> blocks_;
  ChainSums<float>* totals_ = nullptr;
  AlignedArray<std::uint16_t> own_;  // of a panel, unless A's own bytes serve
  std::vector<DecodeScratch> decoding_;
  std::int64_t strips_ = 1;                          // at a time
  std::vector<AlignedArray<std::uint16_t>> paired_;  // of each thread, columns in pairs of rows

  // Element (i, j) of part q of the panel is at i*ld_ + j + q*part_stride_.
  const std::uint16_t* codes_ = nullptr;
  std::int64_t before_ = 0, here_ = 0, ld_ = 0, part_stride_ = 0;
  int parts_ = 1;
};

static_assert(PanelProduct<TilePanels>);

}  // namespace sigmascope
