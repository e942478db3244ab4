// SPDX-License-Identifier: BSD-3-Clause
// Matrices whose elements are multiplied by scales of NumPy.
#pragma once

#include "bindings/bindings.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

// A scale for each block, in place of those of the tiles.
Matrix with_scale(const Matrix& matrix, const Floats& values, std::int64_t block_rows,
                  std::int64_t block_cols);

// Each row times a factor, and the scales that it has.
Matrix times_rows(const Matrix& matrix, const Floats& factors);

}  // namespace sigmascope
