// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/scales.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sigmascope {

namespace {

// The scales of a tile times a factor for each of its rows.
Scale rows_scaled(const Tile& tile, const float* factors) {
  Scale scales;
  const std::int64_t width =
      tile.scale ? tile.scale->block_cols : std::max<std::int64_t>(tile.cols, 1);
  const std::int64_t last =
                         tile.scale ? tile.scale_col0 + (tile.cols - 1) * tile.scale_col_step : 0,
                     count = last / width + 1;
  auto values = std::make_shared<std::vector<float>>(as_size(tile.rows * count));
  for (std::int64_t i = 0; i < tile.rows; ++i)
    for (std::int64_t j = 0; j < count; ++j) {
      const float scale =
          tile.scale ? tile.scale->at(tile.scale_row0 + i * tile.scale_row_step, j * width) : 1;
      (*values)[as_size(i * count + j)] = factors[i] * scale;
    }
  scales.values = std::move(values);
  scales.block_rows = 1, scales.block_cols = width;
  scales.row_stride = count, scales.col_stride = 1;
  return scales;
}

}  // namespace

Matrix with_scale(const Matrix& matrix, const Floats& values, std::int64_t block_rows,
                  std::int64_t block_cols) {
  if (block_rows < 1 || block_cols < 1)
    throw std::invalid_argument("scale blocks of " + std::to_string(block_rows) + " x " +
                                std::to_string(block_cols) +
                                " must have at least one row and one column");
  const auto wanted_rows = (matrix.rows + block_rows - 1) / block_rows,
             wanted_cols = (matrix.cols + block_cols - 1) / block_cols;
  if (values.ndim() != 2 || values.shape(0) != wanted_rows || values.shape(1) != wanted_cols)
    throw std::invalid_argument(
        "scales of " + std::to_string(matrix.rows) + " x " + std::to_string(matrix.cols) +
        " in blocks of " + std::to_string(block_rows) + " x " + std::to_string(block_cols) +
        " must be " + std::to_string(wanted_rows) + " x " + std::to_string(wanted_cols));
  auto scale = std::make_shared<Scale>();
  scale->values =
      std::make_shared<const std::vector<float>>(values.data(), values.data() + values.size());
  scale->block_rows = block_rows, scale->block_cols = block_cols;
  scale->row_stride = wanted_cols, scale->col_stride = 1;
  Matrix result = matrix;
  for (Tile& tile : result.tiles) tile.scale = scale;
  return result;
}

Matrix times_rows(const Matrix& matrix, const Floats& factors) {
  if (factors.size() != matrix.rows)
    throw std::invalid_argument(std::to_string(factors.size()) + " factors for " +
                                std::to_string(matrix.rows) + " rows");
  Matrix result = matrix;
  for (Tile& tile : result.tiles) {
    auto scale = std::make_shared<const Scale>(rows_scaled(tile, factors.data() + tile.row0));
    if (!tile.scale) tile.scale_col0 = 0, tile.scale_col_step = 1;
    tile.scale = std::move(scale);
    tile.scale_row0 = 0, tile.scale_row_step = 1;
  }
  return result;
}

}  // namespace sigmascope
