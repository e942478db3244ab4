// SPDX-License-Identifier: BSD-3-Clause
// Products of a decoded panel with a block, in the precision of both. T is float or double.
//
// Every result is a sum over K: chains of 64 fused multiply-adds, 16 chains at a time, and the sums
// of 16 chains, together with what each addition loses if there are more than 64 of these. These
// are the sums of NumberPanels on the CPU, with the same bits (see `chain` there for why chains are
// short).
#pragma once

#include <cstdint>

#include "runtime.hpp"

namespace sigmascope::device {

// Terms of a chain, and chains of a group.
inline constexpr std::int64_t product_chain = 64, product_group = 16;
// Longest sum over K that is a plain one.
inline constexpr std::int64_t longest_plain = 64 * product_group * product_chain;

// z (rows x cols, row-major) = L x. L (rows x depth) has element (i, k) at l + i row_step + k
// depth_step, x (depth x cols) element (k, j) at x + k x_step + j, or at x + k + j x_step if it is
// stored by columns; of the steps of L one is 1. K may come in several calls, each a multiple of
// `product_chain` long but the last: `before` terms came before, and `all` are summed in the end.
// `group` (rows x cols) keeps the sums of an unfinished group from call to call, and after them, if
// K is longer than `longest_plain`, as many numbers that additions have lost; null if K comes in
// one call.
template <class T>
struct Product {
  const T* l;
  std::int64_t rows, depth, row_step, depth_step;
  const T* x;
  std::int64_t cols, x_step;
  bool x_by_columns = false;
  T* z;
  T* group = nullptr;
  std::int64_t before = 0;
  std::int64_t all = 0;
};

template <class T>
cudaError_t multiply(const Product<T>& product, cudaStream_t stream);

}  // namespace sigmascope::device
