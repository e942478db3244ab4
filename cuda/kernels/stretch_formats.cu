// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "kernels/bytes.hpp"
#include "kernels/launches.cuh"
#include "kernels/simd/element_kernels.hpp"
#include "kernels/stretch_formats.hpp"

namespace sigmascope::device {

namespace {

// Stretches [first, first + count) of some rows.
__global__ void __launch_bounds__(usual_threads)
    set_formats(std::int64_t rows, std::int64_t first, std::int64_t count, std::int64_t across,
                DType dtype, DType* formats) {
  for (std::int64_t e = first_element(); e < rows * count; e += element_step())
    formats[e / count * across + first + e % count] = dtype;
}

}  // namespace

cudaError_t find_formats(std::span<const StoredPiece> pieces, bool covered_once,
                         const StretchArea& area, DType* formats, cudaStream_t stream) {
  static_assert(static_cast<int>(DType::f64) == 0 && sizeof(DType) == 1);
  const std::int64_t across = tiles_over(area.cols, stretch_length);
  cudaError_t error = set_bytes(formats, 0, static_cast<std::size_t>(area.rows * across), stream);
  if (!covered_once) return error;
  for (const StoredPiece& piece : pieces) {
    if (error != cudaSuccess) return error;
    if (piece.coefficient != 1.0 || piece.scales != nullptr || piece.dtype == DType::f64) continue;
    const std::int64_t top = std::max(piece.row0 - area.row0, std::int64_t{0}),
                       bottom = std::min(piece.row0 + piece.rows - area.row0, area.rows),
                       left = std::max(piece.col0 - area.col0, std::int64_t{0}),
                       right = std::min(piece.col0 + piece.cols - area.col0, area.cols);
    const std::int64_t first = tiles_over(left, stretch_length),
                       end = right == area.cols ? across : right / stretch_length;
    if (top >= bottom || first >= end) continue;
    error = launch(set_formats, grid_over((bottom - top) * (end - first)), stream, bottom - top,
                   first, end - first, across, piece.dtype, formats + top * across);
  }
  return error;
}

}  // namespace sigmascope::device
