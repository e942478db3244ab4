// SPDX-License-Identifier: BSD-3-Clause
// Versions of cuBLAS and cuSOLVER; the memory of a device that their calls take, and that panels
// do.
#include "backend/cusolver_eigenvalues.hpp"
#include "backend/gram.hpp"
#include "bindings/device_bindings.hpp"
#include "libraries/libraries.hpp"
#include "memory/copied_columns.hpp"
#include "panels/panel_bytes.hpp"

namespace sigmascope::device {

namespace {

using Columns = py::array_t<double, py::array::f_style | py::array::forcecast>;

// act(device, matrix) of a square matrix that is copied there.
template <class Act>
auto on_device(const Columns& array, int index, const Act& act) {
  Small a(array.shape(0), array.shape(1));
  std::copy_n(array.data(), array.size(), a.data());
  const py::gil_scoped_release release;
  DeviceContext device(index);
  auto block = sent_columns(device, a);
  return act(device, block);
}

}  // namespace

void register_libraries(py::module_& module) {
  const auto released = py::call_guard<py::gil_scoped_release>();
  module.def(
      "cublas_version", [](const std::string& path) { return Cublas(path).version(); }, "path"_a,
      released);
  module.def(
      "cusolver_version", [](const std::string& path) { return Cusolver(path).version(); },
      "path"_a, released);
  module.attr("least_panel_numbers") = least_panel_numbers;
  module.def(
      "panel_bytes",
      [](const Matrix& a, std::int64_t rows, std::int64_t numbers, std::int64_t columns,
         bool tensors) {
        return panel_bytes(a, {.rows = rows, .numbers = numbers}, columns, tensors);
      },
      "a"_a, py::kw_only(), "panel_rows"_a, "panel_numbers"_a, "columns"_a, "tensors"_a);
  module.def("parts_bytes", &parts_bytes, "a"_a, py::kw_only(), "rounded"_a);
  module.def("gram_bytes", &gram_bytes, "rows"_a, "n"_a, py::kw_only(), "by_cublas"_a);
  module.def("cusolver_bytes", &cusolver_bytes, "index"_a, "path"_a, "n"_a, py::kw_only(),
             "vectors"_a, released);
  // For tests: of any order, where the backend leaves small ones to the processor.
  module.def(
      "cusolver_eigenvalues",
      [](const Columns& array, int index, const std::string& path) {
        return sigmascope::to_numpy(
            on_device(array, index, [&](DeviceContext& device, DeviceBlock<double>& a) {
              return cusolver_eigenvalues(device, path, a);
            }));
      },
      "a"_a, py::kw_only(), "index"_a, "path"_a);
  module.def(
      "cusolver_eigenpairs",
      [](const Columns& array, std::int64_t k, int index, const std::string& path) {
        const EigenPairs pairs =
            on_device(array, index, [&](DeviceContext& device, DeviceBlock<double>& a) {
              return cusolver_eigenpairs(device, path, a, k);
            });
        return py::make_tuple(sigmascope::to_numpy(pairs.values),
                              sigmascope::to_numpy(pairs.vectors));
      },
      "a"_a, "k"_a, py::kw_only(), "index"_a, "path"_a);
}

}  // namespace sigmascope::device
