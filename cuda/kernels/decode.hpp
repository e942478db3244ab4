// SPDX-License-Identifier: BSD-3-Clause
// Stored numbers of a panel, decoded, scaled and summed on a device, with the bits of decode_panel
// (kernels/blocks/decode_panel.hpp) on a processor with fused multiply-adds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "matrix/dtype.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// A rectangle of one tile, whose codes are on the device: element (i, j) at data + i row_stride + j
// col_stride bytes, of any sign and alignment.
struct StoredPiece {
  const std::byte* data = nullptr;
  std::int64_t row_stride = 0, col_stride = 0;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row0 = 0, col0 = 0;  // place in the panel
  DType dtype = DType::f32;
  double coefficient = 1.0;
  // The tile is stored by columns (Tile::column_major), which the CPU multiplies and adds in two
  // steps: each product is rounded before it is added.
  bool by_columns = false;
  // Scale of element (i, j): that of row scale_row0 + i scale_row_step and column scale_col0 + j
  // scale_col_step of the unsliced tensor, see Scale in matrix/matrix.hpp.
  const float* scales = nullptr;  // on the device; null: none
  std::int64_t block_rows = 1, block_cols = 1;
  std::int64_t scale_row_stride = 0, scale_col_stride = 0;
  std::int64_t scale_row0 = 0, scale_col0 = 0;
  std::int64_t scale_row_step = 1, scale_col_step = 1;
};

// factor times the sum of the pieces, rows x cols.
struct Decoding {
  std::span<const StoredPiece> pieces;
  bool covered_once = false;  // every element is in exactly one piece
  std::int64_t rows = 0, cols = 0;
  double factor = 1.0;

  // Numbers of fp64 that decoding to T takes as workspace: a sum times an unusual factor, which
  // might take its terms out of the range of T, is made in fp64 and multiplied then.
  template <class T>
  std::int64_t workspace() const;
};

// Decodes to `out`, row-major without gaps. Both pointers are the device's; `workspace` may be null
// where none is needed.
template <class T>
cudaError_t decode(const Decoding& decoding, T* out, double* workspace, cudaStream_t stream);

}  // namespace sigmascope::device
