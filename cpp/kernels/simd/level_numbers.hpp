// SPDX-License-Identifier: BSD-3-Clause
// Levels of one byte each, from a table of 16 or with signs, times a scale.
#pragma once

#include <cstdint>

#include "kernels/simd/level_kernels.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AVX2__)

// By intrinsics, since the compiler converts short vectors of bytes one by one.

inline __m128i sixteen_levels(const std::int8_t* levels) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
}

#if defined(__AVX512F__)

inline void store_levels(__m128i levels, Vector<float> scale, float* out) {
  store(out, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels)) * scale);
}

inline void store_signed(__m128i levels, std::uint32_t signs, Vector<float> scale, float* out) {
  const Vector<float> positive = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels)) * scale;
  const auto bits = (__m512i)positive;
  const auto set = static_cast<__mmask16>(signs);
  store(out, (Vector<float>)_mm512_mask_xor_epi32(bits, set, bits, _mm512_set1_epi32(INT32_MIN)));
}

#else

inline Vector<float> eight_numbers(__m128i levels) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(levels));
}

inline void store_levels(__m128i levels, Vector<float> scale, float* out) {
  store(out, eight_numbers(levels) * scale);
  store(out + 8, eight_numbers(_mm_unpackhi_epi64(levels, levels)) * scale);
}

// The signs of eight numbers: bit j, moved to the sign of lane j.
inline Vector<float> eight_signs(std::uint32_t signs) {
  const __m256i places = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
  const __m256i moved = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(signs)), places);
  return (Vector<float>)_mm256_and_si256(moved, _mm256_set1_epi32(INT32_MIN));
}

inline void store_signed(__m128i levels, std::uint32_t signs, Vector<float> scale, float* out) {
  const Vector<float> low = eight_numbers(levels) * scale,
                      high = eight_numbers(_mm_unpackhi_epi64(levels, levels)) * scale;
  store(out, _mm256_xor_ps(low, eight_signs(signs)));
  store(out + 8, _mm256_xor_ps(high, eight_signs(signs >> 8)));
}

#endif

void levels_of_halves(const std::uint8_t* bytes, const std::int8_t* levels, float scale, int count,
                      float* out) {
  const __m128i table = sixteen_levels(levels), half_byte = _mm_set1_epi8(15);
  const Vector<float> factor = broadcast(scale);
  const auto of_half = [&](__m128i codes, int shift) {
    return _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(codes, shift), half_byte));
  };
  const auto* from = reinterpret_cast<const __m128i*>(bytes);
  if (count == 16) {
    const __m128i codes = _mm_loadu_si128(from);
    store_levels(of_half(codes, 0), factor, out);
    store_levels(of_half(codes, 4), factor, out + 16);
  } else {
    const __m128i codes = _mm_loadl_epi64(from);
    store_levels(_mm_unpacklo_epi64(of_half(codes, 0), of_half(codes, 4)), factor, out);
  }
}

void levels_with_signs(const std::int8_t* levels, std::uint32_t signs, float scale, int count,
                       float* out) {
  const Vector<float> factor = broadcast(scale);
  for (int j = 0; j < count; j += 16)
    store_signed(sixteen_levels(levels + j), signs >> j, factor, out + j);
}

#else

void levels_of_halves(const std::uint8_t* bytes, const std::int8_t* levels, float scale, int count,
                      float* __restrict out) {
  for (int j = 0; j < count; ++j) {
    out[j] = scale * static_cast<float>(levels[bytes[j] & 15]);
    out[count + j] = scale * static_cast<float>(levels[bytes[j] >> 4]);
  }
}

void levels_with_signs(const std::int8_t* levels, std::uint32_t signs, float scale, int count,
                       float* __restrict out) {
  for (int j = 0; j < count; ++j) {
    const float value = scale * static_cast<float>(levels[j]);
    out[j] = (signs >> j & 1U) != 0 ? -value : value;
  }
}

#endif

}  // namespace
}  // namespace sigmascope
