// SPDX-License-Identifier: BSD-3-Clause
// Passes over every element of one matrix, or of two, as functions that return dictionaries, on
// whichever device. The GIL is released while they run. P has the passes: moments, survey and
// difference, and surveyed_by and forget as free functions (see bindings/prepared.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/prepared.hpp"
#include "kernels/elements/difference.hpp"
#include "kernels/elements/moments.hpp"
#include "kernels/elements/survey.hpp"

namespace sigmascope {

// A row and a column, or None before the first.
inline py::object place_or_none(std::int64_t row, std::int64_t col) {
  return row < 0 ? py::object(py::none()) : py::object(py::make_tuple(row, col));
}

template <class P>
py::dict element_moments(P& passes, const Matrix& matrix, bool histogram) {
  const ElementMoments m = unlocked(matrix, [&] {
    return passes.moments(matrix, histogram ? CodeCounts::all : CodeCounts::none);
  });
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
  result["first_nonfinite"] = place_or_none(m.first_row, m.first_col);
  result["row_squares"] = to_numpy(m.row_squares);
  result["column_squares"] = to_numpy(m.col_squares);
  result["histogram"] =
      m.code_counts.empty() ? py::object(py::none()) : py::object(to_numpy(m.code_counts));
  return result;
}

// The matrix is a block, at `place`, of a matrix of the given shape.
template <class P>
py::dict element_survey(P& passes, const Matrix& matrix,
                        const std::pair<std::int64_t, std::int64_t>& place,
                        std::optional<std::pair<std::int64_t, std::int64_t>> shape) {
  ElementSurvey seen;
  Problem problem;
  {
    py::gil_scoped_release release;
    if (!shape) shape = {matrix.rows, matrix.cols};
    seen = passes.survey(matrix, {place.first, place.second, shape->first >= shape->second});
    problem.exponent = door_exponent(matrix, seen.largest);
    problem.fro2 = scaled_squares(passes, matrix, seen, problem.exponent, problem.survey_reads);
    matrix.check_mappings();
  }
  py::dict result;
  result["fro2"] = problem.in_squared_units(problem.fro2);
  result["unit"] = problem.unit();
  result["largest"] = seen.largest;
  result["digest"] = py::make_tuple(seen.digest.sum, seen.digest.zeros);
  result["nan"] = seen.nans;
  result["inf"] = seen.infinities;
  result["first_nonfinite"] = place_or_none(seen.first_row, seen.first_col);
  return result;
}

template <class P>
py::dict element_change(P& passes, const Matrix& before, const Matrix& after) {
  if (before.rows != after.rows || before.cols != after.cols)
    throw std::invalid_argument("the matrices have different shapes");
  const auto [sums, was, is] = unlocked(before, [&] {
    auto difference = passes.difference(before, after);
    after.check_mappings();
    return difference;
  });
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

// Functions that call act(passes) with the passes of a device: on(keyword arguments, act).
template <class On>
void register_element_passes(py::module_& module, const On& on) {
  module.def(
      "moments",
      [on](const Matrix& a, bool histogram, const py::kwargs& kwargs) {
        return on(kwargs, [&](auto& passes) { return element_moments(passes, a, histogram); });
      },
      "a"_a, py::kw_only(), "histogram"_a);
  module.def(
      "survey",
      [on](const Matrix& a, const std::pair<std::int64_t, std::int64_t>& place,
           const std::optional<std::pair<std::int64_t, std::int64_t>>& shape,
           const py::kwargs& kwargs) {
        return on(kwargs, [&](auto& passes) { return element_survey(passes, a, place, shape); });
      },
      "a"_a, py::kw_only(), "place"_a = std::pair<std::int64_t, std::int64_t>{0, 0},
      "shape"_a = py::none());
  module.def(
      "change",
      [on](const Matrix& before, const Matrix& after, const py::kwargs& kwargs) {
        return on(kwargs, [&](auto& passes) { return element_change(passes, before, after); });
      },
      "before"_a, "after"_a, py::kw_only());
}

}  // namespace sigmascope
