// SPDX-License-Identifier: BSD-3-Clause
// Rows of codes whose elements are adjacent, as element kernels read them. Codes are read where
// they are stored if they are adjacent there. Other codes are transposed into a buffer; those of
// tiles that are scaled or add up are decoded into one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/blocks/decode_panel.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// `rows` rows of codes, `stride` bytes apart.
struct ElementCodes {
  DType dtype;
  const std::byte* data;
  std::int64_t stride;
  std::int64_t rows;
};

struct CodeBuffers {
  std::vector<std::byte> transposed, scratch;
  std::vector<double> decoded;
};

template <std::size_t size>
void transpose_codes(const std::byte* from, std::int64_t row_stride, std::int64_t col_stride,
                     std::int64_t rows, std::int64_t cols, std::byte* to) {
  constexpr std::int64_t tile = 16;  // whose columns stay in the cache from row to row
  for (std::int64_t j0 = 0; j0 < cols; j0 += tile)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = j0; j < std::min(cols, j0 + tile); ++j)
        std::memcpy(to + (i * cols + j) * static_cast<std::int64_t>(size),
                    from + i * row_stride + j * col_stride, size);
}

// Elements of columns [j, j + n) from row i of the panel on: as many of at most `most` rows as lie
// alike.
inline ElementCodes element_codes(const Isa& isa, const Panel& panel, std::int64_t i,
                                  std::int64_t most, std::int64_t j, std::int64_t n,
                                  CodeBuffers& buffers) {
  constexpr std::int64_t buffered = 32;  // rows transposed or decoded at a time
  const auto holds = [&](const Piece& p) {
    return p.row0 <= i && i < p.row0 + p.rows && p.col0 <= j && j + n <= p.col0 + p.cols;
  };
  const auto piece = std::find_if(panel.pieces.begin(), panel.pieces.end(), holds);
  if (panel.covered_once && piece != panel.pieces.end() && piece->tile->coefficient == 1.0 &&
      !piece->tile->scale) {
    const DType dtype = piece->tile->dtype;
    const std::int64_t size = info(dtype).size;
    const std::byte* first =
        piece->data + (i - piece->row0) * piece->row_stride + (j - piece->col0) * piece->col_stride;
    const std::int64_t rows = std::min(most, piece->row0 + piece->rows - i);
    if (piece->col_stride == size) return {dtype, first, piece->row_stride, rows};
    const std::int64_t here = std::min(rows, buffered);
    buffers.transposed.resize(as_size(buffered * stretch_length * size));
    const auto transpose = size == 1   ? transpose_codes<1>
                           : size == 2 ? transpose_codes<2>
                           : size == 4 ? transpose_codes<4>
                                       : transpose_codes<8>;
    transpose(first, piece->row_stride, piece->col_stride, here, n, buffers.transposed.data());
    return {dtype, buffers.transposed.data(), n * size, here};
  }
  const std::int64_t here = std::min(most, buffered);
  buffers.decoded.resize(as_size(buffered * stretch_length));
  decode_panel(isa, panel, i, i + here, j, j + n, 1.0, buffers.decoded.data(), n, buffers.scratch);
  return {DType::f64, reinterpret_cast<const std::byte*>(buffers.decoded.data()), n * 8, here};
}

}  // namespace sigmascope
