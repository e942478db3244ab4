// SPDX-License-Identifier: BSD-3-Clause
// Height and memory of the panels that a matrix is read in on a device.
#pragma once

#include <cstdint>

#include "matrix/matrix.hpp"

namespace sigmascope::device {

// Numbers of a panel where memory is short. Products of larger ones have more blocks of threads.
inline constexpr std::int64_t least_panel_numbers = std::int64_t{4} << 20;

// The size of panels: rows that the caller asks for; 0: as many as have at most so many numbers, of
// very long rows a few more. No bit depends on it.
struct PanelSize {
  std::int64_t rows = 0;
  std::int64_t numbers = least_panel_numbers;

  // Rows of a panel whose rows have so many numbers: whole chains of sums.
  std::int64_t height(std::int64_t cols) const;
};

// Bytes of all numbers of a matrix in bf16, in as many parts as tensor cores multiply, or `rounded`
// to one if these are too few; 0 of stored bf16 numbers, which are multiplied where they are.
std::int64_t parts_bytes(const Matrix& matrix, bool rounded);

// Most bytes of a device that reading a matrix takes at a time, in addition to its stored bytes if
// these stay: three panels as stored, one of them decoded, and the numbers of that one in bf16.
// `columns`: of the widest block, whose long sums are counted as well, and those of `tensors`, the
// tensor cores, which multiply blocks in fp32.
std::int64_t panel_bytes(const Matrix& matrix, const PanelSize& size, std::int64_t columns,
                         bool tensors);

}  // namespace sigmascope::device
