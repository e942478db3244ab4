// SPDX-License-Identifier: BSD-3-Clause
// Gram matrices that can be added: the lower triangle, packed column after column as LAPACK does.
#include <stdexcept>
#include <string>

#include "algorithms/gram_spectrum.hpp"
#include "bindings/bindings.hpp"

namespace sigmascope {

namespace {

using Packed = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::array_t<double> packed_gram(const Matrix& matrix, const RunOptions& run) {
  CpuBackend<double> backend({.threads = run.threads,
                              .panel_rows = run.panel_rows,
                              .observer = make_observer(run.progress)});
  const bool flip = matrix.mostly_column_major();
  const Matrix stored = flip ? matrix.transposed() : matrix;
  const Small g = unlocked(
      matrix, [&] { return backend.gram({&stored, flip, 1.0}, GramProducts::full).values; });
  return packed_triangle(g);
}

Small unpacked(const Packed& packed, std::int64_t n) {
  if (packed.size() != n * (n + 1) / 2)
    throw std::invalid_argument("a triangle of order " + std::to_string(n) + " has " +
                                std::to_string(n * (n + 1) / 2) + " elements, not " +
                                std::to_string(packed.size()));
  Small g(n, n);
  const double* from = packed.data();
  for (std::int64_t j = 0; j < n; from += n - j, ++j) std::copy_n(from, n - j, &g(j, j));
  return g;
}

// Singular values and their errors from the Gram matrix. top > 0: only so many of the largest, with
// right vectors and residuals.
py::dict packed_spectrum(const Packed& packed, std::int64_t n, std::int64_t top, int threads) {
  Gram g{unpacked(packed, n)};
  py::dict result;
  if (top == 0) {
    const GramSpectrum every = [&] {
      py::gil_scoped_release release;
      CpuBackend<double> backend({.threads = threads, .panel_rows = 0, .observer = {}});
      return spectrum_of_gram(backend, std::move(g));
    }();
    result["values"] = to_numpy(every.values);
    result["errors"] = to_numpy(every.errors);
    result["floor"] = every.floor;
    return result;
  }
  const GramVectors pairs = [&] {
    py::gil_scoped_release release;
    return vectors_of_gram(g.values, top);
  }();
  result["values"] = to_numpy(pairs.values);
  result["errors"] = to_numpy(pairs.errors);
  result["residuals"] = to_numpy(pairs.residuals);
  result["v"] = to_numpy(pairs.vectors);
  return result;
}

}  // namespace

void register_gram(py::module_& module) {
  module.def(
      "packed_gram",
      [](const Matrix& a, const py::kwargs& kwargs) { return packed_gram(a, run_options(kwargs)); },
      "a"_a, py::kw_only());
  module.def("packed_spectrum", &packed_spectrum, "packed"_a, "n"_a, py::kw_only(), "top"_a,
             "threads"_a);
}

}  // namespace sigmascope
