// SPDX-License-Identifier: BSD-3-Clause
// Products of a decoded panel with a block, in the precision of both. T is float or double.
//
// Every result is a sum over K: chains of 64 fused multiply-adds, 16 chains at a time, the sums of
// 16 chains, and a tree of blocks of these (term_blocks.hpp). These are the sums of NumberPanels on
// the CPU, with the same bits (see `chain` there for why chains are short).
#pragma once

#include <cstdint>

#include "kernels/blocks/term_blocks.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Terms of a chain, and chains of a group.
inline constexpr std::int64_t product_chain = 64, product_group = 16;

// z (rows x cols, row-major) = L x. L (rows x depth) has element (i, k) at l + i row_step + k
// depth_step, x (depth x cols) element (k, j) at x + k x_step + j, or at x + k + j x_step if it is
// stored by columns; of the steps of L one is 1. K may come in several calls, each a multiple of
// `product_chain` long but the last: `before` terms came before, and `all` are summed in the end.
// `kept` has kept_sums(all) times rows x cols sums: those of an unfinished group, which go on from
// call to call, and of each level of the tree. It may be null if K comes in one call of one block.
template <class T>
struct Product {
  const T* l;
  std::int64_t rows, depth, row_step, depth_step;
  const T* x;
  std::int64_t cols, x_step;
  bool x_by_columns = false;
  T* z;
  T* kept = nullptr;
  std::int64_t before = 0;
  std::int64_t all = 0;
};

inline std::int64_t kept_sums(std::int64_t all) { return 1 + tree_levels(all); }

template <class T>
cudaError_t multiply(const Product<T>& product, cudaStream_t stream);

}  // namespace sigmascope::device
