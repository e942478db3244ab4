// SPDX-License-Identifier: BSD-3-Clause
// The solvers on a device, of a matrix that is stored there or on the host.
#include "algorithms/backend.hpp"
#include "algorithms/matrix_operator.hpp"
#include "bindings/device_bindings.hpp"
#include "bindings/solver_calls.hpp"

namespace sigmascope {

static_assert(Backend<device::CudaBackend<float>> && Backend<device::CudaBackend<double>>);
static_assert(LinearOperator<MatrixOperator<device::CudaBackend<float>>> &&
              LinearOperator<MatrixOperator<device::CudaBackend<double>>>);

namespace device {

namespace {

// `allocate` is None, or makes an array of the caller's library for vectors, row-major, and returns
// it with its address on the device.
template <class T>
struct DeviceProblem : Prepared<CudaBackend<T>> {
  py::object allocate;

  DeviceProblem(const Matrix& given, const py::kwargs& kwargs)
      // Steps in bf16 round a panel where it is, so that no copy of the matrix is made.
      : Prepared<CudaBackend<T>>(given, run_options(kwargs), false, device_options(kwargs)),
        allocate(kwargs.contains("allocate") ? py::object(kwargs["allocate"]) : py::none()) {}
};

// A transposed array is a view of one with the rows of the block.
template <class T>
py::object vector_array(DeviceProblem<T>& p, const DeviceBlock<T>& block, bool transposed) {
  if (p.allocate.is_none()) return to_numpy(p.backend, block, transposed);
  const py::tuple made = p.allocate(block.rows, block.cols, sizeof(T) == sizeof(double));
  auto* to = reinterpret_cast<T*>(made[1].cast<std::uintptr_t>());
  {
    py::gil_scoped_release release;
    p.backend.copy(block, to);
  }
  return transposed ? py::object(made[0].attr("T")) : py::object(made[0]);
}

struct OnDevice {
  template <class Act>
  py::dict operator()(const py::object& a, bool f64, const py::kwargs& kwargs, const Act& act,
                      bool) const {
    return f64 ? in<double>(a, kwargs, act) : in<float>(a, kwargs, act);
  }

 private:
  template <class T, class Act>
  static py::dict in(const py::object& a, const py::kwargs& kwargs, const Act& act) {
    DeviceProblem<T> p(a.cast<const Matrix&>(), kwargs);
    return act(p);
  }
};

}  // namespace

void register_linalg(py::module_& module) { register_solvers(module, OnDevice{}); }

}  // namespace device

}  // namespace sigmascope
