// SPDX-License-Identifier: BSD-3-Clause
// A panel: whole rows (or whole columns) of a matrix that follow each other, as stored bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "matrix/matrix.hpp"
#include "storage/prefetch.hpp"

namespace sigmascope {

// A rectangle of one tile, in memory of the host or of a device: element (i, j) at data +
// i*row_stride + j*col_stride.
struct Piece {
  const Tile* tile;
  const std::byte* data;
  std::int64_t row_stride, col_stride;
  std::int64_t rows, cols;
  std::int64_t row0, col0;            // place in the panel
  std::int64_t tile_row0, tile_col0;  // place in the tile, for its scales

  std::int64_t stored_bytes() const {  // as of a tile; never empty
    return (row_stride == 0 ? 1 : rows) * (col_stride == 0 ? 1 : cols) * info(tile->dtype).size;
  }
  bool on_device() const { return tile->bytes.device() != on_host; }
  bool aligned_to(std::size_t bytes) const {  // every row of it
    return reinterpret_cast<std::uintptr_t>(data) % bytes == 0 &&
           row_stride % static_cast<std::int64_t>(bytes) == 0;
  }
};

struct Panel {
  std::int64_t row0 = 0, rows = 0;  // place in the matrix
  std::int64_t col0 = 0, cols = 0;
  std::vector<Piece> pieces;
  // Every element lies in exactly one piece, so that decoding writes and need not add.
  bool covered_once = false;
  std::vector<Buffer> buffers;

  std::int64_t stored_bytes() const {
    std::int64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.stored_bytes();
    return bytes;
  }
};

// The bytes of rows [i0, i1) x columns [j0, j1): pointers where they are in memory, else positioned
// reads. Throws OtherDevice if they are on a device.
Panel fetch_panel(const Matrix& matrix, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                  std::int64_t j1);

// The number of panels of `height` rows of op(A).
std::int64_t count_panels(const MatrixView& view, std::int64_t height);

// One of them, without the bytes that are in files: their pieces have no data yet, and the strides
// of the file. Throws OtherDevice if `reader` cannot read the others.
Panel located_panel(const MatrixView& view, std::int64_t height, std::int64_t index, int reader);

// Reads a piece of a file into memory.
Buffer read_piece(Piece& piece);

// Panels of a file that live at once: one is read, one is ready, one is in use.
inline constexpr std::int64_t live_panels = 3;

// Panels of `height` rows of op(A) in order; read ahead in a thread when bytes come from files.
class PanelStream {
 public:
  PanelStream(const MatrixView& view, std::int64_t height);
  PanelStream(const Matrix& matrix, std::int64_t height)
      : PanelStream(MatrixView{&matrix, false, 1.0}, height) {}
  std::int64_t count() const { return count_; }
  // `waiting` is called now and then while a panel is read. If it throws, reads are stopped.
  Panel next(const std::function<void()>& waiting);

 private:
  Panel fetch(std::int64_t index) const;

  MatrixView view_;
  std::int64_t height_;
  std::int64_t count_;
  std::int64_t position_ = 0;
  std::unique_ptr<Prefetch<Panel>> ahead_;
};

}  // namespace sigmascope
