// SPDX-License-Identifier: BSD-3-Clause
// Layouts of 256 elements whose codes are words of a codebook, four or eight numbers at a time.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/encodings/block_codes.hpp"
#include "kernels/encodings/codebooks.hpp"

namespace sigmascope {

// The words of 16 or 32 numbers with one scale, and bits of their signs, the first in the lowest.
template <int COUNT, int LENGTH>
class SignedWords {
 public:
  void add(const std::int8_t* word, unsigned signs) {
    std::memcpy(levels_ + at_, word, LENGTH);
    signs_ |= std::uint32_t{signs} << at_;
    at_ += LENGTH;
  }
  void put(float scale, float* y) {
    level_kernels().with_signs(levels_, signs_, scale, COUNT, y);
    at_ = 0, signs_ = 0;
  }

 private:
  std::int8_t levels_[COUNT];
  std::uint32_t signs_ = 0;
  int at_ = 0;
};

// Eight signs of which seven are stored: the number of negative ones is even.
inline unsigned even_signs(unsigned seven) {
  return seven | (static_cast<unsigned>(std::popcount(seven)) & 1U) << 7;
}

struct IQ2_XXS {
  static constexpr std::int64_t elements = 256, bytes = 66;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const Codebook& book = iq2_xxs_book();
    SignedWords<32, 8> words;
    for (int group = 0; group < 8; ++group, x += 8, y += 32) {
      const auto tail = load<std::uint32_t>(x + 6);
      for (int k = 0; k < 4; ++k) words.add(book.word(x[2 + k]), even_signs(tail >> 7 * k & 127U));
      words.put(d * (0.5F + static_cast<float>(tail >> 28)) * 0.25F, y);
    }
  }
};

struct IQ2_XS {
  static constexpr std::int64_t elements = 256, bytes = 74;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const Codebook& book = iq2_xs_book();
    SignedWords<16, 8> words;
    for (int pair = 0; pair < 16; ++pair, y += 16) {
      for (int k = 2 * pair; k < 2 * pair + 2; ++k) {
        const unsigned code = load<std::uint16_t>(x + 2 + 2 * k);
        words.add(book.word(code & 511U), even_signs(code >> 9));
      }
      const int four = (x[66 + pair / 2] >> pair % 2 * 4) & 15;
      words.put(d * (0.5F + static_cast<float>(four)) * 0.25F, y);
    }
  }
};

struct IQ2_S {
  static constexpr std::int64_t elements = 256, bytes = 82;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const Codebook& book = iq2_s_book();
    SignedWords<16, 8> words;
    for (int pair = 0; pair < 16; ++pair, y += 16) {
      for (int k = 2 * pair; k < 2 * pair + 2; ++k) {
        const unsigned code = x[2 + k] | (x[66 + k / 4] >> k % 4 * 2 & 3U) << 8;
        words.add(book.word(code), x[34 + k]);
      }
      const int four = (x[74 + pair / 2] >> pair % 2 * 4) & 15;
      words.put(d * (0.5F + static_cast<float>(four)) * 0.25F, y);
    }
  }
};

struct IQ3_XXS {
  static constexpr std::int64_t elements = 256, bytes = 98;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const Codebook& book = iq3_xxs_book();
    SignedWords<32, 4> words;
    for (int group = 0; group < 8; ++group, y += 32) {
      const auto tail = load<std::uint32_t>(x + 66 + 4 * group);
      for (int k = 0; k < 4; ++k) {
        const std::uint8_t* pair = x + 2 + 8 * group + 2 * k;
        const unsigned signs = even_signs(tail >> 7 * k & 127U);
        words.add(book.word(pair[0]), signs & 15U);
        words.add(book.word(pair[1]), signs >> 4);
      }
      words.put(d * (0.5F + static_cast<float>(tail >> 28)) * 0.5F, y);
    }
  }
};

struct IQ3_S {
  static constexpr std::int64_t elements = 256, bytes = 110;
  static void decode(const std::uint8_t* __restrict x, float* __restrict y) {
    const float d = half(x);
    const Codebook& book = iq3_s_book();
    SignedWords<32, 4> words;
    for (int group = 0; group < 8; ++group, y += 32) {
      for (int k = 8 * group; k < 8 * group + 8; ++k) {
        const unsigned code = x[2 + k] | (x[66 + group] >> k % 8 & 1U) << 8;
        words.add(book.word(code), x[74 + k / 2] >> k % 2 * 4 & 15U);
      }
      const int four = (x[106 + group / 2] >> group % 2 * 4) & 15;
      words.put(d * static_cast<float>(1 + 2 * four), y);
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
