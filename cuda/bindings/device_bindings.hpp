// SPDX-License-Identifier: BSD-3-Clause
// Conversions and registrations of the module _cuda.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "backend/cuda_backend.hpp"
#include "bindings/bindings.hpp"

namespace sigmascope::device {

template <class T>
py::array_t<T> to_numpy(CudaBackend<T>& backend, const DeviceBlock<T>& block, bool transposed) {
  py::array_t<T> rows({block.rows, block.cols});
  backend.download(block, rows.mutable_data());
  if (!transposed) return rows;
  py::array_t<T> columns({block.cols, block.rows});
  const T* from = rows.data();
  T* to = columns.mutable_data();
  for (std::int64_t i = 0; i < block.rows; ++i)
    for (std::int64_t j = 0; j < block.cols; ++j) to[j * block.rows + i] = from[i * block.cols + j];
  return columns;
}

// Blocks of a device are made of fp64 matrices, which hold every fp32 number.
inline Small small_of(const py::array_t<double, py::array::c_style | py::array::forcecast>& array) {
  if (array.ndim() != 2) throw std::invalid_argument("a block must have 2 dimensions");
  Small x(array.shape(0), array.shape(1));
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) x(i, j) = array.data()[i * x.cols + j];
  return x;
}

inline DeviceOptions device_options(const py::kwargs& kwargs) {
  const auto path = [&](const char* name) {
    return kwargs.contains(name) ? kwargs[name].cast<std::string>() : std::string();
  };
  const auto count = [&](const char* name, std::int64_t usual) {
    return kwargs.contains(name) ? keyword<std::int64_t>(kwargs, name) : usual;
  };
  return {.index = keyword<int>(kwargs, "device"),
          .staying = {.stored = keyword<std::int64_t>(kwargs, "device_bytes"),
                      .parts = count("device_parts_bytes", 0)},
          .planned_bytes = count("device_planned_bytes", 0),
          .panel_numbers = count("device_panel_numbers", least_panel_numbers),
          .libraries = {.cublas = path("cublas"), .cusolver = path("cusolver")}};
}

// Solvers of matrices on a device, passes over their elements, and single products; arrays that lie
// there; libraries that are opened at run time; verbs, for tests.
void register_linalg(py::module_& module);
void register_arrays(py::module_& module);
void register_elements(py::module_& module);
void register_products(py::module_& module);
void register_batches(py::module_& module);
void register_libraries(py::module_& module);
void register_verbs(py::module_& module);

}  // namespace sigmascope::device
