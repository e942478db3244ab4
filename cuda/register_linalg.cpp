// SPDX-License-Identifier: BSD-3-Clause
// The solvers on a device, of a matrix that is stored on the host.
#include "algorithms/backend.hpp"
#include "algorithms/matrix_operator.hpp"
#include "bindings.hpp"
#include "bindings/solver_calls.hpp"

namespace sigmascope {

static_assert(Backend<device::CudaBackend<float>> && Backend<device::CudaBackend<double>>);
static_assert(LinearOperator<MatrixOperator<device::CudaBackend<float>>> &&
              LinearOperator<MatrixOperator<device::CudaBackend<double>>>);

namespace device {

namespace {

struct OnDevice {
  template <class Act>
  py::dict operator()(const py::object& a, bool f64, const py::kwargs& kwargs, const Act& act,
                      bool) const {
    return f64 ? in<double>(a, kwargs, act) : in<float>(a, kwargs, act);
  }

 private:
  template <class T, class Act>
  static py::dict in(const py::object& a, const py::kwargs& kwargs, const Act& act) {
    // Steps in bf16 round a panel where it is, so that no copy of the matrix is made.
    Prepared<CudaBackend<T>> p(a.cast<const Matrix&>(), run_options(kwargs), false,
                               device_options(kwargs));
    return act(p);
  }
};

}  // namespace

void register_linalg(py::module_& module) { register_solvers(module, OnDevice{}); }

}  // namespace device

}  // namespace sigmascope
