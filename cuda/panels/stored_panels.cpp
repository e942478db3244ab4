// SPDX-License-Identifier: BSD-3-Clause
#include "panels/stored_panels.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "matrix/sizes.hpp"
#include "panels/columns_of_panels.hpp"

namespace sigmascope::device {

namespace {

// The elements of a piece without gaps: by rows, or by columns if they are stored so. Along an axis
// of stride 0 there is one.
struct Packed {
  std::int64_t rows, cols, size;
  bool by_columns;

  explicit Packed(const Piece& piece)
      : rows(piece.row_stride == 0 ? 1 : piece.rows),
        cols(piece.col_stride == 0 ? 1 : piece.cols),
        size(info(piece.tile->dtype).size),
        by_columns(piece.row_stride == size && piece.col_stride != size) {}

  std::size_t bytes() const { return as_size(rows * cols * size); }
  std::int64_t row_stride(const Piece& piece) const {
    return piece.row_stride == 0 ? 0 : by_columns ? size : cols * size;
  }
  std::int64_t col_stride(const Piece& piece) const {
    return piece.col_stride == 0 ? 0 : by_columns ? rows * size : size;
  }

  // Whether the elements are so where they are.
  bool is(const Piece& piece) const {
    return (piece.rows == 1 || row_stride(piece) == piece.row_stride) &&
           (piece.cols == 1 || col_stride(piece) == piece.col_stride);
  }

  void add(const Piece& piece, Upload& upload) const {
    upload.add({.first = piece.data,
                .lines = by_columns ? cols : rows,
                .count = by_columns ? rows : cols,
                .size = size,
                .line_step = by_columns ? piece.col_stride : piece.row_stride,
                .step = by_columns ? piece.row_stride : piece.col_stride});
  }
};

std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Whether a panel may be one with others of numbers by rows.
bool can_be_joined(const StoredPanel& panel, DType dtype) {
  return dtype == DType::bf16 ? is_aligned_bf16(panel) : plain_numbers(panel, dtype).col_step == 1;
}

// Adds the rows of `next` to `panel`, if they follow in memory too; whether they do.
bool join(StoredPanel& panel, const StoredPanel& next, DType dtype) {
  if (!can_be_joined(panel, dtype) || !can_be_joined(next, dtype)) return false;
  StoredPiece& piece = panel.pieces[0];
  const StoredPiece& more = next.pieces[0];
  if (more.data != piece.data + piece.rows * piece.row_stride || more.cols != piece.cols ||
      more.row_stride != piece.row_stride)
    return false;
  piece.rows += more.rows, panel.rows += next.rows, panel.stored_bytes += next.stored_bytes;
  return true;
}

std::vector<StoredPanel> joined_panels(const std::vector<StoredPanel>& panels, DType dtype) {
  std::vector<StoredPanel> result;
  for (const StoredPanel& panel : panels)
    if (result.empty() || !join(result.back(), panel, dtype)) result.push_back(panel);
  return result;
}

}  // namespace

PlainNumbers plain_numbers(const StoredPanel& panel, DType dtype) {
  if (panel.pieces.size() != 1 || !panel.covered_once) return {};
  const StoredPiece& piece = panel.pieces[0];
  const std::int64_t size = info(dtype).size;
  if (piece.dtype != dtype || piece.scales != nullptr || piece.coefficient != 1 ||
      reinterpret_cast<std::uintptr_t>(piece.data) % as_size(size) != 0)
    return {};
  const std::int64_t row_step = piece.row_stride / size, col_step = piece.col_stride / size;
  const bool by_rows = piece.col_stride == size && row_step >= piece.cols,
             by_columns = piece.row_stride == size && col_step >= piece.rows;
  if (piece.row_stride % size != 0 || piece.col_stride % size != 0 || !(by_rows || by_columns))
    return {};
  return {piece.data, row_step, col_step};
}

bool is_aligned_bf16(const StoredPanel& panel) {
  constexpr std::int64_t numbers = 8;  // of 16 bytes
  const PlainNumbers plain = plain_numbers(panel, DType::bf16);
  return plain.numbers != nullptr && plain.col_step == 1 && plain.row_step % numbers == 0 &&
         panel.cols % numbers == 0 && reinterpret_cast<std::uintptr_t>(plain.numbers) % 16 == 0;
}

const std::vector<StoredPanel>& StoredPanels::kept(std::optional<DType> joined) {
  if (!joined) return kept_;
  auto& panels = joined_[*joined];
  if (panels.empty()) panels = joined_panels(kept_, *joined);
  return panels;
}

void StoredPanels::pass(const std::function<void(const StoredPanel&)>& act,
                        std::optional<DType> joined) {
  const auto count = as_size(count_panels(view_, height_));
  if (stays_ && kept_.size() == count) {
    for (const StoredPanel& panel : kept(joined)) act(panel);
    return;
  }
  kept_.clear(), joined_.clear();
  if (stays_ && by_rows_ == nullptr) reserve(count);
  for (std::size_t index = 0; index < count; ++index) {
    Slot& slot = slots_[index % slots_.size()];
    Panel located =
        located_panel(view_, height_, static_cast<std::int64_t>(index), device_.index());
    const StoredPanel panel = by_rows_ != nullptr
                                  ? columns_of(by_rows_->all(), located.col0, located.cols)
                                  : there(std::move(located), slot);
    act(panel);
    slot.used.record(device_.compute);
    if (stays_) kept_.push_back(panel);
  }
}

const std::vector<StoredPanel>& StoredPanels::all() {
  pass([](const StoredPanel&) {});
  return kept_;
}

// Memory for all panels, but for what is on the device already.
void StoredPanels::reserve(std::size_t panels) {
  std::size_t bytes = 0;
  for (const Tile& tile : view_.matrix->tiles) {
    if (tile.bytes.device() != on_host) continue;
    // An axis of stride 0 has one element in memory, and one in each panel.
    const std::size_t copies = tile.row_stride == 0 || tile.col_stride == 0 ? panels : 1;
    bytes += copies * as_size(tile.stored_bytes()) + alignment * panels;
  }
  codes_ = {}, codes_used_ = 0;
  if (bytes > 0) codes_ = device_.bytes_to_fill(bytes);
}

StoredPanel StoredPanels::there(Panel panel, Slot& slot) {
  StoredPanel stored_panel{.row0 = panel.row0,
                           .rows = panel.rows,
                           .col0 = panel.col0,
                           .cols = panel.cols,
                           .stored_bytes = panel.stored_bytes(),
                           .covered_once = panel.covered_once,
                           .pieces = {}};
  std::size_t bytes = 0;
  for (const Piece& piece : panel.pieces)
    if (!piece.on_device()) bytes += aligned(Packed(piece).bytes(), alignment);
  std::byte* codes = bytes > 0 ? room(bytes, slot) : nullptr;
  for (Piece& piece : panel.pieces) {
    StoredPiece& stored = stored_panel.pieces.emplace_back();
    if (piece.on_device()) {
      stored.data = piece.data;
      stored.row_stride = piece.row_stride, stored.col_stride = piece.col_stride;
    } else {
      add_bytes(piece);
      const Packed packed(piece);
      stored.data = codes;
      stored.row_stride = packed.row_stride(piece), stored.col_stride = packed.col_stride(piece);
      codes += aligned(packed.bytes(), alignment);
    }
    stored.rows = piece.rows, stored.cols = piece.cols;
    stored.row0 = piece.row0, stored.col0 = piece.col0;
    stored.by_columns = Packed(piece).by_columns;
    stored.dtype = piece.tile->dtype, stored.coefficient = piece.tile->coefficient;
    put_scales(piece, stored);
  }
  if (bytes == 0) return stored_panel;
  device_.upload.finish(slot.copied);
  slot.filled = true;
  slot.copied.precede(device_.compute);
  return stored_panel;
}

std::byte* StoredPanels::room(std::size_t bytes, Slot& slot) {
  std::byte* codes = nullptr;
  if (stays_) {
    codes = codes_.data() + std::exchange(codes_used_, codes_used_ + bytes);
  } else {
    if (slot.codes.bytes() < bytes) {
      slot.codes = {};
      slot.codes = device_.bytes_to_fill(bytes);
    }
    if (slot.filled) slot.used.precede(device_.copies);
    codes = slot.codes.data();
  }
  device_.upload.start(codes, bytes);
  return codes;
}

// Adds the elements of a piece without gaps to those that are copied. Those of a file are read into
// the pinned memory if they follow each other there.
void StoredPanels::add_bytes(Piece& piece) {
  device_.upload.align(alignment);
  const bool in_file = piece.data == nullptr;
  const Tile& tile = *piece.tile;
  const bool as_stored = info(tile.dtype).packed == 1 && !tile.encoding;
  if (const Packed packed(piece); in_file && as_stored && packed.is(piece)) {
    const std::int64_t first =
        tile.origin + piece.tile_row0 * tile.row_stride + piece.tile_col0 * tile.col_stride;
    device_.upload.add(tile.bytes, static_cast<std::uint64_t>(first), packed.bytes());
    return;
  }
  Buffer read;
  if (in_file) read = read_piece(piece);
  Packed(piece).add(piece, device_.upload);
}

void StoredPanels::put_scales(const Piece& piece, StoredPiece& stored) {
  const Tile& tile = *piece.tile;
  if (!tile.scale) return;
  stored.scales = scales(*tile.scale);
  stored.block_rows = tile.scale->block_rows, stored.block_cols = tile.scale->block_cols;
  stored.scale_row_stride = tile.scale->row_stride;
  stored.scale_col_stride = tile.scale->col_stride;
  stored.scale_row0 = tile.scale_row0 + piece.tile_row0 * tile.scale_row_step;
  stored.scale_col0 = tile.scale_col0 + piece.tile_col0 * tile.scale_col_step;
  stored.scale_row_step = tile.scale_row_step, stored.scale_col_step = tile.scale_col_step;
}

const float* StoredPanels::scales(const Scale& scale) {
  const auto scale_on_device = scales_.find(scale.values.get());
  if (scale_on_device != scales_.end()) return scale_on_device->second.data();
  const std::size_t count = scale.values->size(), bytes = count * sizeof(float);
  auto values = device_.block<float>(static_cast<std::int64_t>(count), 1);
  std::memcpy(device_.staging.to_fill(bytes), scale.values->data(), bytes);
  device_.staging.send(values.data(), bytes, device_.compute);
  return scales_.emplace(scale.values.get(), std::move(values)).first->second.data();
}

}  // namespace sigmascope::device
