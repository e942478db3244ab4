// SPDX-License-Identifier: BSD-3-Clause
// Single products of a matrix on a device, in fp64. The matrix is read once, so that none of it
// stays there.
#include <stdexcept>
#include <string>

#include "bindings/device_bindings.hpp"

namespace sigmascope::device {

namespace {

CudaBackend<double> backend_of_one_pass(const py::kwargs& kwargs) {
  DeviceOptions device = device_options(kwargs);
  device.staying = {}, device.libraries = {};
  return {cpu_options(run_options(kwargs)), device};
}

// A x, A^T x, or A^T (A x) and A x.
py::object product(const Matrix& a, const py::array& x, const std::string& verb,
                   const py::kwargs& kwargs) {
  const bool adjoint = verb == "adjoint", both = verb == "gram";
  if (!adjoint && !both && verb != "multiply")
    throw std::invalid_argument("unknown product on a device: " + verb);
  const Small numbers = small_of(x);
  if (numbers.rows != (adjoint ? a.rows : a.cols))
    throw std::invalid_argument("a block of " + std::to_string(numbers.rows) +
                                " rows does not fit the matrix");
  CudaBackend<double> backend = backend_of_one_pass(kwargs);
  DeviceBlock<double> image;
  const DeviceBlock<double> result = [&] {
    py::gil_scoped_release release;
    const DeviceBlock<double> block = backend.from_host(numbers);
    if (both) return backend.gram_step({&a}, block, &image);
    return adjoint ? backend.multiply_adjoint({&a}, block) : backend.multiply({&a}, block);
  }();
  py::array array = to_numpy(backend, result, false);
  if (!both) return array;
  return py::make_tuple(array, to_numpy(backend, image, false));
}

py::array_t<double> packed_gram(const Matrix& a, const py::kwargs& kwargs) {
  CudaBackend<double> backend = backend_of_one_pass(kwargs);
  const Gram gram = [&] {
    py::gil_scoped_release release;
    return backend.gram({&a}, GramProducts::full);
  }();
  return packed_triangle(gram.values);
}

}  // namespace

void register_products(py::module_& module) {
  module.def("product_f64", &product, "a"_a, "x"_a, "verb"_a);
  module.def("packed_gram", &packed_gram, "a"_a, py::kw_only());
}

}  // namespace sigmascope::device
