// SPDX-License-Identifier: BSD-3-Clause
// Description of a matrix in files, for another process that can open the same files: paths,
// offsets and places of its tiles.
#pragma once

#include "bindings/bindings.hpp"

namespace sigmascope {

// Throws TypeError if a tile is in memory, but not in a file.
py::tuple describe(const Matrix& matrix);

// Opens each file once. Throws ChangedFile if one was written after it was described.
Matrix described(const py::tuple& state);

}  // namespace sigmascope
