// SPDX-License-Identifier: BSD-3-Clause
// Kernels with a mistake in each, planted on request: the simulator has to notice every one.
#include "planted.hpp"
#include "runtime/device.cuh"

namespace planted {

using namespace sigmascope::device;

namespace {

constexpr int threads = 128;
constexpr int warp = 32;
constexpr int depth = 16;  // of a tile of the tensor core

// Sums of the rows of a matrix, a block for each: over lanes by shuffles, over warps in shared
// memory.
__global__ void __launch_bounds__(threads)
    sum_rows(const float* numbers, std::int64_t columns, double* sums, Mistake mistake) {
  double* parts = shared_memory<double>();
  constexpr int warps = threads / warp;
  const std::int64_t row = blockIdx.x;
  double sum = 0;
  for (std::int64_t j = threadIdx.x; j < columns; j += blockDim.x)
    sum += static_cast<double>(numbers[row * columns + j]);
  if (mistake == Mistake::lane_ended && threadIdx.x % warp == 7) return;
  if (mistake == Mistake::lane_unnamed) sum += __shfl_xor_sync(0x0000ffffU, sum, 16);
  for (int half = warp / 2; half > 0; half /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, half);
  const int lane = threadIdx.x % warp, group = threadIdx.x / warp;
  if (mistake == Mistake::shared_not_set) {
    if (lane == 0) parts[group] += sum;
  } else if (lane == 0) {
    parts[group] = sum;
  }
  if (mistake == Mistake::barriers_apart) {
    if (group == 0) __syncthreads();
    else __syncthreads();
  } else if (mistake == Mistake::barrier_skipped) {
    if (group == 0) __syncwarp();
    else if (lane < 16) __syncwarp();
  } else if (mistake != Mistake::barrier_before_read) {
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    double total = 0;
    const int end = mistake == Mistake::past_shared ? warps + 2 : warps;
    for (int w = 0; w < end; ++w) total += parts[w];
    sums[row] = total;
  }
}

// y = x with each tile of 128 numbers reversed, through shared memory that is used again.
__global__ void __launch_bounds__(threads)
    reverse_tiles(const float* x, std::int64_t count, float* y, Mistake mistake) {
  float* tile = shared_memory<float>();
  for (std::int64_t first = 0; first < count; first += threads) {
    tile[threadIdx.x] = x[first + threadIdx.x];
    __syncthreads();
    y[first + threadIdx.x] = tile[threads - 1 - threadIdx.x];
    if (mistake != Mistake::barrier_before_refill) __syncthreads();
  }
}

// Exchanges neighbours of a warp through shared memory.
__global__ void __launch_bounds__(warp) swap_pairs(const float* x, float* y, Mistake mistake) {
  float* pairs = shared_memory<float>();
  pairs[threadIdx.x] = x[threadIdx.x];
  if (mistake != Mistake::warp_barrier) __syncwarp();
  y[threadIdx.x] = pairs[threadIdx.x ^ 1U];
}

__global__ void add_one(const float* x, std::int64_t count, float* y, Mistake mistake) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (mistake == Mistake::no_guard || i < count) y[i] = x[i] + 1.0F;
}

// Counts positive numbers.
__global__ void count_positive(const float* x, std::int64_t count, unsigned* positive,
                               Mistake mistake) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count || !(x[i] > 0)) return;
  if (mistake == Mistake::no_atomic) *positive += 1;
  else atomicAdd(positive, 1U);
}

// y = a x for a of 16 x depth and x of depth x 8 (by columns): tiles come by background copies, two
// groups deep.
__global__ void __launch_bounds__(warp)
    multiply(const std::uint16_t* a, const std::uint16_t* x, int steps, float* y, Mistake mistake) {
  std::uint16_t* tiles = shared_memory<std::uint16_t>();  // 2 of 16 x 16
  const int lane = threadIdx.x, row = lane / 4, column = lane % 4 * 2;
  const std::int64_t width = static_cast<std::int64_t>(steps) * depth;
  const auto fetch = [&](int step) {
    const int shift = mistake == Mistake::misaligned ? 1 : 0;
    copy_in_background<16>(tiles + step % 2 * 256 + lane / 2 * depth + lane % 2 * 8,
                           a + lane / 2 * width + step * depth + lane % 2 * 8 + shift);
    end_group_of_copies();
  };
  const auto two = [](const std::uint16_t* at) {
    return at[0] | static_cast<std::uint32_t>(at[1]) << 16;
  };
  float sums[4] = {};
  fetch(0);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) fetch(step + 1);
    if (mistake == Mistake::copy_not_awaited || step + 1 < steps) wait_for_copies<1>();
    else wait_for_copies<0>();
    __syncwarp();
    const std::uint16_t* tile = tiles + step % 2 * 256;
    const std::uint32_t left[4] = {
        two(tile + row * depth + column), two(tile + (row + 8) * depth + column),
        two(tile + row * depth + column + 8), two(tile + (row + 8) * depth + column + 8)};
    const std::uint16_t* at = x + row * width + step * depth + column;
    const std::uint32_t right[2] = {two(at), two(at + 8)};
    mma_bf16(sums, left, right);
    __syncwarp();
  }
  for (int e = 0; e < 4; ++e) y[(row + e / 2 * 8) * 8 + column + e % 2] = sums[e];
}

unsigned blocks_of(std::int64_t count) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

}  // namespace

cudaError_t run_sum_rows(const float* numbers, std::int64_t rows, std::int64_t columns,
                         double* sums, Mistake mistake, cudaStream_t stream) {
  const std::size_t bytes =
      mistake == Mistake::too_much_shared ? std::size_t{1} << 20 : threads / warp * sizeof(double);
  return launch(sum_rows, {static_cast<unsigned>(rows), threads, bytes}, stream, numbers, columns,
                sums, mistake);
}

cudaError_t run_reverse_tiles(const float* x, std::int64_t count, float* y, Mistake mistake,
                              cudaStream_t stream) {
  return launch(reverse_tiles, {1, threads, threads * sizeof(float)}, stream, x, count, y, mistake);
}

cudaError_t run_swap_pairs(const float* x, float* y, Mistake mistake, cudaStream_t stream) {
  return launch(swap_pairs, {1, warp, warp * sizeof(float)}, stream, x, y, mistake);
}

cudaError_t run_add_one(const float* x, std::int64_t count, float* y, Mistake mistake,
                        cudaStream_t stream) {
  return launch(add_one, {blocks_of(count), threads}, stream, x, count, y, mistake);
}

cudaError_t run_count_positive(const float* x, std::int64_t count, unsigned* positive,
                               Mistake mistake, cudaStream_t stream) {
  return launch(count_positive, {blocks_of(count), threads}, stream, x, count, positive, mistake);
}

cudaError_t run_multiply(const std::uint16_t* a, const std::uint16_t* x, int steps, float* y,
                         Mistake mistake, cudaStream_t stream) {
  return launch(multiply, {1, warp, 2 * 256 * sizeof(std::uint16_t)}, stream, a, x, steps, y,
                mistake);
}

}  // namespace planted
