// SPDX-License-Identifier: BSD-3-Clause
// Sums over the elements of two matrices and of their difference: those of difference on the CPU
// (kernels/elements/difference.hpp), in the order of a CPU with vectors of `vector_lanes` numbers
// of fp64.
#pragma once

#include <cstdint>

#include "kernels/simd/stretch_sums.hpp"
#include "matrix/dtype.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Some rows of one of both matrices, decoded.
struct ChangeSide {
  const double* numbers;
  const DType* formats;  // see stretch_formats.hpp
  bool whole;            // the hash is of all bits of fp64, else of the nearest fp32 numbers
};

// Rows [row0, row0 + rows) of both matrices.
struct ChangeRows {
  ChangeSide before, after;
  std::int64_t row_step;  // numbers from one row to the next
  std::int64_t row0, rows, cols;
  std::int64_t all_rows;  // of each matrix
  int vector_lanes;       // 8, 4, or 2 for a CPU that has no fused multiply-adds
  ChangeSums* stretches;  // workspace: one for each format
};

// Sums over all rows so far.
struct ChangeTotals {
  ChangeTotal all;
  // The hashes, which mean nothing where a number is not finite.
  struct Hashes {
    unsigned long long before, before_zeros, after, after_zeros;
  } hashes;
};

// Begins with no row. All pointers are the device's.
cudaError_t start_change(ChangeTotals* totals, cudaStream_t stream);

// Adds the rows that follow those added before.
cudaError_t add_change(const ChangeRows& rows, ChangeTotals* totals, cudaStream_t stream);

}  // namespace sigmascope::device
