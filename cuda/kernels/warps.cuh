// SPDX-License-Identifier: BSD-3-Clause
// Sums and minima over the lanes of a warp, of integers: no order of lanes changes them.
#pragma once

#include "runtime/device.cuh"

namespace sigmascope::device {

inline constexpr int lanes = 32;
inline constexpr unsigned all_lanes = 0xffffffffU;

__device__ inline unsigned long long sum_over_lanes(unsigned long long value) {
  for (int by = lanes / 2; by > 0; by /= 2) value += __shfl_xor_sync(all_lanes, value, by);
  return value;
}
__device__ inline unsigned long long least_of_lanes(unsigned long long value) {
  for (int by = lanes / 2; by > 0; by /= 2) {
    const unsigned long long other = __shfl_xor_sync(all_lanes, value, by);
    if (other < value) value = other;
  }
  return value;
}

}  // namespace sigmascope::device
