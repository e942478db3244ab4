// SPDX-License-Identifier: BSD-3-Clause
// A panel of a matrix as stored bytes on a device.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/decode.hpp"

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

}  // namespace sigmascope::device
