// SPDX-License-Identifier: BSD-3-Clause
// The part of the table for eigenvalues of symmetric band and tridiagonal matrices.
#pragma once

#include <cstdint>

namespace sigmascope {

// A symmetric band matrix on its way to tridiagonal form: element (i, j), i >= j, is at
// band[j*band_ld + i - j]. While reflectors are applied the band is twice as wide. Vectors may
// write into the gap after each column.
inline constexpr int band_width = 64;
inline constexpr int band_ld = 2 * band_width + 9;

struct EigenvalueKernels {
  // One step of one sweep of the reduction of a band to tridiagonal form; v (band_width, aligned)
  // and tau go from step to step of a sweep. Returns false after the last step. 2 band_width
  // columns of zeros must follow the band.
  bool (*chase_bulge)(double* band, std::int64_t n, std::int64_t sweep, std::int64_t step,
                      double* v, double* tau);
  // Numbers of eigenvalues of a symmetric tridiagonal matrix below each x. `squares` are those of
  // the off-diagonal elements. `count` is a multiple of 8. A pivot below `least` counts as -least.
  void (*counts_below)(std::int64_t n, const double* diagonal, const double* squares, double least,
                       std::int64_t count, const double* x, double* counts);
};

}  // namespace sigmascope
