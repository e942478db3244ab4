// SPDX-License-Identifier: BSD-3-Clause
// The norm, largest entry, nonfinite entries and hash of a matrix, which algorithms need before
// they start, in one pass at memory bandwidth.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/blocks/cpu.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

struct ElementSurvey {
  double largest = 0.0;             // magnitude
  std::vector<double> row_squares;  // the sum of each row's squares
  std::int64_t nans = 0, infinities = 0;
  std::int64_t first_row = -1, first_col = -1;  // the first NaN or infinity, in the order of rows
  Digest digest;                                // of all elements
  std::optional<Matrix> rounded;                // the copy in bf16, if it was asked for and made
};

// bf16: an fp32 matrix in memory is rounded to a copy in the same pass.
enum class SurveyCopy { none, bf16 };

// `place` says where `a` lies in a matrix of which it is a block.
ElementSurvey survey(Cpu& cpu, const Matrix& a, SurveyCopy copy, const BlockPlace& place);
inline ElementSurvey survey(Cpu& cpu, const Matrix& a, SurveyCopy copy = SurveyCopy::none) {
  return survey(cpu, a, copy, BlockPlace{0, 0, a.rows >= a.cols});
}

}  // namespace sigmascope
