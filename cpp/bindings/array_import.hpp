// SPDX-License-Identifier: BSD-3-Clause
// Matrices over the memory of arrays of Python, on the host or on a device, without a copy.
#pragma once

#include <cstdint>
#include <string>

#include "bindings/bindings.hpp"

namespace sigmascope {

// Element (0, 0) is at `address`; strides are in bytes and may be negative. `owner` is kept alive.
struct Layout {
  std::string dtype;
  std::int64_t rows, cols, row_stride, col_stride;
};
Matrix from_memory(std::uintptr_t address, py::object owner, const Layout& layout);
Matrix from_device(std::uintptr_t address, py::object source, int device, const Layout& layout);

// A tensor of DLPack, of either version of its capsules. Throws before it takes the tensor out of
// the capsule, or keeps it until the matrix goes. `source` exported it; `codes` is the dtype of
// unsigned integers, or empty.
Matrix from_dlpack(const py::capsule& capsule, py::object source, const std::string& codes);

// The Python objects whose memory on a device a matrix uses, each once.
py::list sources_on_device(const Matrix& matrix);

}  // namespace sigmascope
