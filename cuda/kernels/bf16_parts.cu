// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "kernels/bf16_parts.hpp"
#include "kernels/launches.cuh"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// Threads that follow each other read along a row of the block and write along a column.
constexpr int square = 32, square_step = square + 1;

__device__ void split_squares(const float* x, float factor, BlockParts parts) {
  float* numbers = shared_memory<float>();  // square x square_step
  const int inner = static_cast<int>(threadIdx.x) % square,
            outer = static_cast<int>(threadIdx.x) / square,
            lines = static_cast<int>(usual_threads) / square;
  const std::int64_t across = tiles_over(parts.columns, square);
  const std::int64_t k0 = blockIdx.x / across * square, j0 = blockIdx.x % across * square;
  for (int line = outer; line < square; line += lines) {
    const bool inside = k0 + line < parts.rows && j0 + inner < parts.cols;
    numbers[line * square_step + inner] =
        inside ? factor * x[(k0 + line) * parts.cols + j0 + inner] : 0.0F;
  }
  __syncthreads();
  for (int line = outer; line < square && j0 + line < parts.columns; line += lines) {
    float rest = numbers[inner * square_step + line];
    std::uint16_t* to = parts.codes + (j0 + line) * parts.step + k0 + inner;
    for (int part = 0; part < parts.count; ++part, to += parts.step * parts.columns) {
      const std::uint16_t code = bf16_code(rest);
      *to = code;
      rest -= bf16_value(code);
    }
  }
}

__device__ void split_rows(const float* from, std::int64_t rows, std::int64_t cols, Bf16Rows to) {
  // A block of threads has whole rows: a division of 64 bits for each number would take longer.
  for (std::int64_t i = blockIdx.x; i < rows; i += gridDim.x)
    for (std::int64_t j = threadIdx.x; j < to.step; j += blockDim.x) {
      const float number = j < cols ? from[i * cols + j] : 0.0F;
      const std::uint16_t code = bf16_code(number);
      to.codes[i * to.step + j] = code;
      if (to.rest != nullptr) to.rest[i * to.step + j] = bf16_code(number - bf16_value(code));
    }
}

}  // namespace

cudaError_t split_block(BlockView<const float> x, float factor, const BlockParts& parts,
                        cudaStream_t stream) {
  const std::int64_t blocks = tiles_over(parts.step, square) * tiles_over(parts.columns, square);
  if (blocks == 0) return cudaSuccess;
  const Grid grid{static_cast<unsigned>(blocks), usual_threads,
                  square * square_step * sizeof(float)};
  return launch<split_squares, usual_threads>(grid, stream, x.data, factor, parts);
}

cudaError_t to_bf16(BlockView<const float> from, const Bf16Rows& to, cudaStream_t stream) {
  constexpr std::int64_t most = 1 << 16;
  if (from.rows == 0 || to.step == 0) return cudaSuccess;
  const Grid grid{static_cast<unsigned>(std::min(from.rows, most)), usual_threads};
  return launch<split_rows, usual_threads>(grid, stream, from.data, from.rows, from.cols, to);
}

}  // namespace sigmascope::device
