// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/panel.hpp"

#include <algorithm>
#include <utility>

#include "matrix/sizes.hpp"

namespace sigmascope {

Panel fetch_panel(const Matrix& matrix, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                  std::int64_t j1, int reader) {
  Panel panel;
  panel.row0 = i0, panel.rows = i1 - i0, panel.col0 = j0, panel.cols = j1 - j0;
  std::int64_t covered = 0;
  bool overlap = false;
  for (const Tile& tile : matrix.tiles) {
    const std::int64_t top = std::max(i0, tile.row0), bottom = std::min(i1, tile.row0 + tile.rows);
    const std::int64_t left = std::max(j0, tile.col0), right = std::min(j1, tile.col0 + tile.cols);
    if (top >= bottom || left >= right) continue;
    Piece piece{&tile,        nullptr,  tile.row_stride, tile.col_stride, bottom - top,
                right - left, top - i0, left - j0,       top - tile.row0, left - tile.col0};
    if (const std::byte* data = tile.bytes.data(reader); data != nullptr) {
      piece.data = data + tile.origin + piece.tile_row0 * tile.row_stride +
                   piece.tile_col0 * tile.col_stride;
    } else {
      Rectangle read =
          read_rectangle(tile, piece.tile_row0, piece.tile_col0, piece.rows, piece.cols);
      piece.data = read.buffer.data;
      piece.row_stride = read.row_stride;
      piece.col_stride = read.col_stride;
      panel.buffers.push_back(std::move(read.buffer));
    }
    for (const Piece& other : panel.pieces)
      overlap |= piece.row0 < other.row0 + other.rows && other.row0 < piece.row0 + piece.rows &&
                 piece.col0 < other.col0 + other.cols && other.col0 < piece.col0 + piece.cols;
    covered += piece.rows * piece.cols;
    panel.pieces.push_back(piece);
  }
  panel.covered_once = !overlap && covered == panel.rows * panel.cols;
  return panel;
}

PanelStream::PanelStream(const MatrixView& view, std::int64_t height, int reader)
    : matrix_(*view.matrix),
      by_columns_(view.transposed),
      height_(std::max<std::int64_t>(height, 1)),
      reader_(reader) {
  count_ = (view.rows() + height_ - 1) / height_;
  if (!matrix_.in_memory())
    ahead_ = std::make_unique<Prefetch<Panel>>(as_size(count_), [this](std::size_t index) {
      return fetch(static_cast<std::int64_t>(index));
    });
}

Panel PanelStream::next() {
  const std::int64_t index = position_++;
  return ahead_ ? ahead_->take() : fetch(index);
}

Panel PanelStream::fetch(std::int64_t index) const {
  const std::int64_t start = index * height_;
  if (by_columns_)
    return fetch_panel(matrix_, 0, matrix_.rows, start, std::min(start + height_, matrix_.cols),
                       reader_);
  return fetch_panel(matrix_, start, std::min(start + height_, matrix_.rows), 0, matrix_.cols,
                     reader_);
}

}  // namespace sigmascope
