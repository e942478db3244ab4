// SPDX-License-Identifier: BSD-3-Clause
// A matrix in memory as bf16, rows on cache lines.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/cpu.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

struct RoundedCopy {
  std::int64_t rows, cols, ld;
  std::shared_ptr<std::uint16_t[]> codes;

  RoundedCopy(std::int64_t m, std::int64_t n)
      : rows(m),
        cols(n),
        ld(spread<std::uint16_t>(n)),
        codes(aligned_array<std::uint16_t>(m * ld)) {}

  std::uint16_t* row(std::int64_t i) const { return codes.get() + i * ld; }

  Matrix matrix() const {
    Tile tile;
    tile.bytes = Bytes::in_memory(reinterpret_cast<const std::byte*>(codes.get()),
                                  static_cast<std::uint64_t>(2 * rows * ld), codes);
    tile.dtype = DType::bf16;
    tile.rows = rows, tile.cols = cols;
    tile.row_stride = 2 * ld, tile.col_stride = 2;
    return {rows, cols, {tile}};
  }
};

// The whole matrix, each number rounded once: half the memory of an fp32 matrix. A matrix whose own
// bytes can be multiplied is returned as it is.
Matrix rounded(Cpu& cpu, const Matrix& a);

}  // namespace sigmascope
