// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix with blocks, from one read of it.
#pragma once

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/cpu.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {

// The blocks of one read of op(A): y = op(A) x and, from the same panel, z = op(A)^T y. They may be
// empty.
template <class T>
struct PassBlocks {
  const Block<T>* x = nullptr;      // null: y is given
  const Block<T>* given = nullptr;  // y, if x is null
  Block<T>* y = nullptr;            // receives op(A) x, if wanted
  Block<T>* z = nullptr;            // receives op(A)^T y, if wanted
  const Block<T>* block() const { return x ? x : given; }
};

// The order of the sums in A x. as_adjoint: that of the adjoint of A's transpose, with the same
// bits. fastest: a block of few columns may be multiplied by dot products along A's rows.
enum class ForwardSums { as_adjoint, fastest };

// In the precision of the blocks, by NumberPanels.
void multiply_numbers(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks,
                      ForwardSums sums);
void multiply_numbers(Cpu& cpu, const MatrixView& a, const PassBlocks<double>& blocks, ForwardSums);
// With A and the blocks rounded to bf16, by Bf16Panels.
void multiply_bf16(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks);
// With at most `parts` parts of bf16 of every number, by TilePanels.
void multiply_tiles(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks, int parts);

}  // namespace sigmascope
