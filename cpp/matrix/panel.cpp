// SPDX-License-Identifier: BSD-3-Clause
#include "matrix/panel.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace sigmascope {

namespace {

// A file tile's rectangle, read into a buffer. Lines run along the axis whose elements are adjacent in the file;
// when the wanted part of each line is most of it, the whole span is one read, else one read per line.
void read_piece(const Tile& tile, std::int64_t i0, std::int64_t j0, Piece& piece, Panel& panel) {
  const std::int64_t size = info(tile.dtype).size;
  const bool by_column = tile.column_major();
  const std::int64_t lines = by_column ? piece.cols : piece.rows;
  const std::int64_t length = by_column ? piece.rows : piece.cols;
  const std::int64_t line_stride = by_column ? tile.col_stride : tile.row_stride;
  const std::int64_t step = by_column ? tile.row_stride : tile.col_stride;
  const std::int64_t start = tile.origin + i0 * tile.row_stride + j0 * tile.col_stride;
  const std::int64_t line_bytes = (length - 1) * step + size;  // file tiles have positive strides
  const bool whole = 2 * line_bytes >= line_stride;
  const std::int64_t kept_stride = whole ? line_stride : line_bytes;
  const auto total = static_cast<std::size_t>((lines - 1) * kept_stride + line_bytes);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(total);
  if (whole) tile.bytes.read(static_cast<std::uint64_t>(start), total, buffer.get());
  else
    for (std::int64_t line = 0; line < lines; ++line)
      tile.bytes.read(static_cast<std::uint64_t>(start + line * line_stride), static_cast<std::size_t>(line_bytes),
                      buffer.get() + line * kept_stride);
  piece.data = buffer.get();
  piece.row_stride = by_column ? step : kept_stride;
  piece.col_stride = by_column ? kept_stride : step;
  panel.buffers.push_back(std::move(buffer));
}

}  // namespace

Panel fetch_panel(const Matrix& matrix, std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) {
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
    if (tile.bytes.data() != nullptr)
      piece.data =
          tile.bytes.data() + tile.origin + piece.tile_row0 * tile.row_stride + piece.tile_col0 * tile.col_stride;
    else read_piece(tile, piece.tile_row0, piece.tile_col0, piece, panel);
    for (const Piece& other : panel.pieces)
      overlap |= piece.row0 < other.row0 + other.rows && other.row0 < piece.row0 + piece.rows &&
                 piece.col0 < other.col0 + other.cols && other.col0 < piece.col0 + piece.cols;
    covered += piece.rows * piece.cols;
    panel.pieces.push_back(piece);
  }
  panel.covered_once = !overlap && covered == panel.rows * panel.cols;
  return panel;
}

PanelStream::PanelStream(const Matrix& matrix, bool by_columns, std::int64_t height)
    : matrix_(matrix), by_columns_(by_columns), height_(std::max<std::int64_t>(height, 1)) {
  const std::int64_t extent = by_columns ? matrix.cols : matrix.rows;
  count_ = (extent + height_ - 1) / height_;
  if (!matrix.in_memory())
    ahead_ = std::make_unique<Prefetch<Panel>>(static_cast<std::size_t>(count_), [this](std::size_t index) {
      return fetch(static_cast<std::int64_t>(index));
    });
}

Panel PanelStream::next() {
  const std::int64_t index = position_++;
  return ahead_ ? ahead_->take() : fetch(index);
}

Panel PanelStream::fetch(std::int64_t index) const {
  const std::int64_t start = index * height_;
  if (by_columns_) return fetch_panel(matrix_, 0, matrix_.rows, start, std::min(start + height_, matrix_.cols));
  return fetch_panel(matrix_, start, std::min(start + height_, matrix_.rows), 0, matrix_.cols);
}

}  // namespace sigmascope
