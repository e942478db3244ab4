// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/panel.hpp"

#include <algorithm>
#include <utility>

#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

Panel located(const Matrix& matrix, std::int64_t i0, std::int64_t i1, std::int64_t j0,
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
    if (const std::byte* data = tile.bytes.data(reader); data != nullptr)
      piece.data = data + tile.origin + piece.tile_row0 * tile.row_stride +
                   piece.tile_col0 * tile.col_stride;
    for (const Piece& other : panel.pieces)
      overlap |= piece.row0 < other.row0 + other.rows && other.row0 < piece.row0 + piece.rows &&
                 piece.col0 < other.col0 + other.cols && other.col0 < piece.col0 + piece.cols;
    covered += piece.rows * piece.cols;
    panel.pieces.push_back(piece);
  }
  panel.covered_once = !overlap && covered == panel.rows * panel.cols;
  return panel;
}

Panel with_bytes(Panel panel) {
  for (Piece& piece : panel.pieces)
    if (piece.data == nullptr) panel.buffers.push_back(read_piece(piece));
  return panel;
}

}  // namespace

Buffer read_piece(Piece& piece) {
  Rectangle read =
      read_rectangle(*piece.tile, piece.tile_row0, piece.tile_col0, piece.rows, piece.cols);
  piece.data = read.buffer.data;
  piece.row_stride = read.row_stride, piece.col_stride = read.col_stride;
  return std::move(read.buffer);
}

Panel fetch_panel(const Matrix& matrix, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                  std::int64_t j1) {
  return with_bytes(located(matrix, i0, i1, j0, j1, on_host));
}

std::int64_t count_panels(const MatrixView& view, std::int64_t height) {
  return (view.rows() + height - 1) / height;
}

Panel located_panel(const MatrixView& view, std::int64_t height, std::int64_t index, int reader) {
  const std::int64_t start = index * height, end = std::min(start + height, view.rows());
  const Matrix& matrix = *view.matrix;
  return view.transposed ? located(matrix, 0, matrix.rows, start, end, reader)
                         : located(matrix, start, end, 0, matrix.cols, reader);
}

PanelStream::PanelStream(const MatrixView& view, std::int64_t height)
    : view_(view), height_(std::max<std::int64_t>(height, 1)), count_(count_panels(view, height_)) {
  if (!view.matrix->in_memory())
    ahead_ = std::make_unique<Prefetch<Panel>>(as_size(count_), [this](std::size_t index) {
      return fetch(static_cast<std::int64_t>(index));
    });
}

Panel PanelStream::next(const std::function<void()>& waiting) {
  const std::int64_t index = position_++;
  if (!ahead_) return fetch(index);
  return ahead_->take(waiting, [this] { view_.matrix->stop_reading(); });
}

Panel PanelStream::fetch(std::int64_t index) const {
  return with_bytes(located_panel(view_, height_, index, on_host));
}

}  // namespace sigmascope
