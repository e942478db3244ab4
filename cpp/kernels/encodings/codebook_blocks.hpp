// SPDX-License-Identifier: BSD-3-Clause
// Layouts of 256 elements whose codes are words of a codebook, four or eight numbers at a time.
#pragma once

#include <cstdint>

#include "kernels/encodings/block_codes.hpp"
#include "kernels/encodings/codebooks.hpp"

namespace sigmascope {

// y = scale * word * signs, bit j of the signs for number j.
inline void put_signed(const std::int8_t* __restrict word, int length, unsigned signs, float scale,
                       float* __restrict y) {
  for (int j = 0; j < length; ++j) {
    const float value = scale * static_cast<float>(word[j]);
    y[j] = (signs >> j & 1U) != 0 ? -value : value;
  }
}

// Eight signs of which seven are stored: the number of negative ones is even.
inline unsigned even_signs(unsigned seven) {
  return seven | (static_cast<unsigned>(std::popcount(seven)) & 1U) << 7;
}

struct IQ2_XXS {
  static constexpr std::int64_t elements = 256, bytes = 66;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int group = 0; group < 8; ++group, x += 8) {
      const auto tail = load<std::uint32_t>(x + 6);
      const float scale = d * (0.5F + static_cast<float>(tail >> 28)) * 0.25F;
      for (int k = 0; k < 4; ++k, y += 8)
        put_signed(iq2_xxs_book().word(x[2 + k]), 8, even_signs(tail >> 7 * k & 127U), scale, y);
    }
  }
};

struct IQ2_XS {
  static constexpr std::int64_t elements = 256, bytes = 74;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int k = 0; k < 32; ++k, y += 8) {
      const unsigned code = load<std::uint16_t>(x + 2 + 2 * k);
      const int four = (x[66 + k / 4] >> k / 2 % 2 * 4) & 15;
      const float scale = d * (0.5F + static_cast<float>(four)) * 0.25F;
      put_signed(iq2_xs_book().word(code & 511U), 8, even_signs(code >> 9), scale, y);
    }
  }
};

struct IQ2_S {
  static constexpr std::int64_t elements = 256, bytes = 82;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int k = 0; k < 32; ++k, y += 8) {
      const unsigned code = x[2 + k] | (x[66 + k / 4] >> k % 4 * 2 & 3U) << 8;
      const int four = (x[74 + k / 4] >> k / 2 % 2 * 4) & 15;
      const float scale = d * (0.5F + static_cast<float>(four)) * 0.25F;
      put_signed(iq2_s_book().word(code), 8, x[34 + k], scale, y);
    }
  }
};

struct IQ3_XXS {
  static constexpr std::int64_t elements = 256, bytes = 98;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int k = 0; k < 32; ++k, y += 8) {
      const auto tail = load<std::uint32_t>(x + 66 + k / 4 * 4);
      const float scale = d * (0.5F + static_cast<float>(tail >> 28)) * 0.5F;
      const unsigned signs = even_signs(tail >> k % 4 * 7 & 127U);
      put_signed(iq3_xxs_book().word(x[2 + 2 * k]), 4, signs, scale, y);
      put_signed(iq3_xxs_book().word(x[3 + 2 * k]), 4, signs >> 4, scale, y + 4);
    }
  }
};

struct IQ3_S {
  static constexpr std::int64_t elements = 256, bytes = 110;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int k = 0; k < 64; ++k, y += 4) {
      const unsigned code = x[2 + k] | (x[66 + k / 8] >> k % 8 & 1U) << 8;
      const int four = (x[106 + k / 16] >> k / 8 % 2 * 4) & 15;
      const float scale = d * static_cast<float>(1 + 2 * four);
      put_signed(iq3_s_book().word(code), 4, x[74 + k / 2] >> k % 2 * 4, scale, y);
    }
  }
};

// y = scale * (word + shift), eight numbers.
inline void put_shifted(const std::int8_t* __restrict word, bool negative, float scale,
                        float* __restrict y) {
  const float shift = negative ? -0.125F : 0.125F;
  for (int j = 0; j < 8; ++j) y[j] = scale * (static_cast<float>(word[j]) + shift);
}

struct IQ1_S {
  static constexpr std::int64_t elements = 256, bytes = 50;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    for (int k = 0; k < 32; ++k, y += 8) {
      const unsigned high = load<std::uint16_t>(x + 34 + k / 4 * 2);
      const unsigned code = x[2 + k] | (high >> k % 4 * 3 & 7U) << 8;
      const float scale = d * static_cast<float>(2 * (high >> 12 & 7U) + 1);
      put_shifted(iq1_book().word(code), (high & 0x8000U) != 0, scale, y);
    }
  }
};

// The fp16 scale is spread over the high bits of four others.
struct IQ1_M {
  static constexpr std::int64_t elements = 256, bytes = 56;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    unsigned spread = 0;
    for (int i = 0; i < 4; ++i)
      spread |= unsigned{load<std::uint16_t>(x + 48 + 2 * i)} >> 12 << 4 * i;
    const float d = half(static_cast<std::uint16_t>(spread));
    for (int k = 0; k < 32; ++k, y += 8) {
      const unsigned high = x[32 + k / 2] >> k % 2 * 4 & 15U;
      const unsigned code = x[k] | (high & 7U) << 8;
      const unsigned three = load<std::uint16_t>(x + 48 + k / 8 * 2) >> k / 2 % 4 * 3 & 7U;
      put_shifted(iq1_book().word(code), (high & 8U) != 0, d * static_cast<float>(2 * three + 1),
                  y);
    }
  }
};

}  // namespace sigmascope
