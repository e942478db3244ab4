// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that forms Gram matrices in fp32 and bf16. Columns are packed into cells of
// 32 bits, in groups of 16: see packed_gram.hpp.
#pragma once

#include <cstdint>

namespace sigmascope {

// The narrowest of these formats that holds a set of numbers exactly.
enum class Narrow : std::uint8_t { bf16, f32, f64 };

inline constexpr std::int64_t cell_group = 16;
inline constexpr std::int64_t cell_rows = 128;  // summed in fp32, then in fp64; even
inline constexpr std::int64_t cell_steps(Narrow narrow, std::int64_t rows) {
  return narrow == Narrow::bf16 ? (rows + 1) / 2 : rows;
}

// A tile of a Gram matrix: its rows [row0, row0 + rows) from the cells `right`, its columns [col0,
// col0 + cols) from the cells `left`.
struct CellTile {
  std::int64_t row0, rows, col0, cols;
  const float *right, *left;
};

struct GramKernels {
  // bf16 only where there are dot products for it.
  Narrow (*narrowest)(const double* x, std::int64_t n);
  // One group of cells of up to 16 columns, which `narrow` holds: element (row, col) is at
  // x[row*row_step + col*col_step].
  void (*pack)(Narrow narrow, std::int64_t cols, std::int64_t rows, const double* x,
               std::int64_t col_step, std::int64_t row_step, std::uint32_t* cells);
  // g (column-major, ld; its lower triangle) += the products of the tile's columns over so many
  // rows.
  void (*add_products)(Narrow narrow, std::int64_t rows, const CellTile& tile, double* g,
                       std::int64_t ld);
};

}  // namespace sigmascope
