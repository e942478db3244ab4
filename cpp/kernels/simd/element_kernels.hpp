// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that reads every element once.
#pragma once

#include <cstdint>

#include "matrix/dtype.hpp"

namespace sigmascope {

// Rows are cut into stretches at multiples of this many columns: sums start anew there, and kernels
// work on one stretch.
inline constexpr std::int64_t stretch_length = 4096;

// Statistics of one stretch of numbers; nonfinite ones are counted and left out.
struct Stretch {
  double count, mean, m2, m3, m4;  // central sums
  double sum_squares, minimum, maximum;
  // Smallest magnitude of the nonzero numbers of an fp64 matrix. It is infinite for other formats,
  // whose squares fp64 holds.
  double least;
  std::int64_t zeros, nans, infinities, first_nonfinite;  // -1: none
};

// The facts about a stretch that algorithms need before they start.
struct Survey {
  double sum_squares, largest;  // largest magnitude
  std::int64_t nans, infinities, first_nonfinite;
};

// Sums mod 2^64 over entries: of words times keys, and of the keys of zeros. See fingerprint.hpp.
struct Digest {
  std::uint64_t sum = 0, zeros = 0;
};

// Part of an entry up to which a change of it counts as none: about what bfloat16 hides.
inline constexpr double unchanged_part = 1e-3;

// Sums over the entries w of one matrix and w' of another of its shape, with d = w' - w.
struct ChangeSums {
  double before2 = 0.0;  // w w
  double after2 = 0.0;   // w' w'
  double change2 = 0.0;  // d d
  double product = 0.0;  // w d
  // 2^2e for the exponents e of w and of w'. The expected squared error of rounding to a 16-bit
  // format is proportional to it. A power of two counts 3/4, because the next smaller number is
  // half as far away. `units` counts the entries that have such a format.
  double before_units2 = 0.0, after_units2 = 0.0;
  std::int64_t units = 0;
  // Entries with |d| <= unchanged_part max(|w|, |w'|).
  std::int64_t unchanged = 0;
};

struct ElementKernels {
  // Statistics of stretches of n codes (0 < n <= stretch_length), one per row, rows `stride` bytes
  // apart. columns[0..n) += x^2 row after row, of the finite numbers. Equal numbers give equal
  // bits, whatever the dtype.
  void (*statistics)(DType, const void* codes, std::int64_t stride, std::int64_t rows,
                     std::int64_t n, double* columns, Stretch* out);
  // The bytes `ahead` of a stretch are prefetched.
  void (*survey)(DType, const void* codes, std::int64_t n, std::int64_t ahead, Survey*);
  // Sums over one stretch of two rows.
  ChangeSums (*difference)(DType, const void* before, const void* after, std::int64_t n);
  // Adds n codes of a stretch whose keys are keys[j] xor other. `whole`: of all bits of fp64; else
  // of the nearest fp32 numbers.
  void (*digest)(DType, const void* codes, std::int64_t n, const std::uint32_t* keys,
                 std::uint32_t other, bool whole, Digest* to);
  // Keys of n places on the longer or the shorter side of a matrix.
  void (*digest_keys)(std::int64_t first, std::int64_t n, bool longer, std::uint32_t* keys);
};

}  // namespace sigmascope
