// SPDX-License-Identifier: BSD-3-Clause
// Statistics of the elements of a matrix: those of moments on the CPU
// (kernels/elements/moments.hpp). Sums have the order and so the bits of a CPU with vectors of
// `vector_lanes` numbers of fp64.
#pragma once

#include <cstdint>

#include "kernels/decode.hpp"
#include "kernels/simd/stretch_sums.hpp"
#include "matrix/dtype.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Rows [row0, row0 + rows) of a matrix, decoded.
struct MomentsRows {
  const double* numbers;  // row-major without gaps
  std::int64_t row0, rows, cols;
  std::int64_t all_rows;  // of the matrix
  int vector_lanes;       // 8, 4, or 2 for a CPU that has no fused multiply-adds
  const DType* formats;   // see stretch_formats.hpp
  Stretch* stretches;     // workspace: one for each format
  double* pivots;         // workspace: one for each format
  double* column_groups;  // workspace: a row of `cols` for each group that has one of the rows

  SIGMASCOPE_HOST_DEVICE std::int64_t all_stretches() const {
    return rows * ((cols + stretch_length - 1) / stretch_length);
  }
};

// Sums over the rows so far. Column sums of the squares of the last group are in `open_columns`
// until the group ends; `column_losses` is what their additions have lost.
struct MomentsSums {
  RowGroup* groups;  // all of the matrix
  double* row_squares;
  double* column_squares;
  double* column_losses;
  double* open_columns;
};

SIGMASCOPE_HOST_DEVICE constexpr std::int64_t groups_of(std::int64_t rows) {
  return (rows + group_rows - 1) / group_rows;
}

// Begins with no row. All pointers are the device's.
cudaError_t start_moments(const MomentsSums& sums, std::int64_t rows, std::int64_t cols,
                          cudaStream_t stream);

// Adds the rows that follow those added before.
cudaError_t add_moments(const MomentsRows& rows, const MomentsSums& sums, cudaStream_t stream);

// Counts the codes of a piece of a dtype of at most 16 bits.
cudaError_t count_codes(const StoredPiece& piece, unsigned long long* counts, cudaStream_t stream);

}  // namespace sigmascope::device
