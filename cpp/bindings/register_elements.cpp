// SPDX-License-Identifier: BSD-3-Clause
// One look at every element, of one matrix or of two.
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/prepared.hpp"

namespace sigmascope {

namespace {

py::dict element_moments(const Matrix& matrix, bool histogram, const RunOptions& run) {
  CpuBackend<float> backend(cpu_options(run));
  const ElementMoments m = [&] {
    py::gil_scoped_release release;
    return backend.moments(matrix, histogram);
  }();
  py::dict result;
  for (const auto& [name, value] : {std::pair{"count", m.all.count},
                                    {"mean", m.all.mean},
                                    {"m2", m.all.m2},
                                    {"m3", m.all.m3},
                                    {"m4", m.all.m4},
                                    {"sum_squares", m.all.sum_squares},
                                    {"min", m.all.minimum},
                                    {"max", m.all.maximum},
                                    {"least", m.all.least}})
    result[name] = value;
  result["zeros"] = m.all.zeros;
  result["nan"] = m.all.nans;
  result["inf"] = m.all.infinities;
  result["first_nonfinite"] =
      m.first_row < 0 ? py::object(py::none()) : py::object(py::make_tuple(m.first_row, m.first_col));
  result["row_squares"] = to_numpy(m.row_squares);
  result["column_squares"] = to_numpy(m.col_squares);
  result["histogram"] = m.code_counts.empty() ? py::object(py::none()) : py::object(to_numpy(m.code_counts));
  return result;
}

py::dict survey(const Matrix& matrix, const RunOptions& run) {
  CpuBackend<float> backend(cpu_options(run));
  ElementSurvey seen;
  Problem problem;
  {
    py::gil_scoped_release release;
    seen = backend.survey(matrix);
    problem.exponent = door_exponent(matrix, seen.largest);
    problem.fro2 = scaled_squares(backend, matrix, seen, problem.exponent, problem.looks);
  }
  py::dict result;
  result["fro2"] = problem.in_squared_units(problem.fro2);
  result["unit"] = problem.unit();
  result["largest"] = seen.largest;
  result["nan"] = seen.nans;
  result["inf"] = seen.infinities;
  result["first_nonfinite"] =
      seen.first_row < 0 ? py::object(py::none()) : py::object(py::make_tuple(seen.first_row, seen.first_col));
  return result;
}

py::dict change(const Matrix& before, const Matrix& after, const RunOptions& run) {
  if (before.rows != after.rows || before.cols != after.cols) throw std::invalid_argument("matrices of two shapes");
  CpuBackend<float> backend(cpu_options(run));
  const ChangeSums sums = [&] {
    py::gil_scoped_release release;
    return backend.change(before, after);
  }();
  py::dict result;
  const bool units = sums.units == before.rows * before.cols;
  const auto known = [&](double units2) { return units ? py::object(py::float_(units2)) : py::object(py::none()); };
  result["before2"] = sums.before2;
  result["after2"] = sums.after2;
  result["before_units2"] = known(sums.before_units2);
  result["after_units2"] = known(sums.after_units2);
  result["change2"] = sums.change2;
  result["product"] = sums.product;
  return result;
}

}  // namespace

void register_elements(py::module_& module) {
  module.def("door_exponent", &door_exponent, "a"_a, "largest"_a);
  module.def(
      "moments",
      [](const Matrix& a, bool histogram, const py::kwargs& kwargs) {
        return element_moments(a, histogram, run_options(kwargs));
      },
      "a"_a, py::kw_only(), "histogram"_a);
  module.def(
      "survey", [](const Matrix& a, const py::kwargs& kwargs) { return survey(a, run_options(kwargs)); }, "a"_a,
      py::kw_only());
  module.def(
      "change",
      [](const Matrix& before, const Matrix& after, const py::kwargs& kwargs) {
        return change(before, after, run_options(kwargs));
      },
      "before"_a, "after"_a, py::kw_only());
}

}  // namespace sigmascope
