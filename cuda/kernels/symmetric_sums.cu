// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "kernels/launches.cuh"
#include "kernels/symmetric_sums.hpp"

namespace sigmascope::device {

namespace {

// A block of threads has whole columns, and adds its threads' sums in a fixed order.
__global__ void __launch_bounds__(usual_threads)
    sum_triangle(const double* a, std::int64_t n, double* sums) {
  double* partial = shared_memory<double>();
  for (std::int64_t j = blockIdx.x; j < n; j += gridDim.x) {
    double below = 0;
    for (std::int64_t i = j + 1 + threadIdx.x; i < n; i += blockDim.x)
      below = fused(a[j * n + i], a[j * n + i], below);
    partial[threadIdx.x] = below;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x != 0) continue;
    const double diagonal = a[j * n + j];
    sums[2 * j] = diagonal;
    sums[2 * j + 1] = fused(diagonal, diagonal, 2 * partial[0]);
  }
}

}  // namespace

cudaError_t sum_columns(const double* a, std::int64_t n, double* sums, cudaStream_t stream) {
  constexpr std::int64_t most = 1 << 16;
  if (n == 0) return cudaSuccess;
  const Grid grid{static_cast<unsigned>(std::min(n, most)), usual_threads,
                  usual_threads * sizeof(double)};
  return launch(sum_triangle, grid, stream, a, n, sums);
}

}  // namespace sigmascope::device
