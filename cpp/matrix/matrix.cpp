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
    // Only the bytes between the first and the last element of this (perhaps sliced) tile.
    const std::int64_t down = (tile.rows - 1) * tile.row_stride, across = (tile.cols - 1) * tile.col_stride;
    const std::int64_t first = tile.origin + std::min<std::int64_t>(down, 0) + std::min<std::int64_t>(across, 0);
    const std::int64_t last = tile.origin + std::max<std::int64_t>(down, 0) + std::max<std::int64_t>(across, 0);
    const auto length = static_cast<std::uint64_t>(last - first + info(tile.dtype).size);
    std::shared_ptr<std::byte[]> buffer(new std::byte[length]);
    tile.bytes.read(static_cast<std::uint64_t>(first), length, buffer.get());
    tile.bytes = Bytes::in_memory(buffer.get(), length, buffer);
    tile.origin -= first;
  }
  return result;
}

}  // namespace sigmascope
