// SPDX-License-Identifier: BSD-3-Clause
#include "panels/columns_of_panels.hpp"

#include <algorithm>

namespace sigmascope::device {

namespace {

// Adds the rows of `next` to `piece`, if they follow in memory too and have no scales; whether they
// do.
bool join(StoredPiece& piece, const StoredPiece& next) {
  if (next.row0 != piece.row0 + piece.rows || next.col0 != piece.col0 || next.cols != piece.cols ||
      next.dtype != piece.dtype || next.coefficient != piece.coefficient ||
      next.by_columns != piece.by_columns || next.scales != nullptr || piece.scales != nullptr ||
      next.row_stride != piece.row_stride || next.col_stride != piece.col_stride ||
      next.data != piece.data + piece.rows * piece.row_stride)
    return false;
  piece.rows += next.rows;
  return true;
}

std::int64_t stored_bytes(const StoredPiece& piece) {
  return (piece.row_stride == 0 ? 1 : piece.rows) * (piece.col_stride == 0 ? 1 : piece.cols) *
         info(piece.dtype).size;
}

}  // namespace

StoredPanel columns_of(const std::vector<StoredPanel>& rows, std::int64_t col0, std::int64_t cols) {
  StoredPanel columns{.col0 = col0, .cols = cols, .covered_once = true, .pieces = {}};
  for (const StoredPanel& panel : rows) {
    columns.rows += panel.rows;
    columns.covered_once = columns.covered_once && panel.covered_once;
    for (StoredPiece piece : panel.pieces) {
      const std::int64_t left = std::max(col0, piece.col0),
                         right = std::min(col0 + cols, piece.col0 + piece.cols);
      if (left >= right) continue;
      const std::int64_t skipped = left - piece.col0;
      piece.data += skipped * piece.col_stride;
      piece.scale_col0 += skipped * piece.scale_col_step;
      piece.row0 += panel.row0, piece.col0 = left - col0, piece.cols = right - left;
      columns.stored_bytes += stored_bytes(piece);
      if (columns.pieces.empty() || !join(columns.pieces.back(), piece))
        columns.pieces.push_back(piece);
    }
  }
  return columns;
}

}  // namespace sigmascope::device
