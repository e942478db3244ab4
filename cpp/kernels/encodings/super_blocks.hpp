// SPDX-License-Identifier: BSD-3-Clause
// Layouts of 256 elements in groups of 16 or 32, whose scales are codes with a scale of their own.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/encodings/block_codes.hpp"

namespace sigmascope {

struct Q2_K {
  static constexpr std::int64_t elements = 256, bytes = 84;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x + 80), least = half(x + 82);
    for (int group = 0; group < 16; ++group) {
      const std::uint8_t* q = x + 16 + group / 8 * 32 + group % 2 * 16;
      const int shift = group % 8 / 2 * 2, scales = x[group];
      const float scale = d * static_cast<float>(scales & 15),
                  minimum = least * static_cast<float>(scales >> 4);
      for (int j = 0; j < 16; ++j)
        y[group * 16 + j] = scale * static_cast<float>((q[j] >> shift) & 3) - minimum;
    }
  }
};

struct Q3_K {
  static constexpr std::int64_t elements = 256, bytes = 110;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const std::uint8_t* scales = x + 96;
    const float d = half(x + 108);
    for (int group = 0; group < 16; ++group) {
      const std::uint8_t* q = x + 32 + group / 8 * 32 + group % 2 * 16;
      const std::uint8_t* high = x + group % 2 * 16;
      const int shift = group % 8 / 2 * 2, bit = group / 2;
      const int low4 = (scales[group % 8] >> group / 8 * 4) & 15,
                high2 = (scales[8 + group % 4] >> group / 4 * 2) & 3;
      const float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
      for (int j = 0; j < 16; ++j) {
        const int code = ((q[j] >> shift) & 3) | ((high[j] >> bit) & 1) << 2;
        y[group * 16 + j] = scale * static_cast<float>(code - 4);
      }
    }
  }
};

// Eight scales and minima of 6 bits in 12 bytes.
struct SixBitScales {
  std::array<float, 8> scales, minima;

  SixBitScales(const std::uint8_t* x, float d, float least) {
    for (unsigned group = 0; group < 4; ++group) {
      const int a = x[group], b = x[4 + group], c = x[8 + group];
      scales[group] = d * static_cast<float>(a & 63);
      minima[group] = least * static_cast<float>(b & 63);
      scales[4 + group] = d * static_cast<float>((c & 15) | a >> 6 << 4);
      minima[4 + group] = least * static_cast<float>(c >> 4 | b >> 6 << 4);
    }
  }
};

struct Q4_K {
  static constexpr std::int64_t elements = 256, bytes = 144;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const SixBitScales of(x + 4, half(x), half(x + 2));
    for (unsigned pair = 0; pair < 4; ++pair) {
      const std::uint8_t* q = x + 16 + 32 * pair;
      const float scale0 = of.scales[2 * pair], minimum0 = of.minima[2 * pair],
                  scale1 = of.scales[2 * pair + 1], minimum1 = of.minima[2 * pair + 1];
      float* __restrict out = y + 64 * pair;
      for (int j = 0; j < 32; ++j) out[j] = scale0 * static_cast<float>(q[j] & 15) - minimum0;
      for (int j = 0; j < 32; ++j) out[j + 32] = scale1 * static_cast<float>(q[j] >> 4) - minimum1;
    }
  }
};

struct Q5_K {
  static constexpr std::int64_t elements = 256, bytes = 176;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const SixBitScales of(x + 4, half(x), half(x + 2));
    const std::uint8_t* high = x + 16;
    for (unsigned group = 0; group < 8; ++group) {
      const std::uint8_t* q = x + 48 + group / 2 * 32;
      const unsigned shift = group % 2 * 4;
      const float scale = of.scales[group], minimum = of.minima[group];
      for (int j = 0; j < 32; ++j) {
        const int code = ((q[j] >> shift) & 15) | ((high[j] >> group) & 1) << 4;
        y[group * 32 + j] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
};

struct Q6_K {
  static constexpr std::int64_t elements = 256, bytes = 210;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x + 208);
    for (int group = 0; group < 16; ++group) {
      const int part = group % 8 / 2, at = group % 2 * 16;  // quarters of 128 elements
      const std::uint8_t* low = x + group / 8 * 64 + part % 2 * 32 + at;
      const std::uint8_t* high = x + 128 + group / 8 * 32 + at;
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(x[192 + group]));
      for (int j = 0; j < 16; ++j) {
        const int code = ((low[j] >> part / 2 * 4) & 15) | ((high[j] >> part * 2) & 3) << 4;
        y[group * 16 + j] = scale * static_cast<float>(code - 32);
      }
    }
  }
};

// An fp32 scale, codes of 8 bits, and their sums, which are not needed.
struct Q8_K {
  static constexpr std::int64_t elements = 256, bytes = 292;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const auto d = load<float>(x);
    for (int j = 0; j < 256; ++j) y[j] = d * static_cast<float>(static_cast<std::int8_t>(x[4 + j]));
  }
};

struct IQ4_XS {
  static constexpr std::int64_t elements = 256, bytes = 136;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const auto high = load<std::uint16_t>(x + 2);
    for (int group = 0; group < 8; ++group) {
      const int low4 = (x[4 + group / 2] >> group % 2 * 4) & 15, high2 = (high >> 2 * group) & 3;
      const float scale = d * static_cast<float>((low4 | high2 << 4) - 32);
      put_levels(x + 8 + 16 * group, uneven_levels, scale, 16, y + group * 32);
    }
  }
};

}  // namespace sigmascope
