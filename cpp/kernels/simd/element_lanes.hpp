// SPDX-License-Identifier: BSD-3-Clause
// Stored codes as vectors of fp64, without a decoded copy. Equal numbers of all formats become
// equal fp64 numbers, so that results computed from them have the same bits.
#pragma once

#include <cstdint>

#include "kernels/simd/decode.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// Codes at any byte offset.
template <class From>
inline typename From::Code code_at(const char* from, std::int64_t i) {
  typename From::Code code;
  __builtin_memcpy(&code, from + i * static_cast<std::int64_t>(sizeof(code)), sizeof(code));
  return code;
}
template <class V>
inline V load_bytes(const char* from) {
  V vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}

// A vector of fp64, lanes<double> numbers, in one register or in two halves. Processors whose units
// are half as wide convert four fp32 numbers from memory in one step, but eight in three. The lanes
// are the same, and so are all bits.
#if defined(__AVX512F__)
struct Halves {
  typedef double Half __attribute__((vector_size(32)));
  Half low{}, high{};
};
inline Halves operator+(Halves a, Halves b) { return {a.low + b.low, a.high + b.high}; }
inline Halves operator-(Halves a, Halves b) { return {a.low - b.low, a.high - b.high}; }
inline Halves operator*(Halves a, Halves b) { return {a.low * b.low, a.high * b.high}; }
inline Halves rounded(Halves a) { return {rounded(a.low), rounded(a.high)}; }
inline Halves multiply_add(Halves a, Halves b, Halves c) {
  return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
inline Vector<double> joined(Halves a) {
  return _mm512_insertf64x4(_mm512_castpd256_pd512(a.low), a.high, 1);
}
inline Halves load_as(const double* from, Halves) {
  return {load_bytes<Halves::Half>(reinterpret_cast<const char*>(from)),
          load_bytes<Halves::Half>(reinterpret_cast<const char*>(from + 4))};
}
inline void store(double* to, Halves a) {
  _mm256_storeu_pd(to, a.low);
  _mm256_storeu_pd(to + 4, a.high);
}
#endif
inline Vector<double> joined(Vector<double> a) { return a; }
inline Vector<double> load_as(const double* from, Vector<double>) { return load(from); }

// The next lanes<double> codes. They are converted by intrinsics, since the compiler's own
// conversion goes by halves and quarters, or one by one.
template <class From>
struct Numbers {
  using V = Vector<double>;
  static V at(const char* from) {
    V numbers{};
    for (int i = 0; i < lanes<double>; ++i)
      numbers[i] = static_cast<double>(From::value(code_at<From>(from, i)));
    return numbers;
  }
};
template <>
struct Numbers<FromF64> {
  using V = Vector<double>;
  static V at(const char* from) { return load_bytes<V>(from); }
};
#if defined(__AVX512F__)
template <>
struct Numbers<FromF32> {
  using V = Halves;
  static V at(const char* from) {
    return {_mm256_cvtps_pd(load_bytes<__m128>(from)),
            _mm256_cvtps_pd(load_bytes<__m128>(from + 16))};
  }
};
template <>
struct Numbers<FromBf16> {
  using V = Vector<double>;
  static V at(const char* from) {
    // Codes go to the upper halves; the lower halves are zero.
    const __m256i places = _mm256_set_epi16(7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
    const auto codes = _mm256_castsi128_si256(load_bytes<__m128i>(from));
    return _mm512_cvtps_pd(
        _mm256_castsi256_ps(_mm256_maskz_permutexvar_epi16(0xaaaa, places, codes)));
  }
};
template <>
struct Numbers<FromF16> {
  using V = Vector<double>;
  static V at(const char* from) {
    return _mm512_cvtps_pd(_mm256_cvtph_ps(load_bytes<__m128i>(from)));
  }
};
#elif defined(__AVX2__)
template <>
struct Numbers<FromF32> {
  using V = Vector<double>;
  static V at(const char* from) { return _mm256_cvtps_pd(load_bytes<__m128>(from)); }
};
template <>
struct Numbers<FromBf16> {
  using V = Vector<double>;
  static V at(const char* from) {
    const __m128i codes = _mm_cvtsi64_si128(load_bytes<long long>(from));
    return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), codes)));
  }
};
template <>
struct Numbers<FromF16> {
  using V = Vector<double>;
  static V at(const char* from) {
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_cvtsi64_si128(load_bytes<long long>(from))));
  }
};
#elif defined(__aarch64__)
template <>
struct Numbers<FromF32> {
  using V = Vector<double>;
  static V at(const char* from) { return (V)vcvt_f64_f32(load_bytes<float32x2_t>(from)); }
};
// Two codes of 16 bits, and zeros.
inline uint16x4_t two_codes(const char* from) {
  return vreinterpret_u16_u32(vset_lane_u32(load_bytes<std::uint32_t>(from), vdup_n_u32(0), 0));
}
template <>
struct Numbers<FromBf16> {
  using V = Vector<double>;
  static V at(const char* from) {
    const uint32x4_t wide = vshll_n_u16(two_codes(from), 16);
    return (V)vcvt_f64_f32(vget_low_f32(vreinterpretq_f32_u32(wide)));
  }
};
template <>
struct Numbers<FromF16> {
  using V = Vector<double>;
  static V at(const char* from) {
    const float16x4_t halves = vreinterpret_f16_u16(two_codes(from));
    return (V)vcvt_f64_f32(vget_low_f32(vcvt_f32_f16(halves)));
  }
};
#endif

// Codes of a byte as fp32.
inline void widen_bytes(DType dtype, const char* codes, std::int64_t n, float* to) {
  if (dtype == DType::f8_e4m3) widen<FromE4m3>(codes, n, to);
  else if (dtype == DType::f8_e5m2) widen<FromE5m2>(codes, n, to);
  else widen<FromE2m1>(codes, n, to);
}

}  // namespace
}  // namespace sigmascope
