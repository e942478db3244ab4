// SPDX-License-Identifier: BSD-3-Clause
// Which numbers are bf16 numbers, whose products tensor cores make without a rounding error.
#pragma once

#include "matrix/matrix.hpp"

namespace sigmascope::device {

// Whether a number is a power of two, of either sign.
bool is_power_of_two(double number);

// Whether all numbers of a matrix are bf16 numbers: of narrow formats, with scales that are powers
// of two, and no sums.
bool has_bf16_numbers(const Matrix& matrix);

}  // namespace sigmascope::device
