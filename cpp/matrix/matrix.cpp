// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/matrix.hpp"

#include <algorithm>
#include <utility>

namespace sigmascope {

Matrix Matrix::transposed() const {
  Matrix result{cols, rows, tiles};
  for (Tile& tile : result.tiles) {
    std::swap(tile.rows, tile.cols);
    std::swap(tile.row_stride, tile.col_stride);
    std::swap(tile.row0, tile.col0);
    std::swap(tile.scale_row0, tile.scale_col0);
    if (tile.scale) {
      auto scale = std::make_shared<Scale>(*tile.scale);
      std::swap(scale->block_rows, scale->block_cols);
      std::swap(scale->row_stride, scale->col_stride);
      tile.scale = std::move(scale);
    }
  }
  return result;
}

Matrix Matrix::slice(std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) const {
  Matrix result{i1 - i0, j1 - j0, {}};
  for (const Tile& tile : tiles) {
    const std::int64_t top = std::max(i0, tile.row0), bottom = std::min(i1, tile.row0 + tile.rows);
    const std::int64_t left = std::max(j0, tile.col0), right = std::min(j1, tile.col0 + tile.cols);
    if (top >= bottom || left >= right) continue;
    Tile cut = tile;
    cut.rows = bottom - top;
    cut.cols = right - left;
    cut.origin += (top - tile.row0) * tile.row_stride + (left - tile.col0) * tile.col_stride;
    cut.scale_row0 += top - tile.row0;
    cut.scale_col0 += left - tile.col0;
    cut.row0 = top - i0;
    cut.col0 = left - j0;
    result.tiles.push_back(std::move(cut));
  }
  return result;
}

Matrix Matrix::scaled(double factor) const {
  Matrix result = *this;
  for (Tile& tile : result.tiles) tile.coefficient *= factor;
  return result;
}

void Matrix::add(const Matrix& other, std::int64_t row_at, std::int64_t col_at) {
  for (Tile tile : other.tiles) {
    tile.row0 += row_at;
    tile.col0 += col_at;
    tiles.push_back(std::move(tile));
  }
}

std::int64_t Matrix::stored_bytes() const {
  std::int64_t total = 0;
  for (const Tile& tile : tiles) total += tile.stored_bytes();
  return total;
}

bool Matrix::in_memory() const {
  return std::all_of(tiles.begin(), tiles.end(), [](const Tile& t) { return t.bytes.data() != nullptr; });
}

bool Matrix::mostly_column_major() const {
  std::int64_t column = 0;
  for (const Tile& tile : tiles)
    if (tile.column_major()) column += tile.stored_bytes();
  return 2 * column > stored_bytes();
}

bool Matrix::has_f64() const {
  return std::any_of(tiles.begin(), tiles.end(), [](const Tile& t) { return t.dtype == DType::f64; });
}

Matrix Matrix::loaded() const {
  Matrix result = *this;
  for (Tile& tile : result.tiles) {
    if (tile.bytes.data() != nullptr || tile.rows == 0 || tile.cols == 0) continue;
    Rectangle read = read_rectangle(tile, 0, 0, tile.rows, tile.cols);
    auto buffer = std::make_shared<const Buffer>(std::move(read.buffer));
    tile.bytes = Bytes::in_memory(buffer->data, buffer->size, buffer);
    tile.origin = 0;
    tile.row_stride = read.row_stride;
    tile.col_stride = read.col_stride;
  }
  return result;
}

// Lines run along the axis whose elements are adjacent in the file; when the wanted part of each line is most of it,
// the whole span is one read, else one read per line.
Rectangle read_rectangle(const Tile& tile, std::int64_t i0, std::int64_t j0, std::int64_t rows, std::int64_t cols) {
  const std::int64_t size = info(tile.dtype).size;
  const bool by_column = tile.column_major();
  const std::int64_t lines = by_column ? cols : rows;
  const std::int64_t length = by_column ? rows : cols;
  const std::int64_t line_stride = by_column ? tile.col_stride : tile.row_stride;
  const std::int64_t step = by_column ? tile.row_stride : tile.col_stride;
  const std::int64_t start = tile.origin + i0 * tile.row_stride + j0 * tile.col_stride;
  const std::int64_t line_bytes = (length - 1) * step + size;  // file tiles have positive strides
  const bool whole = 2 * line_bytes >= line_stride;
  const std::int64_t kept_stride = whole ? line_stride : line_bytes;
  const auto total = static_cast<std::size_t>((lines - 1) * kept_stride + line_bytes);
  const auto first = static_cast<std::uint64_t>(start);
  Buffer buffer = whole ? tile.bytes.read(first, total)
                        : tile.bytes.read_runs(first, static_cast<std::size_t>(line_bytes),
                                               static_cast<std::size_t>(line_stride), static_cast<std::size_t>(lines));
  return {std::move(buffer), by_column ? step : kept_stride, by_column ? kept_stride : step};
}

}  // namespace sigmascope
