// SPDX-License-Identifier: BSD-3-Clause
// Arguments and results of LAPACK.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace sigmascope {

// An order or a leading dimension as LAPACK takes it.
inline int to_int(std::int64_t n) {
  if (n > 46340)
    throw std::invalid_argument("a small matrix of order " + std::to_string(n) +
                                " exceeds LAPACK's 32-bit indices");
  return static_cast<int>(n);
}

// `failed`: the `info` of a routine.
inline void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine +
                             " failed with info = " + std::to_string(failed));
}

}  // namespace sigmascope
