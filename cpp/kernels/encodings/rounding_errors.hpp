// SPDX-License-Identifier: BSD-3-Clause
// The rounding errors of quantised matrices, as matrices of standard deviations over the same
// bytes: transposes, slices and joins of tiles stay as they are.
#pragma once

#include <optional>

#include "matrix/matrix.hpp"

namespace sigmascope {

// Numbers that are decoded from codes, or multiplied by stored scales, or have 8 bits or fewer.
bool is_quantised(const Matrix& matrix);

// Numbers that are decoded from codes in groups or blocks.
bool is_encoded(const Matrix& matrix);

// The standard deviation of the rounding error of each number, but for its sign. None if an element
// lies in no encoded tile, or in several, or in one whose errors are not known.
std::optional<Matrix> deviations_of(const Matrix& matrix);

}  // namespace sigmascope
