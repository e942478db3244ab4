// SPDX-License-Identifier: BSD-3-Clause
// fp32 to bf16, and rows of bf16 to the pairs that a dot product takes.
#pragma once

#include <cstdint>

#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

inline std::uint16_t to_bf16(float value) {  // to nearest, ties to even; value is finite
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// dst = bf16(factor src).
void round_bf16(const float* src, std::int64_t n, float factor, std::uint16_t* dst) {
  std::int64_t i = 0;
#if defined(__AVX512BF16__)
  const Vector<float> f = broadcast(factor);
  for (; i + 32 <= n; i += 32)
    _mm512_storeu_si512(dst + i,
                        (__m512i)_mm512_cvtne2ps_pbh(load(src + i + 16) * f, load(src + i) * f));
#endif
  for (; i < n; ++i) dst[i] = to_bf16(factor * src[i]);
}

// dst[i] = the pair (first[i], second[i]).
inline void interleave(const std::uint16_t* first, const std::uint16_t* second, std::int64_t n,
                       std::uint32_t* dst) {
  std::int64_t i = 0;
#if defined(__AVX512BW__)
  alignas(64) static constexpr std::uint16_t low[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                        37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                        11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i from_low = _mm512_load_si512(low),
                from_high = _mm512_add_epi16(from_low, _mm512_set1_epi16(16));
  for (; i + 32 <= n; i += 32) {
    const __m512i a = _mm512_loadu_si512(first + i), b = _mm512_loadu_si512(second + i);
    _mm512_storeu_si512(dst + i, _mm512_permutex2var_epi16(a, from_low, b));
    _mm512_storeu_si512(dst + i + 16, _mm512_permutex2var_epi16(a, from_high, b));
  }
#endif
  for (; i < n; ++i) dst[i] = first[i] | static_cast<std::uint32_t>(second[i]) << 16;
}

// Rows of a block, `ld` apart, as pairs of rows: word (i / 2, j) at dst[i/2*cols + j] =
// (bf16(factor x[i][j]), that of row i + 1, or zero after the last). cols is a multiple of 8.
void pack_pairs(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t cols, float factor,
                std::uint32_t* dst) {
  for (std::int64_t i = 0; i < rows; i += 2, dst += cols) {
    const float *first = x + i * ld, *second = i + 1 < rows ? first + ld : nullptr;
    std::int64_t j = 0;
#if defined(__AVX512BF16__)
    alignas(64) static constexpr std::uint16_t in_turn[32] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i places = _mm512_load_si512(in_turn);
    const __m256i halves = _mm256_set_epi16(15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    const Vector<float> f = broadcast(factor);
    for (; j + 16 <= cols; j += 16) {
      const Vector<float> low = load(first + j) * f,
                          high = second ? load(second + j) * f : Vector<float>{};
      _mm512_storeu_si512(
          dst + j, _mm512_permutexvar_epi16(places, (__m512i)_mm512_cvtne2ps_pbh(high, low)));
    }
    if (j < cols) {
      const __m256 low = _mm256_loadu_ps(first + j),
                   high = second ? _mm256_loadu_ps(second + j) : _mm256_setzero_ps();
      const Vector<float> both = _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1) * f;
      const auto codes = (__m256i)_mm512_cvtneps_pbh(both);
      _mm256_storeu_si256((__m256i*)(dst + j), _mm256_permutexvar_epi16(halves, codes));
      j += 8;
    }
#endif
    for (; j < cols; ++j)
      dst[j] = to_bf16(factor * first[j]) |
               static_cast<std::uint32_t>(second ? to_bf16(factor * second[j]) : 0) << 16;
  }
}

}  // namespace
}  // namespace sigmascope
