// SPDX-License-Identifier: BSD-3-Clause
// Sums of many numbers, one for each row of a matrix.
#pragma once

#include <span>

#include "kernels/simd/isa.hpp"

namespace sigmascope {

inline double sum_of(std::span<const double> values) {
  LongSum sum;
  for (const double value : values) sum.add(value);
  return sum.value();
}

}  // namespace sigmascope
