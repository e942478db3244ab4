// SPDX-License-Identifier: BSD-3-Clause
// Passes over every element of one matrix, or of two.
#include <cstdint>
#include <optional>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/prepared.hpp"
#include "kernels/elements/difference.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/elements/moments.hpp"
#include "kernels/elements/survey.hpp"

namespace sigmascope {

namespace {

py::dict element_moments(const Matrix& matrix, bool histogram, const RunOptions& run) {
  Cpu cpu(cpu_options(run));
  const ElementMoments m = [&] {
    py::gil_scoped_release release;
    return moments(cpu, matrix, histogram ? CodeCounts::all : CodeCounts::none);
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
  result["first_nonfinite"] = m.first_row < 0
                                  ? py::object(py::none())
                                  : py::object(py::make_tuple(m.first_row, m.first_col));
  result["row_squares"] = to_numpy(m.row_squares);
  result["column_squares"] = to_numpy(m.col_squares);
  result["histogram"] =
      m.code_counts.empty() ? py::object(py::none()) : py::object(to_numpy(m.code_counts));
  return result;
}

// The matrix is a block, at `place`, of a matrix of the given shape.
py::dict survey(const Matrix& matrix, const std::pair<std::int64_t, std::int64_t>& place,
                std::optional<std::pair<std::int64_t, std::int64_t>> shape, const RunOptions& run) {
  Cpu cpu(cpu_options(run));
  ElementSurvey seen;
  Problem problem;
  {
    py::gil_scoped_release release;
    if (!shape) shape = {matrix.rows, matrix.cols};
    seen = sigmascope::survey(cpu, matrix, SurveyCopy::none,
                              BlockPlace{place.first, place.second, shape->first >= shape->second});
    problem.exponent = door_exponent(matrix, seen.largest);
    problem.fro2 = scaled_squares(cpu, matrix, seen, problem.exponent, problem.survey_reads);
  }
  py::dict result;
  result["fro2"] = problem.in_squared_units(problem.fro2);
  result["unit"] = problem.unit();
  result["largest"] = seen.largest;
  result["digest"] = py::make_tuple(seen.digest.sum, seen.digest.zeros);
  result["nan"] = seen.nans;
  result["inf"] = seen.infinities;
  result["first_nonfinite"] = seen.first_row < 0
                                  ? py::object(py::none())
                                  : py::object(py::make_tuple(seen.first_row, seen.first_col));
  return result;
}

py::dict change(const Matrix& before, const Matrix& after, const RunOptions& run) {
  if (before.rows != after.rows || before.cols != after.cols)
    throw std::invalid_argument("matrices of two shapes");
  Cpu cpu(cpu_options(run));
  const auto [sums, was, is] = [&] {
    py::gil_scoped_release release;
    return difference(cpu, before, after);
  }();
  py::dict result;
  result["digests"] =
      py::make_tuple(py::make_tuple(was.sum, was.zeros), py::make_tuple(is.sum, is.zeros));
  const bool units = sums.units == before.rows * before.cols;
  const auto known = [&](double units2) {
    return units ? py::object(py::float_(units2)) : py::object(py::none());
  };
  result["before2"] = sums.before2;
  result["after2"] = sums.after2;
  result["before_units2"] = known(sums.before_units2);
  result["after_units2"] = known(sums.after_units2);
  result["change2"] = sums.change2;
  result["product"] = sums.product;
  result["unchanged"] = sums.unchanged;
  return result;
}

}  // namespace

void register_elements(py::module_& module) {
  module.attr("UNCHANGED_PART") = unchanged_part;
  module.def("door_exponent", &door_exponent, "a"_a, "largest"_a);
  module.def(
      "moments",
      [](const Matrix& a, bool histogram, const py::kwargs& kwargs) {
        return element_moments(a, histogram, run_options(kwargs));
      },
      "a"_a, py::kw_only(), "histogram"_a);
  module.def(
      "survey",
      [](const Matrix& a, std::pair<std::int64_t, std::int64_t> place,
         std::optional<std::pair<std::int64_t, std::int64_t>> shape,
         const py::kwargs& kwargs) { return survey(a, place, shape, run_options(kwargs)); },
      "a"_a, py::kw_only(), "place"_a = std::pair<std::int64_t, std::int64_t>{0, 0},
      "shape"_a = py::none());
  module.def(
      "fingerprint",
      [](std::pair<std::uint64_t, std::uint64_t> digest, double largest, std::int64_t rows,
         std::int64_t cols) {
        return fingerprint(best_isa(), {digest.first, digest.second}, largest, rows, cols);
      },
      "digest"_a, "largest"_a, "rows"_a, "cols"_a);
  module.def("start_of", &start_of, "fingerprint"_a, "seed"_a);
  module.def(
      "change",
      [](const Matrix& before, const Matrix& after, const py::kwargs& kwargs) {
        return change(before, after, run_options(kwargs));
      },
      "before"_a, "after"_a, py::kw_only());
}

}  // namespace sigmascope
