// SPDX-License-Identifier: BSD-3-Clause
// The way in which a pass reads a matrix, for the formulas of the memory that it takes. The formula
// of each kind of pass stands next to the kernels that take the memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "matrix/panel.hpp"

namespace sigmascope {

struct PassLayout {
  std::int64_t rows, cols;
  double element_bytes;  // as stored, summed over overlapping tiles
  bool files;            // each pass reads the matrix from files
  int threads;
  std::int64_t panel_rows;  // 0: chosen
  bool wide;                // the lines that it is stored in are longer than they are many

  std::int64_t longer() const { return std::max(rows, cols); }
  std::int64_t shorter() const { return std::min(rows, cols); }

  // Stored bytes of panels of `height` lines of this length, which live while a file is read.
  std::int64_t stored_panels(std::int64_t height, std::int64_t length) const {
    const auto elements = static_cast<double>(live_panels * height * length);
    return files ? static_cast<std::int64_t>(elements * element_bytes) : 0;
  }
  // The same where lines may be columns. If there are at most twice as many, `extent`, then the
  // bytes between those of a panel are read with it.
  std::int64_t stored_panels(std::int64_t height, std::int64_t length, std::int64_t extent) const {
    return stored_panels(2 * height >= extent ? 2 * height : height, length);
  }
};

}  // namespace sigmascope
