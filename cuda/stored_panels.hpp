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
#include <vector>

#include "device_context.hpp"
#include "kernels/decode.hpp"
#include "matrix/panel.hpp"

namespace sigmascope::device {

// A panel whose bytes are on the device for every kernel that is started on the stream `compute`.
struct StoredPanel {
  std::int64_t row0 = 0, rows = 0, col0 = 0, cols = 0;
  std::int64_t stored_bytes = 0;
  bool covered_once = false;
  std::vector<StoredPiece> pieces;
};

// Whether a panel is bf16 numbers by rows, each of which starts at a multiple of 16 bytes and ends
// at one, and nothing else is to be done with them.
bool is_aligned_bf16(const StoredPanel& panel);

class StoredPanels {
 public:
  // Panels of `height` rows of op(A). `stays`: there is memory for all of them.
  StoredPanels(DeviceContext& device, const MatrixView& view, std::int64_t height, bool stays)
      : device_(device),
        view_(view),
        height_(height),
        stays_(stays || view.matrix->device() != on_host) {}

  // Calls act for each panel, in their order. `whole`: of panels of aligned bf16 numbers those that
  // follow each other on the device are one.
  void pass(const std::function<void(const StoredPanel&)>& act, bool whole = false);

 private:
  static constexpr std::size_t alignment = 16;

  // Where the bytes of one panel pass through, and where they are unless they stay.
  struct Slot {
    std::unique_ptr<PinnedArray<std::byte>> pinned;
    std::unique_ptr<DeviceArray<std::byte>> codes;
    Event copied, used;
    bool filled = false;
  };

  StoredPanel there(const Panel& panel, Slot& slot);
  void reserve(std::size_t panels);
  // Memory on the device for the bytes of one panel that are on the host.
  std::byte* room(std::size_t bytes, Slot& slot);
  void copy(std::byte* codes, std::size_t bytes, Slot& slot);
  void put_scales(const Piece& piece, StoredPiece& stored);
  const float* scales(const Scale& scale);

  DeviceContext& device_;
  MatrixView view_;
  std::int64_t height_;
  bool stays_;
  std::array<Slot, 3> slots_;
  std::map<const std::vector<float>*, DeviceArray<float>> scales_;
  std::unique_ptr<DeviceArray<std::byte>> codes_;  // of all panels, if they stay
  std::size_t codes_used_ = 0;
  std::vector<StoredPanel> kept_, joined_;
};

}  // namespace sigmascope::device
