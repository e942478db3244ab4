// SPDX-License-Identifier: BSD-3-Clause
// Splits numbers of fp32 into parts of bf16, and packs both in the order in which tiles are loaded.
// See TileKernels.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AMX_BF16__)

inline __m512 single(__m256i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

// x = out[0] + out[1] + out[2], each 32 numbers of bf16; the first `parts` of them.
inline void split_32(__m512 low, __m512 high, int parts, __m512i* out) {
  for (int q = 0; q < parts; ++q) {
    out[q] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    if (q == 2) break;
    low = _mm512_sub_ps(low, single(_mm512_castsi512_si256(out[q])));
    high = _mm512_sub_ps(high, single(_mm512_extracti64x4_epi64(out[q], 1)));
  }
}

// numbers(i, there, low, high) sets low and high to the 32 numbers from i on, as `there` masks
// them.
template <class Numbers>
inline int split_row(std::int64_t n, int parts, std::uint16_t* dst, std::int64_t stride,
                     const Numbers& numbers) {
  __m512i second = _mm512_setzero_si512(), third = second;
  for (std::int64_t i = 0; i < n; i += 32) {
    __m512i out[tile_parts];
    const std::int64_t rest = n - i;
    const __mmask32 there = rest >= 32 ? 0xffffffffU : (1U << rest) - 1;
    __m512 low = _mm512_setzero_ps(), high = low;
    numbers(i, there, low, high);
    split_32(low, high, parts, out);
    for (int q = 0; q < parts; ++q) _mm512_storeu_si512(dst + q * stride + i, out[q]);
    if (parts > 1) second = _mm512_or_si512(second, out[1]);
    if (parts > 2) third = _mm512_or_si512(third, out[2]);
  }
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  return _mm512_test_epi16_mask(third, magnitude) != 0    ? 3
         : _mm512_test_epi16_mask(second, magnitude) != 0 ? 2
                                                          : 1;
}

// See TileKernels::split.
int split(const float* src, std::int64_t n, int parts, std::uint16_t* dst, std::int64_t stride) {
  constexpr std::int64_t ahead = 512;  // 2 KB: the hardware's prefetcher starts anew at every page
  return split_row(
      n, parts, dst, stride, [src](std::int64_t i, __mmask32 there, __m512& low, __m512& high) {
        __builtin_prefetch(src + i + ahead);
        __builtin_prefetch(src + i + ahead + 16);
        low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there), src + i);
        high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> 16), src + i + 16);
      });
}

// See TileKernels::split_sum.
int split_sum(const Summand* summands, int count, std::int64_t n, int parts, std::uint16_t* dst,
              std::int64_t stride) {
  return split_row(n, parts, dst, stride,
                   [=](std::int64_t i, __mmask32 there, __m512& low, __m512& high) {
                     for (int t = 0; t < count; ++t) {
                       const std::byte* at = summands[t].codes + 2 * i;
                       __builtin_prefetch(at + summands[t].ahead);
                       const __m512i codes = _mm512_maskz_loadu_epi16(there, at);
                       const __m512 f = _mm512_set1_ps(summands[t].factor),
                                    l = single(_mm512_castsi512_si256(codes)),
                                    h = single(_mm512_extracti64x4_epi64(codes, 1));
                       low = t == 0 ? f * l : _mm512_fmadd_ps(f, l, low);
                       high = t == 0 ? f * h : _mm512_fmadd_ps(f, h, high);
                     }
                   });
}

// The 16 x 16 numbers at x, transposed.
inline void transpose_16(const float* x, std::int64_t ld, __m512* out) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(x + i * ld);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    out[i] = _mm512_shuffle_f32x4(b[i], b[i + 8], 0x88);
    out[i + 8] = _mm512_shuffle_f32x4(b[i], b[i + 8], 0xdd);
    out[i + 4] = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0x88);
    out[i + 12] = _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0xdd);
  }
}

void transpose(const float* x, std::int64_t ld, float* out, std::int64_t ld_out) {
  __m512 rows[16];
  transpose_16(x, ld, rows);
  for (int i = 0; i < 16; ++i) _mm512_storeu_ps(out + i * ld_out, rows[i]);
}

// See TileKernels::pack_right.
void pack_right(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
                std::uint16_t* out) {
  alignas(64) static constexpr std::uint16_t pairs[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(pairs);
  const __m512 f = _mm512_set1_ps(factor), zero = _mm512_setzero_ps();
  for (int p = 0; p < 16; ++p) {
    const __m512 first = 2 * p < rows ? _mm512_loadu_ps(x + 2 * p * ld) * f : zero,
                 second = 2 * p + 1 < rows ? _mm512_loadu_ps(x + (2 * p + 1) * ld) * f : zero;
    __m512i split[tile_parts];
    split_32(first, second, parts, split);
    for (int q = 0; q < parts; ++q)
      _mm512_storeu_si512(out + q * tile_codes + 32 * p, _mm512_permutexvar_epi16(order, split[q]));
  }
}

// See TileKernels::pack_left.
void pack_left(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
               std::uint16_t* out) {
  alignas(64) float padded[32 * 16];
  if (rows < 32) {
    for (int i = 0; i < 32; ++i)
      _mm512_store_ps(padded + 16 * i,
                      i < rows ? _mm512_loadu_ps(x + i * ld) : _mm512_setzero_ps());
    x = padded, ld = 16;
  }
  const __m512 f = _mm512_set1_ps(factor);
  __m512 low[16], high[16];
  transpose_16(x, ld, low);
  transpose_16(x + 16 * ld, ld, high);
  for (int c = 0; c < 16; ++c) {
    __m512i split[tile_parts];
    split_32(low[c] * f, high[c] * f, parts, split);
    for (int q = 0; q < parts; ++q) _mm512_storeu_si512(out + q * tile_codes + 32 * c, split[q]);
  }
}

// See TileKernels::pair_rows.
void pair_rows(const std::uint16_t* x, std::int64_t ld, std::int64_t tiles, std::uint16_t* out,
               std::int64_t stride) {
  alignas(64) static constexpr std::uint16_t from_low[32] = {
      0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(from_low),
                high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (std::int64_t t = 0; t < tiles; t += 2)
    for (int p = 0; p < 16; ++p) {
      const std::uint16_t* first = x + 2 * p * ld + 16 * t;
      const __m512i a = _mm512_loadu_si512(first), b = _mm512_loadu_si512(first + ld);
      _mm512_storeu_si512(out + t * stride + 32 * p, _mm512_permutex2var_epi16(a, low, b));
      _mm512_storeu_si512(out + (t + 1) * stride + 32 * p, _mm512_permutex2var_epi16(a, high, b));
    }
}

#endif

}  // namespace
}  // namespace sigmascope
