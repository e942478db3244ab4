// SPDX-License-Identifier: BSD-3-Clause
// A matrix in files as the paths, offsets and places of its tiles, for another process that can
// open the same files.
#pragma once

#include "bindings/bindings.hpp"

namespace sigmascope {

// Throws TypeError if a tile lies in memory alone.
py::tuple describe(const Matrix& matrix);

// Opens each file once. Throws ChangedFile if one was written since it was described.
Matrix described(const py::tuple& state);

}  // namespace sigmascope
