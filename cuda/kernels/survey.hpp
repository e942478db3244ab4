// SPDX-License-Identifier: BSD-3-Clause
// Facts about decoded panels that algorithms need before they start: those of survey on the CPU
// (kernels/elements/survey.hpp). T is float or double; numbers must be as they are stored, so that
// T is double wherever an fp32 number would be rounded. A panel has all columns.
//
// Largest magnitude, counts, places and hashes are the CPU's. Sums of squares have the order of
// additions of a CPU with vectors of `vector_lanes` numbers of fp64, and its bits, but for
// stretches with NaN or infinity.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/simd/element_kernels.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

template <class T>
struct SurveyedPanel {
  const T* numbers;  // row-major without gaps
  std::int64_t row0, rows, cols;
  int vector_lanes;  // 8, 4, or 2 for a CPU that has no fused multiply-adds
  // The hash: place of the matrix in the one that is hashed, which has at least as many rows as
  // columns if `tall`; whole: of all bits of fp64, else of the nearest fp32 numbers.
  std::int64_t hashed_row0 = 0, hashed_col0 = 0;
  bool tall = false, whole = false;

  // Numbers of the workspace: a sum of each stretch of each row.
  std::int64_t workspace() const { return rows * ((cols + stretch_length - 1) / stretch_length); }
};

// Facts about all panels. They are integers, whose sums and minima no order of threads changes.
struct SurveyTotals {
  struct Sums {
    unsigned long long digest, digest_zeros, nans, infinities;
  } sums;
  struct Least {
    unsigned long long place;    // of a NaN or an infinity: row cols + column
    unsigned long long largest;  // the bits of the largest magnitude, each inverted
  } least;

  // Of finite numbers: the hash means nothing where others are.
  Digest digest() const { return {sums.digest, sums.digest_zeros}; }
  double largest() const { return std::bit_cast<double>(std::uint64_t{~least.largest}); }
  bool finite() const { return sums.nans + sums.infinities == 0; }
  // The place of the first number in the order of rows that is not finite, if there is one.
  std::int64_t first_row(std::int64_t cols) const {
    return static_cast<std::int64_t>(least.place) / cols;
  }
  std::int64_t first_col(std::int64_t cols) const {
    return static_cast<std::int64_t>(least.place) % cols;
  }
};

// Begins with no panel. All pointers are the device's.
cudaError_t start_survey(SurveyTotals* totals, cudaStream_t stream);

// Adds a panel to the totals and sets the sums of squares of its rows. NaN and infinity are left
// out of these sums and of the largest magnitude.
template <class T>
cudaError_t survey(const SurveyedPanel<T>& panel, double* workspace, double* row_squares,
                   SurveyTotals* totals, cudaStream_t stream);

}  // namespace sigmascope::device
