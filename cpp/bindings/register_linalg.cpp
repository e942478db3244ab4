// SPDX-License-Identifier: BSD-3-Clause
// The solvers on the processor, of a stored or a distributed matrix.
#include "bindings/bindings.hpp"
#include "bindings/distributed.hpp"
#include "bindings/solver_calls.hpp"
#include "kernels/gram/gram.hpp"

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
  module.def(
      "gram_error",
      [](std::int64_t rows, std::int64_t n) { return gram_error(n, gram_additions(rows, n)); },
      "rows"_a, "n"_a);
}

}  // namespace sigmascope
