// SPDX-License-Identifier: BSD-3-Clause
// Products of a decoded panel with a block, in the precision of both. T is float or double.
//
// Every result is a sum over K: chains of 64 fused multiply-adds, 16 chains at a time, the sums of
// 16 chains, and a tree of blocks of these (term_blocks.hpp). These are the sums of NumberPanels on
// the CPU, with the same bits (see `chain` there for why chains are short).
#pragma once

#include <cstdint>

#include "kernels/group_sums.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Terms of a chain.
inline constexpr std::int64_t product_chain = 64;

// z (rows x cols, row-major) = L x. L (rows x depth) has element (i, k) at l + i row_step + k
// depth_step, x (depth x cols) element (k, j) at x + k x_step + j, or at x + k + j x_step if it is
// stored by columns; of the steps of L one is 1. K may come in several calls, each a multiple of
// `product_chain` long but the last: `before` terms came before, and `all` are summed in the end.
template <class T>
struct Product {
  const T* l;
  std::int64_t rows, depth, row_step, depth_step;
  const T* x;
  std::int64_t cols, x_step;
  bool x_by_columns = false;
  T* z;
  // rows x cols each: the sums of the group that the call before left unfinished, and of the one
  // that this call leaves; other memory, since blocks of threads run in any order. Null if K comes
  // in one call.
  const T* group = nullptr;
  T* unfinished = nullptr;
  // tree_levels(all) times rows x cols sums, which go on from call to call.
  T* levels = nullptr;
  std::int64_t before = 0;
  std::int64_t all = 0;

  TermGroups groups() const { return {before, depth, all}; }
  // Numbers that the sums of groups take.
  std::int64_t workspace() const { return workspace_of<T>(groups(), rows * cols); }
};

template <class T>
cudaError_t multiply(const Product<T>& product, T* workspace, cudaStream_t stream);

}  // namespace sigmascope::device
