// SPDX-License-Identifier: BSD-3-Clause
// Layouts in which every block has one level of scales. Codes of 4 bits: the low halves of all
// bytes come first.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/encodings/block_codes.hpp"

namespace sigmascope {

struct Q4_0 {
  static constexpr std::int64_t elements = 32, bytes = 18;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int j = 0; j < 16; ++j) {
      const int code = x[2 + j];
      y[j] = d * static_cast<float>((code & 15) - 8);
      y[j + 16] = d * static_cast<float>((code >> 4) - 8);
    }
  }
};

struct Q4_1 {
  static constexpr std::int64_t elements = 32, bytes = 20;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x), least = half(x + 2);
    for (int j = 0; j < 16; ++j) {
      const int code = x[4 + j];
      y[j] = d * static_cast<float>(code & 15) + least;
      y[j + 16] = d * static_cast<float>(code >> 4) + least;
    }
  }
};

struct Q5_0 {
  static constexpr std::int64_t elements = 32, bytes = 22;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const auto high = load<std::uint32_t>(x + 2);
    for (int j = 0; j < 16; ++j) {
      const int code = x[6 + j], h0 = (high >> j) & 1, h1 = (high >> (j + 16)) & 1;
      y[j] = d * static_cast<float>(((code & 15) | h0 << 4) - 16);
      y[j + 16] = d * static_cast<float>((code >> 4 | h1 << 4) - 16);
    }
  }
};

struct Q5_1 {
  static constexpr std::int64_t elements = 32, bytes = 24;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x), least = half(x + 2);
    const auto high = load<std::uint32_t>(x + 4);
    for (int j = 0; j < 16; ++j) {
      const int code = x[8 + j], h0 = (high >> j) & 1, h1 = (high >> (j + 16)) & 1;
      y[j] = d * static_cast<float>((code & 15) | h0 << 4) + least;
      y[j + 16] = d * static_cast<float>(code >> 4 | h1 << 4) + least;
    }
  }
};

struct Q8_0 {
  static constexpr std::int64_t elements = 32, bytes = 34;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(static_cast<std::int8_t>(x[2 + j]));
  }
};

struct IQ4_NL {
  static constexpr std::int64_t elements = 32, bytes = 18;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    put_levels(x + 2, uneven_levels, half(x), 16, y);
  }
};

// OCP Microscaling: a power of two and 32 codes of E2M1. The smallest two powers are subnormals of
// fp32; the code that is NaN in E8M0 is 2^128 here, as in ggml.
struct MXFP4 {
  static constexpr std::int64_t elements = 32, bytes = 17;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const std::uint32_t power = x[0];
    const float d = std::bit_cast<float>(power < 2 ? 0x200000U << power : (power - 1) << 23);
    put_levels(x + 1, e2m1_levels, d, 16, y);
  }
};

// Four groups of 16, each with a scale in E4M3 without a sign.
struct NVFP4 {
  static constexpr std::int64_t elements = 64, bytes = 36;
  static float scale(std::uint8_t code) {  // half of it, since the levels are doubled
    const int exponent = (code >> 3) & 15, fraction = code & 7;
    if (code == 0x7f) return 0;
    if (exponent == 0) return static_cast<float>(fraction) * 0x1p-10F;
    const auto power = std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 119) << 23);
    return (1 + static_cast<float>(fraction) / 8) * power;
  }
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    for (int group = 0; group < 4; ++group)
      put_levels(x + 4 + 8 * group, e2m1_levels, scale(x[group]), 8, y + 16 * group);
  }
};

// Ternary numbers, five to a byte: digits of a fraction of 256 in base 3.
struct TQ1_0 {
  static constexpr std::int64_t elements = 256, bytes = 54;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x + 52);
    digits(x, 32, 5, d, y);
    digits(x + 32, 16, 5, d, y + 160);
    digits(x + 48, 4, 4, d, y + 240);
  }

 private:
  static void digits(const std::uint8_t* __restrict x, int width, int count, float d,
                     float* __restrict y) {
    unsigned power = 1;
    for (int digit = 0; digit < count; ++digit, power *= 3)
      for (int j = 0; j < width; ++j) {
        const unsigned fraction = (x[j] * power) & 255U;
        y[digit * width + j] = d * static_cast<float>(static_cast<int>(fraction * 3 >> 8) - 1);
      }
  }
};

struct TQ2_0 {
  static constexpr std::int64_t elements = 256, bytes = 66;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x + 64);
    for (int part = 0; part < 8; ++part)
      for (int j = 0; j < 32; ++j) {
        const int code = (x[part / 4 * 32 + j] >> part % 4 * 2) & 3;
        y[part * 32 + j] = d * static_cast<float>(code - 1);
      }
  }
};

}  // namespace sigmascope
