// SPDX-License-Identifier: BSD-3-Clause
// A panel of a matrix as stored bytes on a device.
#pragma once

#include <cstddef>
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

// Numbers of one dtype that lie in memory as they are, with steps between rows and between columns,
// of which one is 1. `numbers` is null if a panel is not such.
struct PlainNumbers {
  const std::byte* numbers = nullptr;
  std::int64_t row_step = 0, col_step = 0;
};
PlainNumbers plain_numbers(const StoredPanel& panel, DType dtype);

// Whether a panel is bf16 numbers by rows, each of which starts at a multiple of 16 bytes and ends
// at one, and nothing else is to be done with them.
bool is_aligned_bf16(const StoredPanel& panel);

}  // namespace sigmascope::device
