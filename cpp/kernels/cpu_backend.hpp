// SPDX-License-Identifier: BSD-3-Clause
// The CPU's verbs. T, the precision of blocks and decoded panels, is float or double. Memory: one
// decoded panel, one block of products per panel, the blocks that the algorithm holds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/cpu.hpp"
#include "kernels/panels/products.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// Rows of a block that one sum of `inner` runs over: the L1 cache holds them.
inline constexpr std::int64_t inner_part = 1024;
// Sums of parts that are added one after the other.
inline constexpr std::int64_t parts_together = 64;

template <class T>
class CpuBackend {
 public:
  using Real = T;
  using Block = sigmascope::Block<T>;

  explicit CpuBackend(CpuOptions options);

  // For the passes over a matrix that no algorithm asks for: survey, rounded, gathered and so on.
  Cpu& cpu() { return cpu_; }

  static constexpr double epsilon() { return sizeof(T) == 4 ? 0x1p-24 : 0x1p-53; }
  static constexpr std::int64_t columns_together = sizeof(T) == 4 ? 8 : 4;
  // See CheckSchedule.
  static constexpr double check_cost_root(double, std::int64_t) { return cost_root; }
  // True if products are made of parts of bf16, whatever the matrix.
  bool splits(const MatrixView&) const { return sizeof(T) == 4 && cpu_.isa.tiles != nullptr; }

  Block zeros(std::int64_t rows, std::int64_t cols);
  // Entry (i, j) is a function of (seed, i, column0 + j).
  Block gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t column0);
  Small to_host(const Block& x);
  Block from_host(const Small& x);

  // [x_1 x_2 ...]^T y, in T over 64 rows at a time, in fp64 above.
  Small inner(std::span<const Block> xs, const Block& y);
  // [x_1 x_2 ... y]^T y
  Small inner_and_gram(std::span<const Block> xs, const Block& y);
  // y += [x_1 x_2 ...] c
  void combine(Block& y, std::span<const Block> xs, const Small& c);

  // Where products are of parts of bf16, numbers have so many at most: two hold 16 bits.
  Block multiply(const MatrixView& a, const Block& x, int parts = tile_parts);          // A x
  Block multiply_adjoint(const MatrixView& a, const Block& y, int parts = tile_parts);  // A^T y
  // A^T (A x) in one read of A; y, if asked for, receives A x.
  Block gram_step(const MatrixView& a, const Block& x, Block* y, int parts = tile_parts);
  // The same in one read with A, x and A x rounded to bf16 (float; double: gram_step): for
  // directions, not for values.
  //
  // Rounding to bf16 moves A by E with |E| about 2^-9 |A|_F / sqrt(n), and a block likewise. A
  // Krylov step only chooses the next directions, so that it may round (steering.hpp); values,
  // vectors and residuals come from fp32 products. Such a step has twice the rate of fp32 where the
  // processor has the dot product (AVX-512 BF16), and half the memory traffic everywhere. A block
  // in two bf16 parts would be exact to 2^-17 if A were of bf16 numbers, but two dot products take
  // as long as the fp32 multiply-add; only tiles (Intel AMX) have such products.
  Block steer(const MatrixView& a, const Block& x);
  Block multiply_bf16(const MatrixView& a, const Block& x);  // A x, both rounded, summed in fp32

  Small dense(const MatrixView& a);  // A itself, in fp64 whatever T is
  // A^T A, its lower triangle, in fp64 whatever T is; or faster, with an error.
  Gram gram(const MatrixView& a, GramProducts products);
  // Eigenvalues of a symmetric matrix, ascending; overwrites it.
  std::vector<double> eigvalsh(Small& a, GramProducts products);
  std::vector<double> gram_eigenvalues(const MatrixView& a);  // of A^T A in fp64, ascending
  static std::int64_t gram_additions(const MatrixView& a);    // that follow one another in A^T A

 private:
  // Measured: c_check, c_column, and sqrt(2 c_check / c_column), rounded.
  static constexpr double check_seconds = 1e-10;
  static constexpr double column_seconds = sizeof(T) == 4 ? 4 / 424e9 : 4 / 50e9;
  static constexpr double cost_root = sizeof(T) == 4 ? 4.6 : 1.58;
  static_assert(cost_root * cost_root * column_seconds < 2.02 * check_seconds &&
                cost_root * cost_root * column_seconds > 1.98 * check_seconds);

  void multiply_pass(const MatrixView& a, const PassBlocks<T>& blocks, int parts, ForwardSums sums);
  void multiply_pass_bf16(const MatrixView& a, const PassBlocks<T>& blocks);

  Cpu cpu_;
};

extern template class CpuBackend<float>;
extern template class CpuBackend<double>;

}  // namespace sigmascope
