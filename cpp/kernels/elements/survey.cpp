// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/elements/survey.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/rounded_copy.hpp"
#include "kernels/elements/element_pass.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

ElementSurvey survey(Cpu& cpu, const Matrix& a, SurveyCopy copy, const BlockPlace& place) {
  ElementSurvey result;
  result.row_squares.assign(as_size(a.rows), 0.0);
  const std::int64_t height = rows_at_a_time(a, cpu.panel_rows),
                     across = chunks(a.cols, stretch_length);
  std::vector<Survey> surveys(as_size(height * across));  // by stretch, then by row
  std::optional<RoundedCopy> rounded;
  if (copy == SurveyCopy::bf16) rounded.emplace(a.rows, a.cols);
  std::atomic<bool> copied = rounded.has_value();
  std::vector<Digester> digests(as_size(cpu.pool.threads()), Digester(cpu.isa, place, a.has_f64()));
  const auto look = [&](const Panel& panel, const ElementCodes& codes, std::int64_t i,
                        std::int64_t j, std::int64_t n, int worker) {
    Survey* here = surveys.data() + j / stretch_length * height + i;
    if (codes.dtype != DType::f32 ||
        reinterpret_cast<std::uintptr_t>(codes.data) % alignof(float) != 0)
      copied = false;
    const bool copies = copied;
    for (std::int64_t r = 0; r < codes.rows; ++r) {
      const std::byte* row = codes.data + r * codes.stride;
      cpu.isa.elements.survey(codes.dtype, row, n, codes.stride, here + r);
      digests[as_size(worker)].add(codes.dtype, row, panel.row0 + i + r, j, n);
      if (copies)
        cpu.isa.conversions.round_bf16(reinterpret_cast<const float*>(row), n, 1.0f,
                                       rounded->row(panel.row0 + i + r) + j);
    }
  };
  pass_over(a, height, cpu, look, [&](const Panel& panel) {
    for (std::int64_t i = 0; i < panel.rows; ++i) {
      LongSum squares;
      for (std::int64_t part = 0; part < across; ++part) {
        const Survey& s = surveys[as_size(part * height + i)];
        if (result.first_row < 0 && s.first_nonfinite >= 0) {
          result.first_row = panel.row0 + i;
          result.first_col = part * stretch_length + s.first_nonfinite;
        }
        squares.add(s.sum_squares);
        result.largest = std::max(result.largest, s.largest);
        result.nans += s.nans;
        result.infinities += s.infinities;
      }
      result.row_squares[as_size(panel.row0 + i)] = squares.value();
    }
    cpu.report(panel.stored_bytes());
  });
  result.digest = sum_of(digests);
  if (copied) result.rounded = rounded->matrix();
  return result;
}

}  // namespace sigmascope
