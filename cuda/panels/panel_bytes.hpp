// SPDX-License-Identifier: BSD-3-Clause
// Height and memory of the panels that a matrix is read in on a device.
#pragma once

#include <cstdint>

#include "matrix/matrix.hpp"

namespace sigmascope::device {

// Rows of a panel whose rows have so many numbers: whole chains of sums. `asked`: rows that the
// caller asks for; 0: at most 32 MiB of fp64 numbers, but for very long rows. It depends on the
// matrix alone, and not on memory.
std::int64_t panel_height(std::int64_t cols, std::int64_t asked);

// Most bytes of a device that reading a matrix takes at a time, in addition to its stored bytes if
// these stay: three panels as stored, one of them decoded, and the numbers of that one in bf16.
// `columns`: of the widest block, whose long sums are counted as well, and those of `tensors`, the
// tensor cores, which multiply blocks in fp32.
std::int64_t panel_bytes(const Matrix& matrix, std::int64_t asked, std::int64_t columns,
                         bool tensors);

}  // namespace sigmascope::device
