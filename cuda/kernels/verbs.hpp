// SPDX-License-Identifier: BSD-3-Clause
// Entry points of the kernels on blocks: tall, thin matrices, row-major, without padding. T is
// float or double.
#pragma once

#include <cstdint>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

template <class T>
struct BlockView {
  T* data;
  std::int64_t rows, cols;
};

// A few blocks of the same rows whose columns follow each other.
template <class T>
struct Row {
  static constexpr int most = 12;
  const T* data[most] = {};
  std::int64_t cols[most] = {};
  int count = 0;
  std::int64_t all = 0;  // columns of all of them

  bool add(const T* block, std::int64_t width) {
    if (count == most) return false;
    data[count] = block, cols[count] = width;
    return ++count, all += width, true;
  }
};

// Rows of a block that one sum of `inner` runs over, rows of each chain in it, and sums that are
// added one after the other: those of the CPU, so that the bits are the same.
inline constexpr std::int64_t inner_rows = 1024, inner_chain = 64, parts_together = 64;

// Entry (i, j) is a function of (seed, i, column0 + j), that of kernels/blocks/gaussian.hpp.
template <class T>
cudaError_t fill_gaussian(BlockView<T> x, std::uint64_t seed, std::int64_t column0,
                          cudaStream_t stream);

// sums = [x_1 x_2 ...]^T y (xs.all x y.cols, row-major): in T over 64 rows at a time, in fp64 over
// 1024 rows, which are added in groups. `partial` has room for the sums of each 1024 rows.
template <class T>
cudaError_t inner(const Row<T>& xs, BlockView<const T> y, double* partial, double* sums,
                  cudaStream_t stream);

// y += [x_1 x_2 ...] c, with c (xs.all x y.cols) row-major: one chain of fused multiply-adds over
// the columns, in their order.
template <class T>
cudaError_t combine(BlockView<T> y, const Row<T>& xs, const T* c, cudaStream_t stream);

}  // namespace sigmascope::device
