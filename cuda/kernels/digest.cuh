// SPDX-License-Identifier: BSD-3-Clause
// The hash of the numbers of a matrix: digest_keys and add_number of kernels/simd/digest.hpp.
#pragma once

#include <cstdint>

#include "runtime/device.cuh"

namespace sigmascope::device {

__device__ inline std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ x >> 16) * 0x85ebca6bU;
  x = (x ^ x >> 13) * 0xc2b2ae35U;
  return x ^ x >> 16;
}

// Keys of the places from `start` on, of one side of the matrix.
struct Keys {
  std::uint32_t start, base;
  bool longer;

  __device__ Keys(std::int64_t first, bool is_longer)
      : start(static_cast<std::uint32_t>(first)),
        base(mixed(static_cast<std::uint32_t>(first >> 32) +
                   (is_longer ? 0x9e3779b9U : 0x7f4a7c15U))),
        longer(is_longer) {}

  __device__ std::uint32_t operator()(std::uint32_t i) const {
    const std::uint32_t key = mixed(mixed(start + i) ^ base);
    return longer ? key | 1U : key & ~1U;
  }
};

__device__ inline std::uint64_t bits_of(double number) {
  return static_cast<std::uint64_t>(__double_as_longlong(number));
}
__device__ inline std::uint64_t magnitude_bits(double number) { return bits_of(number) << 1 >> 1; }
inline constexpr std::uint64_t infinity_bits = std::uint64_t{0x7ff} << 52;

// The sums of Digest.
struct DigestSums {
  unsigned long long sum, zeros;

  // A finite number.
  __device__ void add(double number, std::uint32_t key, bool whole) {
    if (magnitude_bits(number) == 0) zeros += key;
    else sum += hashed(number, key, whole);
  }

 private:
  __device__ static std::uint64_t hashed(double number, std::uint32_t key, bool whole) {
    constexpr std::uint64_t fraction_rest = (std::uint64_t{1} << 29) - 1;
    constexpr std::uint32_t rest_key = 0x85ebca6aU;
    std::uint64_t bits = bits_of(number), bias = std::uint64_t{896} << 23;
    if (bits << 1 >> 53 == 0) {  // subnormal
      bits = bits_of(number * 0x1p54);
      bias += std::uint64_t{54} << 23;
    }
    const std::uint64_t magnitude = bits << 1 >> 1, sign = bits >> 63 << 31;
    if (!whole)
      return (((magnitude + (fraction_rest >> 1) + (magnitude >> 29 & 1)) >> 29) - bias + sign) *
             key;
    return ((magnitude >> 29) - bias + sign) * key + (magnitude & fraction_rest) * (key ^ rest_key);
  }
};

}  // namespace sigmascope::device
