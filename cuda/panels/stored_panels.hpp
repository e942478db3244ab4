// SPDX-License-Identifier: BSD-3-Clause
// Panels of a matrix as stored bytes on a device: all of them there after the first pass, or copied
// again in every pass, while the panel before is in use. What lies on the device already is used
// where it is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "matrix/panel.hpp"
#include "memory/device_context.hpp"
#include "panels/stored_panel.hpp"

namespace sigmascope::device {

class StoredPanels {
 public:
  // Panels that are on the device at a time, and what their pieces are aligned to.
  static constexpr std::size_t at_once = 3;
  static constexpr std::size_t alignment = 16;

  // Panels of `height` rows of op(A). `stays`: there is memory for all of them. `by_rows`: the
  // panels of A that are on the device already, of which those of its transpose are parts.
  StoredPanels(DeviceContext& device, const MatrixView& view, std::int64_t height, bool stays,
               StoredPanels* by_rows = nullptr)
      : device_(device),
        view_(view),
        height_(height),
        stays_(stays || view.matrix->device() != on_host),
        by_rows_(by_rows) {}

  // Calls act for each panel, in their order. `joined`: panels of numbers of this dtype by rows,
  // aligned ones of bf16, are one where they follow each other on the device.
  void pass(const std::function<void(const StoredPanel&)>& act,
            std::optional<DType> joined = std::nullopt);
  // All panels, after the first pass or one that is made for this; for panels that stay.
  const std::vector<StoredPanel>& all();

 private:
  // Where the bytes of one panel are unless they stay.
  struct Slot {
    DeviceBlock<std::byte> codes;
    Event copied, used;
    bool filled = false;
  };

  StoredPanel there(Panel panel, Slot& slot);
  void reserve(std::size_t panels);
  // Memory on the device for the bytes of one panel that are on the host.
  std::byte* room(std::size_t bytes, Slot& slot);
  void add_bytes(Piece& piece);
  void put_scales(const Piece& piece, StoredPiece& stored);
  const float* scales(const Scale& scale);

  DeviceContext& device_;
  MatrixView view_;
  std::int64_t height_;
  bool stays_;
  StoredPanels* by_rows_;
  std::array<Slot, at_once> slots_;
  std::map<const std::vector<float>*, DeviceBlock<float>> scales_;
  DeviceBlock<std::byte> codes_;  // of all panels, if they stay
  std::size_t codes_used_ = 0;
  const std::vector<StoredPanel>& kept(std::optional<DType> joined);

  std::vector<StoredPanel> kept_;
  std::map<DType, std::vector<StoredPanel>> joined_;
};

}  // namespace sigmascope::device
