// SPDX-License-Identifier: BSD-3-Clause
// Functions that register parts of the module _cuda.
#pragma once

#include <pybind11/pybind11.h>

namespace sigmascope {

// The submodule `simulator`: settings and counters of the simulated devices.
void register_simulator(pybind11::module_& module);

}  // namespace sigmascope
