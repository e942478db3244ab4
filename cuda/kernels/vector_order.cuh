// SPDX-License-Identifier: BSD-3-Clause
// Sums in the order of a CPU's vectors of `width` numbers of fp64: lane l of a vector adds the
// elements l, l + width, ... of a stretch, and then the lanes are added one after the other.
#pragma once

#include <cstdint>

#include "kernels/launches.cuh"
#include "kernels/simd/element_kernels.hpp"
#include "kernels/warps.cuh"

namespace sigmascope::device {

// A CPU with vectors of 16 bytes has no fused multiply-adds.
template <int width>
struct MultiplyAdd {
  __device__ double operator()(double a, double b, double c) const {
    if constexpr (width > 2) return fused(a, b, c);
    else return a * b + c;
  }
};

// The sum over `width` lanes of a warp from `first` on; every lane of the warp takes part.
template <int width>
__device__ double sum_of_vector(double value, int first) {
  double sum = 0;
#pragma unroll 1
  for (int lane = 0; lane < width; ++lane) sum += __shfl_sync(all_lanes, value, first + lane);
  return sum;
}

// One of fewer than 2^32 stretches of the rows of a matrix (see with_width), and the place of this
// lane among the `own_lanes` lanes of a warp that have it. The stretches of a warp follow each
// other. All lanes take the same number of steps, those beyond the last stretch with no numbers.
template <int own_lanes>
struct StretchOfLanes {
  static constexpr int at_once = lanes / own_lanes;

  std::int64_t index;
  std::int64_t row, col0;
  int count;  // of numbers
  int lane, first_lane;

  // `start`: the first stretch of this warp.
  __device__ StretchOfLanes(std::int64_t start, std::int64_t rows, std::int64_t cols) {
    const std::int64_t across = tiles_over(cols, stretch_length);
    const int here = static_cast<int>(threadIdx.x) % lanes;
    lane = here % own_lanes, first_lane = here - lane;
    index = start + here / own_lanes;
    row = quotient(index, across), col0 = (index - row * across) * stretch_length;
    count = row < rows ? static_cast<int>(smaller(stretch_length, cols - col0)) : 0;
  }
  __device__ static std::int64_t start() { return first_element() / lanes * at_once; }
  __device__ static std::int64_t step() { return element_step() / lanes * at_once; }

  // Whether this lane reports what all lanes have found.
  __device__ bool reports() const { return lane == 0 && count > 0; }
};

// Calls act of the width of the CPU's vectors, for so many stretches.
template <class Act>
cudaError_t with_width(int vector_lanes, std::int64_t stretches, const Act& act) {
  if (stretches >= std::int64_t{1} << 31) return cudaErrorInvalidValue;
  switch (vector_lanes) {
    case 8: return act.template operator()<8>();
    case 4: return act.template operator()<4>();
    case 2: return act.template operator()<2>();
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace sigmascope::device
