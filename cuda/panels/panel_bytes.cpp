// SPDX-License-Identifier: BSD-3-Clause
#include "panels/panel_bytes.hpp"

#include <algorithm>

#include "kernels/blocks/block.hpp"
#include "kernels/products.hpp"
#include "kernels/survey.hpp"
#include "kernels/tensor_products.hpp"
#include "matrix/sizes.hpp"
#include "panels/bf16_numbers.hpp"
#include "panels/stored_panels.hpp"

namespace sigmascope::device {

namespace {

constexpr std::int64_t number = sizeof(double);

// Three panels as stored; or, if all stay, what aligns them, and the elements of strides of 0, of
// which every panel has its own.
std::int64_t stored_panel_bytes(const Matrix& matrix, std::int64_t height) {
  constexpr std::int64_t alignment = StoredPanels::alignment;
  const std::int64_t count = chunks(matrix.rows, height), most = chunks(matrix.rows, product_chain);
  std::int64_t panel = 0, more = 0;
  for (const Tile& tile : matrix.tiles) {
    if (tile.bytes.device() != on_host) continue;
    const std::int64_t rows = tile.row_stride == 0 ? 1 : std::min(tile.rows, height),
                       cols = tile.col_stride == 0 ? 1 : tile.cols;
    panel += rows * cols * info(tile.dtype).size + alignment;
    more += most * alignment;
    if (rows * cols < std::min(tile.rows, height) * tile.cols) more += most * tile.stored_bytes();
  }
  return std::max(std::min<std::int64_t>(count, StoredPanels::at_once) * panel, more);
}

// Whether numbers in fp32 may be made of sums in fp64, as those are that no tile or several have.
bool has_sums(const Matrix& matrix) {
  return matrix.tiles.size() != 1 || matrix.tiles[0].rows != matrix.rows ||
         matrix.tiles[0].cols != matrix.cols;
}

// One panel of rows of so many numbers: decoded to fp64 with the sums of a survey, or to fp32 and
// from there to bf16.
std::int64_t decoded_bytes(const Matrix& matrix, std::int64_t rows, std::int64_t cols) {
  const std::int64_t surveyed = rows * (cols + chunks(cols, stretch_length)) * number,
                     sums = has_sums(matrix) ? number : 0, step = round_up(cols, codes_at_once),
                     rounded = rows * cols * (number / 2 + sums) + rows * step * 2;
  return std::max(surveyed, rounded);
}

// Whether panels of one tile will be bf16 numbers that are multiplied where they are. Those of the
// host are copied without gaps.
bool will_be_aligned_bf16(const Tile& tile) {
  constexpr std::int64_t size = 2;
  const bool by_rows = tile.col_stride == size || (tile.cols == 1 && tile.row_stride != size);
  return tile.dtype == DType::bf16 && !tile.scale && tile.coefficient == 1 &&
         tile.cols % codes_at_once == 0 && by_rows &&
         (tile.bytes.device() == on_host || tile.row_stride % (codes_at_once * size) == 0);
}

// Sums that products of a panel and of its transpose with a block keep, of more than one block of
// terms: of fp64, which has no tensor cores, or of fp32. A panel may have all rows.
std::int64_t tree_bytes(std::int64_t rows, std::int64_t cols, std::int64_t columns, bool tensors) {
  const std::int64_t sums = tree_levels(rows) * cols + tree_levels(cols) * rows;
  return sums * columns * (tensors ? number / 2 : number);
}

// Sums of groups, for the products of a panel and of its transpose with a block: of fp64, or of
// tensor cores in fp32.
std::int64_t group_bytes(std::int64_t rows, std::int64_t cols, std::int64_t columns, bool tensors) {
  const std::int64_t size = tensors ? number / 2 : number;
  const TermGroups image{.depth = cols, .all = cols};
  // Its first group may have begun in the panel before.
  const TermGroups adjoint{.before = group_terms - 1, .depth = rows, .all = group_terms + rows};
  return std::max(image.at_once(rows * columns, size) * rows,
                  adjoint.at_once(cols * columns, size) * cols) *
         columns * size;
}

}  // namespace

std::int64_t PanelSize::height(std::int64_t cols) const {
  const std::int64_t most = rows > 0 ? rows : numbers / std::max<std::int64_t>(cols, 1);
  // Whole groups of sums, where that leaves out few rows.
  const std::int64_t unit = rows == 0 && most >= 4 * group_terms ? group_terms : product_chain;
  return std::max(most / unit, std::int64_t{1}) * unit;
}

std::int64_t parts_bytes(const Matrix& matrix, bool rounded) {
  constexpr std::int64_t code = 2;
  if (!has_sums(matrix) && will_be_aligned_bf16(matrix.tiles[0])) return 0;
  const std::int64_t parts = std::max(bf16_parts(matrix), rounded ? 1 : 0);
  return parts * matrix.rows * round_up(matrix.cols, codes_at_once) * code;
}

std::int64_t panel_bytes(const Matrix& matrix, const PanelSize& size, std::int64_t columns,
                         bool tensors) {
  const std::int64_t m = matrix.rows, n = matrix.cols;
  const std::int64_t height = size.height(n), rows = std::min(height, m),
                     transposed_rows = std::min(size.height(m), n);
  const std::int64_t decoded =
      std::max(decoded_bytes(matrix, rows, n), decoded_bytes(matrix, transposed_rows, m));
  // Panels that are multiplied as they are stored may be one.
  const std::int64_t sums =
      std::max(group_bytes(rows, n, columns, tensors), group_bytes(m, n, columns, tensors));
  return stored_panel_bytes(matrix, height) + decoded + sums + tree_bytes(m, n, columns, tensors);
}

}  // namespace sigmascope::device
