// SPDX-License-Identifier: BSD-3-Clause
#include "panels/panel_bytes.hpp"

#include <algorithm>

#include "kernels/blocks/block.hpp"
#include "kernels/products.hpp"
#include "kernels/survey.hpp"
#include "kernels/tensor_products.hpp"
#include "matrix/sizes.hpp"
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

// Sums that products of a panel and of its transpose with a block keep, of more than one block of
// terms: of fp64, which has no tensor cores, or of fp32.
std::int64_t tree_bytes(std::int64_t rows, std::int64_t cols, std::int64_t height,
                        std::int64_t columns, bool tensors) {
  const std::int64_t sums = tree_levels(rows) * cols + tree_levels(cols) * height;
  return sums * columns * (tensors ? number / 2 : number);
}

// Sums of tensor cores, for the products of a panel and of its transpose with a block.
std::int64_t tensor_bytes(std::int64_t rows, std::int64_t cols, std::int64_t columns) {
  BlockParts block;
  block.cols = columns;
  const TensorProduct image{.rows = rows, .depth = cols, .x = block};
  // Its first group may have begun in the panel before.
  const TensorProduct adjoint{.rows = cols, .depth = rows, .x = block, .before = tensor_group - 1};
  return std::max(image.workspace(), adjoint.workspace()) * std::int64_t{sizeof(float)};
}

}  // namespace

std::int64_t panel_height(std::int64_t cols, std::int64_t asked) {
  constexpr std::int64_t most = std::int64_t{4} << 20;
  const std::int64_t rows = asked > 0 ? asked : most / std::max<std::int64_t>(cols, 1);
  return std::max(rows / product_chain, std::int64_t{1}) * product_chain;
}

std::int64_t panel_bytes(const Matrix& matrix, std::int64_t asked, std::int64_t columns,
                         bool tensors) {
  const std::int64_t m = matrix.rows, n = matrix.cols;
  const std::int64_t height = panel_height(n, asked), rows = std::min(height, m),
                     transposed_rows = std::min(panel_height(m, asked), n);
  const std::int64_t decoded =
      std::max(decoded_bytes(matrix, rows, n), decoded_bytes(matrix, transposed_rows, m));
  // Panels that are multiplied as they are stored may be one.
  const std::int64_t sums =
      tensors ? std::max(tensor_bytes(rows, n, columns), tensor_bytes(m, n, columns)) : 0;
  return stored_panel_bytes(matrix, height) + decoded + sums +
         tree_bytes(m, n, rows, columns, tensors);
}

}  // namespace sigmascope::device
