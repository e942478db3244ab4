// SPDX-License-Identifier: BSD-3-Clause
// Passes over every element on the processor, and hashes of matrices.
#include <cstdint>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/element_results.hpp"
#include "kernels/elements/fingerprint.hpp"

namespace sigmascope {

namespace {

struct CpuPasses {
  Cpu cpu;

  ElementMoments moments(const Matrix& a, CodeCounts counted) {
    return sigmascope::moments(cpu, a, counted);
  }
  ElementSurvey survey(const Matrix& a, const BlockPlace& place) {
    return sigmascope::survey(cpu, a, SurveyCopy::none, place);
  }
  ElementDifference difference(const Matrix& before, const Matrix& after) {
    return sigmascope::difference(cpu, before, after);
  }
};

ElementSurvey surveyed_by(CpuPasses& passes, const Matrix& a, SurveyCopy copy) {
  return survey(passes.cpu, a, copy);
}
void forget(CpuPasses&, const Matrix&) {}

}  // namespace

void register_elements(py::module_& module) {
  module.attr("UNCHANGED_PART") = unchanged_part;
  module.def("door_exponent", &door_exponent, "a"_a, "largest"_a);
  register_element_passes(module, [](const py::kwargs& kwargs, const auto& act) {
    CpuPasses passes{Cpu(cpu_options(run_options(kwargs)))};
    return act(passes);
  });
  module.def(
      "fingerprint",
      [](std::pair<std::uint64_t, std::uint64_t> digest, double largest, std::int64_t rows,
         std::int64_t cols) {
        return fingerprint(best_isa(), {digest.first, digest.second}, largest, rows, cols);
      },
      "digest"_a, "largest"_a, "rows"_a, "cols"_a);
  module.def("start_of", &start_of, "fingerprint"_a, "seed"_a);
}

}  // namespace sigmascope
