// SPDX-License-Identifier: BSD-3-Clause
// Numbers within blocks: little-endian integers, fp16 scales, tables of 16 levels, and the kernels
// that multiply levels by scales.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/simd/isa.hpp"

namespace sigmascope {

// Numbers of `Q8_0` and so on, whatever the alignment of a block.
template <class T>
T load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// The number of an fp16 code, exactly; no subnormal of fp32 takes part.
inline float half(std::uint16_t code) {
  const std::uint32_t magnitude = code & 0x7fffU, sign = (code & 0x8000U) << 16;
  const float small = static_cast<float>(magnitude) * 0x1p-24F;
  const std::uint32_t bias = magnitude < 0x7c00 ? 112U << 23 : 224U << 23;
  const std::uint32_t bits =
      magnitude < 0x400 ? std::bit_cast<std::uint32_t>(small) : (magnitude << 13) + bias;
  return std::bit_cast<float>(bits | sign);
}
inline float half(const std::uint8_t* from) { return half(load<std::uint16_t>(from)); }

inline constexpr std::array<std::int8_t, 16> uneven_levels{
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Twice the numbers of E2M1.
inline constexpr std::array<std::int8_t, 16> e2m1_levels{0, 1,  2,  3,  4,  6,  8,  12,
                                                         0, -1, -2, -3, -4, -6, -8, -12};

inline const LevelKernels& level_kernels() {
  static const LevelKernels& kernels = best_isa().levels;
  return kernels;
}

// y = scale * the levels of the low halves of `count` bytes, then of the high ones.
inline void put_levels(const std::uint8_t* bytes, const std::array<std::int8_t, 16>& levels,
                       float scale, int count, float* y) {
  level_kernels().of_halves(bytes, levels.data(), scale, count, y);
}

}  // namespace sigmascope
