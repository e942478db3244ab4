// SPDX-License-Identifier: BSD-3-Clause
#include "stored_panels.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "matrix/sizes.hpp"

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

  void copy(const Piece& piece, std::byte* to) const {
    const std::int64_t lines = by_columns ? cols : rows, along = by_columns ? rows : cols;
    const std::int64_t line_stride = by_columns ? piece.col_stride : piece.row_stride,
                       step = by_columns ? piece.row_stride : piece.col_stride;
    for (std::int64_t i = 0; i < lines; ++i, to += along * size) {
      const std::byte* from = piece.data + i * line_stride;
      if (step == size) {
        std::memcpy(to, from, as_size(along * size));
        continue;
      }
      for (std::int64_t j = 0; j < along; ++j)
        std::memcpy(to + j * size, from + j * step, as_size(size));
    }
  }
};

std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Adds the rows of `next` to `panel`, if they follow in memory too; whether they do.
bool join(StoredPanel& panel, const StoredPanel& next) {
  if (!is_aligned_bf16(panel) || !is_aligned_bf16(next)) return false;
  StoredPiece& piece = panel.pieces[0];
  const StoredPiece& more = next.pieces[0];
  if (more.data != piece.data + piece.rows * piece.row_stride || more.cols != piece.cols ||
      more.row_stride != piece.row_stride)
    return false;
  piece.rows += more.rows, panel.rows += next.rows, panel.stored_bytes += next.stored_bytes;
  return true;
}

std::vector<StoredPanel> joined(const std::vector<StoredPanel>& panels) {
  std::vector<StoredPanel> result;
  for (const StoredPanel& panel : panels)
    if (result.empty() || !join(result.back(), panel)) result.push_back(panel);
  return result;
}

}  // namespace

bool is_aligned_bf16(const StoredPanel& panel) {
  constexpr std::int64_t bytes = 16;
  if (panel.pieces.size() != 1 || !panel.covered_once) return false;
  const StoredPiece& piece = panel.pieces[0];
  return piece.dtype == DType::bf16 && piece.scales == nullptr && piece.coefficient == 1 &&
         piece.col_stride == 2 && piece.row_stride > 0 && piece.row_stride % bytes == 0 &&
         piece.cols * 2 % bytes == 0 && reinterpret_cast<std::uintptr_t>(piece.data) % bytes == 0;
}

void StoredPanels::pass(const std::function<void(const StoredPanel&)>& act, bool whole) {
  PanelStream panels(view_, height_);
  const auto count = as_size(panels.count());
  if (stays_ && there_.size() == count) {
    for (const StoredPanel& panel : whole ? joined_ : there_) act(panel);
    return;
  }
  there_.clear(), codes_used_ = 0;
  if (stays_) {
    const auto pieces = count * view_.matrix->tiles.size();
    const auto bytes = as_size(view_.matrix->stored_bytes()) + alignment * pieces;
    codes_.reset();
    codes_ = std::make_unique<DeviceArray<std::byte>>(std::max(bytes, alignment));
  }
  for (std::size_t index = 0; index < count; ++index) {
    Slot& slot = slots_[index % slots_.size()];
    const StoredPanel panel = copied(panels.next(), slot);
    act(panel);
    slot.used.record(device_.compute);
    if (stays_) there_.push_back(panel);
  }
  if (stays_) joined_ = joined(there_);
}

// Memory on the device for the codes of one panel.
std::byte* StoredPanels::room(std::size_t bytes, Slot& slot) {
  if (stays_) return codes_->data() + std::exchange(codes_used_, codes_used_ + bytes);
  if (!slot.codes || slot.codes->size() < bytes) {
    if (slot.filled) slot.used.wait();
    slot.codes.reset();
    slot.codes = std::make_unique<DeviceArray<std::byte>>(std::max<std::size_t>(bytes, 1));
  }
  return slot.codes->data();
}

StoredPanel StoredPanels::copied(const Panel& panel, Slot& slot) {
  StoredPanel there{.row0 = panel.row0,
                    .rows = panel.rows,
                    .col0 = panel.col0,
                    .cols = panel.cols,
                    .stored_bytes = panel.stored_bytes(),
                    .covered_once = panel.covered_once,
                    .pieces = {}};
  std::size_t bytes = 0;
  for (const Piece& piece : panel.pieces) bytes += aligned(Packed(piece).bytes(), alignment);
  if (slot.filled) slot.copied.wait();  // the bytes before are no longer read
  if (!slot.pinned || slot.pinned->size() < bytes) {
    slot.pinned.reset();
    slot.pinned = std::make_unique<PinnedArray<std::byte>>(std::max<std::size_t>(bytes, 1));
  }
  std::byte* const codes = room(bytes, slot);
  std::size_t at = 0;
  for (const Piece& piece : panel.pieces) {
    const Packed packed(piece);
    const Tile& tile = *piece.tile;
    packed.copy(piece, slot.pinned->data() + at);
    StoredPiece& stored = there.pieces.emplace_back();
    stored.data = codes + at;
    stored.row_stride = packed.row_stride(piece), stored.col_stride = packed.col_stride(piece);
    stored.rows = piece.rows, stored.cols = piece.cols;
    stored.by_columns = packed.by_columns;
    stored.row0 = piece.row0, stored.col0 = piece.col0;
    stored.dtype = tile.dtype, stored.coefficient = tile.coefficient;
    if (tile.scale) {
      stored.scales = scales(*tile.scale);
      stored.block_rows = tile.scale->block_rows, stored.block_cols = tile.scale->block_cols;
      stored.scale_row_stride = tile.scale->row_stride;
      stored.scale_col_stride = tile.scale->col_stride;
      stored.scale_row0 = tile.scale_row0 + piece.tile_row0 * tile.scale_row_step;
      stored.scale_col0 = tile.scale_col0 + piece.tile_col0 * tile.scale_col_step;
      stored.scale_row_step = tile.scale_row_step, stored.scale_col_step = tile.scale_col_step;
    }
    at += aligned(packed.bytes(), alignment);
  }
  if (slot.filled && !stays_) slot.used.precede(device_.copies);
  if (bytes > 0)
    check(cudaMemcpyAsync(codes, slot.pinned->data(), bytes, cudaMemcpyHostToDevice,
                          device_.copies.handle()),
          "cudaMemcpyAsync of a panel");
  slot.copied.record(device_.copies);
  slot.filled = true;
  slot.copied.precede(device_.compute);
  return there;
}

const float* StoredPanels::scales(const Scale& scale) {
  const auto found = scales_.find(scale.values.get());
  if (found != scales_.end()) return found->second.data();
  const std::size_t count = scale.values->size(), bytes = count * sizeof(float);
  DeviceArray<float> values(std::max<std::size_t>(count, 1));
  std::memcpy(device_.staging.to_fill(bytes), scale.values->data(), bytes);
  device_.staging.send(values.data(), bytes, device_.compute);
  return scales_.emplace(scale.values.get(), std::move(values)).first->second.data();
}

}  // namespace sigmascope::device
