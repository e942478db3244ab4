// SPDX-License-Identifier: BSD-3-Clause
// Conversions between Python objects and C++ ones, and options, for all files that register
// functions.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/cpu_backend.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

namespace py = pybind11;
using namespace pybind11::literals;

// A matrix holds NaN or infinity.
class NonFinite : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Options of every algorithm, given as keyword arguments.
struct RunOptions {
  int threads = 1;
  std::int64_t panel_rows = 0;
  std::int64_t load_bytes = 0;  // read a matrix into memory if its stored bytes are no more
  py::object progress;          // None, or called with the number of stored bytes read so far
  std::optional<double> fro2;   // ||A||_F^2 of a matrix that is known to be finite
  // Of the random numbers, if several matrices share them; otherwise computed from the matrix.
  std::optional<std::uint64_t> fingerprint;
  bool gather = false;    // there is memory for the sum of the tiles of a matrix
  bool separate = false;  // store the part of this sum that bf16 cannot represent, if it is small
};

RunOptions run_options(const py::kwargs& kwargs);

// A keyword argument that must be given, and be of this type.
template <class T>
T keyword(const py::kwargs& kwargs, const char* name) {
  if (!kwargs.contains(name))
    throw py::type_error(std::string("missing keyword argument: ") + name);
  try {
    return kwargs[name].template cast<T>();
  } catch (const py::cast_error&) {
    throw py::type_error(std::string(name) + " = " + std::string(py::repr(kwargs[name])) +
                         " is of the wrong type");
  }
}

// Works without the GIL, then checks that mapped files are those that were opened.
template <class Work>
auto unlocked(const Matrix& matrix, const Work& work) {
  const py::gil_scoped_release release;
  auto result = work();
  matrix.check_mappings();
  return result;
}

// An observer that checks for Ctrl-C and reports progress about twenty times a second. It takes the
// GIL only then.
Observer make_observer(const py::object& progress);

inline CpuOptions cpu_options(const RunOptions& run) {
  return {.threads = run.threads,
          .panel_rows = run.panel_rows,
          .observer = make_observer(run.progress)};
}

template <class T>
py::array_t<T> to_numpy(const Block<T>& block, bool transposed) {
  const std::int64_t rows = transposed ? block.cols : block.rows,
                     cols = transposed ? block.rows : block.cols;
  py::array_t<T> array({rows, cols});
  T* out = array.mutable_data();
  if (!transposed) {
    for (std::int64_t i = 0; i < block.rows; ++i)
      std::copy_n(block.row(i), block.cols, out + i * block.cols);
    return array;
  }
  constexpr auto line = static_cast<std::int64_t>(64 / sizeof(T));  // written at once
  for (std::int64_t i0 = 0; i0 < block.rows; i0 += line)
    for (std::int64_t j = 0; j < block.cols; ++j)
      for (std::int64_t i = i0; i < std::min(block.rows, i0 + line); ++i)
        out[j * block.rows + i] = block.row(i)[j];
  return array;
}

// The same of a block of a backend, which may be on a device.
template <class T>
py::array_t<T> to_numpy(CpuBackend<T>&, const Block<T>& block, bool transposed) {
  return to_numpy(block, transposed);
}

template <class T>
Block<T> from_numpy(const py::array_t<T, py::array::c_style | py::array::forcecast>& array) {
  if (array.ndim() != 2) throw std::invalid_argument("a block must have 2 dimensions");
  auto block = Block<T>::to_fill(array.shape(0), array.shape(1));
  for (std::int64_t i = 0; i < block.rows; ++i)
    std::copy_n(array.data() + i * block.cols, block.cols, block.row(i));
  return block;
}

template <class T>
py::array_t<T> to_numpy(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

inline py::array_t<double> to_numpy(const Small& x) {
  py::array_t<double> array({x.rows, x.cols});
  double* out = array.mutable_data();
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) *out++ = x(i, j);
  return array;
}

// The lower triangle of a symmetric matrix, column after column as LAPACK packs it.
inline py::array_t<double> packed_triangle(const Small& g) {
  py::array_t<double> packed(g.cols * (g.cols + 1) / 2);
  double* out = packed.mutable_data();
  for (std::int64_t j = 0; j < g.cols; ++j)
    out = std::copy_n(g.data() + j * (g.rows + 1), g.cols - j, out);
  return packed;
}

inline GramProducts gram_products(bool fast) {
  return fast ? GramProducts::fast : GramProducts::full;
}

void register_matrix(py::module_& module);
void register_linalg(py::module_& module);
void register_elements(py::module_& module);
void register_gram(py::module_& module);
void register_products(py::module_& module);
void register_planning(py::module_& module);

}  // namespace sigmascope
