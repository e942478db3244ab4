// SPDX-License-Identifier: BSD-3-Clause
// Passes over every element on a device, of matrices that are stored on the host.
#include "backend/elements.hpp"
#include "bindings/device_bindings.hpp"
#include "bindings/element_results.hpp"

namespace sigmascope::device {

void register_elements(py::module_& module) {
  register_element_passes(module, [](const py::kwargs& kwargs, const auto& act) {
    ElementPasses passes(cpu_options(run_options(kwargs)), device_options(kwargs));
    return act(passes);
  });
}

}  // namespace sigmascope::device
