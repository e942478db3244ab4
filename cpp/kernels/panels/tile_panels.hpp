// SPDX-License-Identifier: BSD-3-Clause
// Products with A by tiles of bf16 (Intel AMX), in place of those of fp32 and of the rounded ones.
//
// fp32: A is decoded to fp32 and split into as many bf16 numbers as hold it (1 for bf16 and fp8, 2
// for fp16, 3 for fp32: found from the values, so that no bit depends on how they are stored), a
// block into 3. The products of parts that reach 2^-24 are summed in fp32: exact to what fp32
// rounds, at 1/3 to 1/6 of 16 times its rate.
// Fewer parts of a block, and then of A, where that is good enough (rounding.hpp): two hold 16
// bits, three products in place of six; one is rounding (cpu_bf16.cpp).
//
// Sums start afresh every tile_sum terms of the matrix, wherever its panels end, so that no bit
// depends on the panel, on how often A is read, or on which product it is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/packed_block.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {

// Products with op(A) (m x n), panel after panel of its rows.
class TilePanels {
 public:
  static constexpr bool columns = true;  // op(A) may be A^T
  static constexpr std::int64_t chain = tile_sum;

  // `parts`: of everything, at most. `alone`: other threads take other panels.
  TilePanels(const Isa& isa, ThreadPool& pool, const MatrixView& a, std::int64_t width, int parts,
             bool alone, std::int64_t asked_height);

  std::int64_t height() const { return height_; }

  std::shared_ptr<const PackedBlock> packed(const Block<float>& x);
  void multiply_with(std::shared_ptr<const PackedBlock> x);  // what `forward` multiplies with
  void sum_in(ChainSums<float>& sums);                       // what `adjoint` adds to, made by:
  void make(std::optional<ChainSums<float>>& sums) const;
  void sum_no_more() { chain_.reset(); }
  void start(std::int64_t row) { before_ = row; }  // of the next panel, the first of a chain
  // Loads the numbers of the next panel for both products. The panel must outlive them.
  void take(const Panel& panel);
  float* forward();              // y = (rows of op(A) in the panel) x
  void adjoint(const float* y);  // z += (rows of op(A) in the panel)^T y
  void result(const ChainSums<float>& sums, Block<float>& z) const;

 private:
  void pack(PackedBlock& to, bool left, const float* x, std::int64_t rows) const;
  TileOperand panel_rows(std::int64_t i, std::int64_t j) const;
  void add_rows(std::int64_t rows, std::int64_t j0, std::int64_t terms, const PackedBlock& b,
                float* c, Accumulate mode) const;
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
  std::shared_ptr<const PackedBlock> first_;  // x
  PackedBlock second_;                        // y
  // Turned: 16 x 16 numbers after each other, of one column of tiles of op(A) after another.
  AlignedArray<float> y_, turned_;  // of a panel; turned if `by_columns_`
  AlignedArray<float> chain_;       // turned unless `by_columns_`: the sum that is not yet whole
  ChainSums<float>* sums_ = nullptr;
  AlignedArray<std::uint16_t> own_;  // of a panel, unless A's own bytes serve
  std::vector<DecodeScratch> decoding_;
  std::vector<AlignedArray<std::uint16_t>> strips_;  // of columns, paired

  // Element (i, j) of part q of the panel is at i*ld_ + j + q*apart_.
  const std::uint16_t* codes_ = nullptr;
  std::int64_t before_ = 0, here_ = 0, ld_ = 0, apart_ = 0;
  int parts_ = 1;
};

}  // namespace sigmascope
