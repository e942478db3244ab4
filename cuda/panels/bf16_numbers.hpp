// SPDX-License-Identifier: BSD-3-Clause
// Which numbers are bf16 numbers or sums of two, whose products tensor cores make without a
// rounding error.
#pragma once

#include "matrix/matrix.hpp"

namespace sigmascope::device {

// Whether a number is a power of two, of either sign.
bool is_power_of_two(double number);

// The bf16 numbers that all numbers of a matrix are sums of: one or two; 0 if these are too few. A
// number has the significant bits of its format (11 in fp16), and as many more as its scale and the
// coefficient of its tile have, unless these are powers of two: one part holds 8 and two hold 16.
// Sums of tiles do not have so few bits.
int bf16_parts(const Matrix& matrix);

}  // namespace sigmascope::device
