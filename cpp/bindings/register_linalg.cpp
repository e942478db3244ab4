// SPDX-License-Identifier: BSD-3-Clause
// The solvers on the processor, of a stored or a distributed matrix.
#include "bindings/bindings.hpp"
#include "bindings/distributed.hpp"
#include "bindings/solver_calls.hpp"

namespace sigmascope {

namespace {

struct OnCpu {
  template <class Act>
  py::dict operator()(const py::object& a, bool f64, const py::kwargs& kwargs, const Act& act,
                      bool rounded_copy) const {
    return solved(a, f64, run_options(kwargs), act, rounded_copy);
  }
};

}  // namespace

void register_linalg(py::module_& module) {
  register_solvers(module, OnCpu{});
  module.def("gram_error", &gram_error, "n"_a);
}

}  // namespace sigmascope
