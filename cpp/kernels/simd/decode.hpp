// SPDX-License-Identifier: BSD-3-Clause
// Stored codes to fp32 or fp64. Every format decodes exactly: f64 alone is rounded, and only when
// fp32 is asked for. All 65 536 (or 256) codes are tested.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

#include "kernels/simd/conversion_kernels.hpp"
#include "kernels/simd/vector.hpp"
#include "matrix/dtype.hpp"

namespace sigmascope {
namespace {

inline float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline std::uint32_t bits_of(float value) { return __builtin_bit_cast(std::uint32_t, value); }

struct FromF64 {
  using Code = double;
  static double value(Code code) { return code; }
};
struct FromF32 {
  using Code = float;
  static float value(Code code) { return code; }
};
struct FromBf16 {
  using Code = std::uint16_t;
  static float value(Code code) { return float_of(static_cast<std::uint32_t>(code) << 16); }
};

inline Vector<float> float_of(Vector<std::uint32_t> bits) { return (Vector<float>)bits; }
inline Vector<std::uint32_t> bits_of(Vector<float> values) { return (Vector<std::uint32_t>)values; }

// Small floats: exponent and fraction moved into fp32's place and the bias corrected there; a
// subnormal gets a leading one, which is then subtracted again. No operand is an fp32 subnormal, so
// a process that flushes those to zero (torch can, and so can any library built with -ffast-math)
// changes nothing. Codes above the largest finite one become infinity or NaN. U is an integer, or a
// vector of them: these steps are the same for both, and so are the bits.

// A finite number from its code in fp32's place, without a sign. LEADING is the exponent, in fp32,
// of the least normal number.
template <std::uint32_t LEADING, class U>
inline U finite_bits(U magnitude) {
  const U subnormal =
      bits_of(float_of(magnitude + (LEADING << 23)) - __builtin_bit_cast(float, LEADING << 23));
  return magnitude < 0x00800000u ? subnormal : magnitude + ((LEADING - 1) << 23);
}

struct FromF16 {
  using Code = std::uint16_t;
  template <class U>
  static U bits(U code) {
    const U magnitude = (code & 0x7fffu) << 13, sign = (code & 0x8000u) << 16;
    return (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite_bits<113>(magnitude)) |
           sign;
  }
  static float value(Code code) { return float_of(bits(std::uint32_t{code})); }
};
struct FromE5m2 {
  using Code = std::uint8_t;
  template <class U>
  static U bits(U code) {
    return FromF16::bits(code << 8);
  }
  static float value(Code code) { return float_of(bits(std::uint32_t{code})); }
};
struct FromE4m3 {
  using Code = std::uint8_t;
  template <class U>
  static U bits(U code) {
    const U magnitude = (code & 0x7fu) << 20, sign = (code & 0x80u) << 24, nan = sign | 0x7fc00000u;
    return magnitude == (0x7fu << 20) ? nan : finite_bits<121>(magnitude) | sign;
  }
  static float value(Code code) { return float_of(bits(std::uint32_t{code})); }
};

struct FromE2m1 {
  using Code = std::uint8_t;
  template <class U>
  static U bits(U code) {
    return finite_bits<127>((code & 7u) << 22) | (code & 8u) << 28;
  }
  static float value(Code code) { return float_of(bits(std::uint32_t{code})); }
};

// Small floats to fp32, in vectors: as many of the first n as fill them; the rest is left. The
// compiler makes none of `value`, whose subtraction it puts into a branch.
template <class From>
inline std::int64_t widen_vectors(const char* codes, std::int64_t n, float* to) {
  using Code = typename From::Code;
  std::int64_t i = 0;
  for (; i + lanes<float> <= n; i += lanes<float>) {
    Code here[lanes<float>];
    __builtin_memcpy(here, codes + i * static_cast<std::int64_t>(sizeof(Code)), sizeof(here));
    store(to + i, float_of(From::bits(integers(here))));
  }
  return i;
}

#if defined(__AVX2__)
inline __m128i eight_bytes(const char* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}
template <>
inline std::int64_t widen_vectors<FromF16>(const char* codes, std::int64_t n, float* to) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const auto* from = reinterpret_cast<const __m128i*>(codes + 2 * i);
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(from)));
  }
  return i;
}
template <>
inline std::int64_t widen_vectors<FromE5m2>(const char* codes, std::int64_t n, float* to) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i half = _mm_slli_epi16(_mm_cvtepu8_epi16(eight_bytes(codes + i)), 8);
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(half));
  }
  return i;
}
template <>
inline std::int64_t widen_vectors<FromE4m3>(const char* codes, std::int64_t n, float* to) {
  const __m128i sign = _mm_set1_epi16(0x80), magnitude = _mm_set1_epi16(0x7f),
                nan = _mm_set1_epi16(0x7fff);
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {  // as fp16, the exponent's bias of which is 8 more
    const __m128i code = _mm_cvtepu8_epi16(eight_bytes(codes + i)),
                  m = _mm_and_si128(code, magnitude),
                  s = _mm_slli_epi16(_mm_and_si128(code, sign), 8);
    const __m128i half = _mm_or_si128(_mm_or_si128(_mm_slli_epi16(m, 7), s),
                                      _mm_and_si128(_mm_cmpeq_epi16(m, magnitude), nan));
    _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0F)));
  }
  return i;
}
template <>
inline std::int64_t widen_vectors<FromE2m1>(const char* codes, std::int64_t n, float* to) {
  const __m256 magnitudes = _mm256_setr_ps(0, 0.5F, 1, 1.5F, 2, 3, 4, 6);
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i code = _mm256_cvtepu8_epi32(eight_bytes(codes + i)),
                  sign = _mm256_slli_epi32(_mm256_srli_epi32(code, 3), 31);
    const __m256 m = _mm256_permutevar8x32_ps(magnitudes, code);
    _mm256_storeu_ps(to + i, _mm256_or_ps(m, _mm256_castsi256_ps(sign)));
  }
  return i;
}
#elif defined(__aarch64__)
// The processor's own conversion is exact, whether it flushes subnormal numbers to zero or not.
inline void store_halves(float* to, uint16x8_t codes) {
  const float16x8_t halves = vreinterpretq_f16_u16(codes);
  vst1q_f32(to, vcvt_f32_f16(vget_low_f16(halves)));
  vst1q_f32(to + 4, vcvt_high_f32_f16(halves));
}
template <>
inline std::int64_t widen_vectors<FromF16>(const char* codes, std::int64_t n, float* to) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint16x8_t eight;
    __builtin_memcpy(&eight, codes + 2 * i, sizeof(eight));
    store_halves(to + i, eight);
  }
  return i;
}
template <>
inline std::int64_t widen_vectors<FromE5m2>(const char* codes, std::int64_t n, float* to) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint8x8_t eight;
    __builtin_memcpy(&eight, codes + i, sizeof(eight));
    store_halves(to + i, vshll_n_u8(eight, 8));
  }
  return i;
}
#endif

// Codes of a small float as fp32.
template <class From>
void widen(const char* codes, std::int64_t n, float* to) {
  for (std::int64_t i = widen_vectors<From>(codes, n, to); i < n; ++i) {
    typename From::Code code;
    __builtin_memcpy(&code, codes + i * static_cast<std::int64_t>(sizeof(code)), sizeof(code));
    to[i] = From::value(code);
  }
}

template <class From, class T>
void decode_small(const void* src, std::int64_t n, T factor, Write write, T* dst) {
  constexpr std::int64_t chunk = 256, size = sizeof(typename From::Code);
  const auto* codes = static_cast<const char*>(src);
  float numbers[chunk];
  for (std::int64_t i0 = 0; i0 < n; i0 += chunk) {
    const std::int64_t count = n - i0 < chunk ? n - i0 : chunk;
    widen<From>(codes + i0 * size, count, numbers);
    T* to = dst + i0;
    if (write == Write::add)
      for (std::int64_t i = 0; i < count; ++i) to[i] += factor * static_cast<T>(numbers[i]);
    else
      for (std::int64_t i = 0; i < count; ++i) to[i] = factor * static_cast<T>(numbers[i]);
  }
}

template <class From, class T>
void decode_as(const void* src, std::int64_t n, T factor, Write write, T* dst) {
  const auto* bytes = static_cast<const char*>(src);  // tensors may lie at any byte offset
  const auto code_at = [bytes](std::int64_t i) {
    typename From::Code code;
    __builtin_memcpy(&code, bytes + i * static_cast<std::int64_t>(sizeof(code)), sizeof(code));
    return code;
  };
  if (write == Write::add)
    for (std::int64_t i = 0; i < n; ++i) dst[i] += factor * static_cast<T>(From::value(code_at(i)));
  else
    for (std::int64_t i = 0; i < n; ++i) dst[i] = factor * static_cast<T>(From::value(code_at(i)));
}

template <class T>
void decode(DType dtype, const void* src, std::int64_t n, T factor, Write write, T* dst) {
  switch (dtype) {
    case DType::f64: return decode_as<FromF64>(src, n, factor, write, dst);
    case DType::f32: return decode_as<FromF32>(src, n, factor, write, dst);
    case DType::f16: return decode_small<FromF16>(src, n, factor, write, dst);
    case DType::bf16: return decode_as<FromBf16>(src, n, factor, write, dst);
    case DType::f8_e4m3: return decode_small<FromE4m3>(src, n, factor, write, dst);
    case DType::f8_e5m2: return decode_small<FromE5m2>(src, n, factor, write, dst);
    case DType::f4_e2m1: return decode_small<FromE2m1>(src, n, factor, write, dst);
  }
}

}  // namespace
}  // namespace sigmascope
