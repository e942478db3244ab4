// SPDX-License-Identifier: BSD-3-Clause
// Arguments and results of LAPACK, whose interface has 32-bit integers.
//
// Beneath it elements are counted in 64 bits, so that a tall matrix may have more than 2^31 of
// them: dgemm, dsyrk, dgeqrf, dormqr, dpotrf, dtrtri, dgesv and dormtr return the same bits where
// columns are 2^31 - 1 numbers apart (test_lapack_extents.py). dgebrd, dsytrd and dstedc do not,
// and some routines count a workspace in 32 bits: their callers say how many numbers that are.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace sigmascope {

inline constexpr std::int64_t largest_int = std::numeric_limits<int>::max();

// Rows, columns, or a leading dimension, as LAPACK takes them.
inline int to_int(std::int64_t extent) {
  if (extent > largest_int)
    throw std::invalid_argument("an extent of " + std::to_string(extent) +
                                " exceeds LAPACK's 32-bit integers");
  return static_cast<int>(extent);
}

// The order of a matrix of which a routine counts so many numbers in 32 bits.
inline int to_order(std::int64_t n, std::int64_t numbers) {
  if (numbers > largest_int)
    throw std::invalid_argument("a small matrix of order " + std::to_string(n) +
                                " exceeds LAPACK's 32-bit integers: it counts " +
                                std::to_string(numbers) + " numbers");
  return to_int(n);
}

// `failed`: the `info` of a routine.
inline void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine +
                             " failed with info = " + std::to_string(failed));
}

}  // namespace sigmascope
