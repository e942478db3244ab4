// SPDX-License-Identifier: BSD-3-Clause
// Encodings as objects that Python makes and pickles: the name and columns of a block layout, or a
// dictionary with the parameters of codes in groups.
#pragma once

#include <memory>

#include "bindings/bindings.hpp"
#include "kernels/encodings/group_encoding.hpp"

namespace sigmascope {

// Keys are the members of GroupLayout; arrays are of NumPy, `zeros` and `biases` may be None.
std::shared_ptr<const GroupEncoding> group_encoding(const py::dict& state);

py::object described_encoding(const Encoding& encoding);
std::shared_ptr<const Encoding> opened_encoding(const py::handle& state);

}  // namespace sigmascope
