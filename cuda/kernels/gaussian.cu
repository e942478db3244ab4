// SPDX-License-Identifier: BSD-3-Clause
// Standard normal numbers as functions of their place: the integers of kernels/blocks/gaussian.hpp,
// whose logarithm and sine a device may round by a unit otherwise.
#include <cmath>

#include "kernels/launches.cuh"
#include "kernels/verbs.hpp"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

struct Counter {
  std::uint32_t words[4];
};

// Philox4x32-10 (Salmon et al. 2011).
__device__ Counter philox(Counter c, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ULL * c.words[0], p1 = 0xCD9E8D57ULL * c.words[2];
    c = {{static_cast<std::uint32_t>(p1 >> 32) ^ c.words[1] ^ key0, static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ c.words[3] ^ key1,
          static_cast<std::uint32_t>(p0)}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return c;
}

// In (0, 1], of 53 bits.
__device__ double uniform(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = static_cast<std::uint64_t>(high) << 32 | low;
  return static_cast<double>((bits >> 11) + 1) * 0x1p-53;
}

// Each thread makes a pair of columns, 2h and 2h + 1, by Box and Muller (1958).
template <class T>
__device__ void gaussian_pairs(T* x, std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                               std::int64_t column0) {
  const std::int64_t first = column0 / 2, pairs = (column0 + cols - 1) / 2 - first + 1;
  for (std::int64_t e = first_element(); e < rows * pairs; e += element_step()) {
    const std::int64_t i = e / pairs, h = first + e % pairs;
    const Counter bits =
        philox({{static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32),
                 static_cast<std::uint32_t>(h), static_cast<std::uint32_t>(h >> 32)}},
               static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    const double radius = sqrt(-2.0 * log(uniform(bits.words[0], bits.words[1])));
    double sine = 0, cosine = 0;
    sincospi(2.0 * uniform(bits.words[2], bits.words[3]), &sine, &cosine);
    const std::int64_t j = 2 * h - column0;
    if (j >= 0) x[i * cols + j] = static_cast<T>(radius * cosine);
    if (j + 1 < cols) x[i * cols + j + 1] = static_cast<T>(radius * sine);
  }
}

}  // namespace

template <class T>
cudaError_t fill_gaussian(BlockView<T> x, std::uint64_t seed, std::int64_t column0,
                          cudaStream_t stream) {
  if (x.rows * x.cols == 0) return cudaSuccess;
  return launch<gaussian_pairs<T>, usual_threads>(grid_over(x.rows * (x.cols / 2 + 1)), stream,
                                                  x.data, x.rows, x.cols, seed, column0);
}

template cudaError_t fill_gaussian(BlockView<float>, std::uint64_t, std::int64_t, cudaStream_t);
template cudaError_t fill_gaussian(BlockView<double>, std::uint64_t, std::int64_t, cudaStream_t);

}  // namespace sigmascope::device
