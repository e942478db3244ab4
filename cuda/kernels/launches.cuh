// SPDX-License-Identifier: BSD-3-Clause
// Sizes of grids, and the place of a thread in one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/device.cuh"

namespace sigmascope::device {

inline constexpr unsigned usual_threads = 256;

// A grid of threads for `count` elements, each of which may take several.
inline Grid grid_over(std::int64_t count) {
  constexpr std::int64_t most = 1 << 16;
  const std::int64_t blocks = (count + usual_threads - 1) / usual_threads;
  return {static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, most)), usual_threads};
}

__device__ inline std::int64_t first_element() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t element_step() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

// Of numbers below 2^32: a division of 64 bits is a call, around which registers are spilled.
__device__ inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
}

__device__ constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return b < a ? b : a; }

__device__ inline float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

__host__ __device__ constexpr std::int64_t tiles_over(std::int64_t extent, std::int64_t tile) {
  return (extent + tile - 1) / tile;
}

}  // namespace sigmascope::device
