// SPDX-License-Identifier: BSD-3-Clause
// Stored codes looked at where they lie: as vectors of fp64, and their range, zeros and NaN read off the bits alone.
// Numbers of every format that are equal become equal fp64, so that what is computed from them has the same bits.
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

// A vector of fp64, lanes<double> numbers, in one register or two halves of one: processors whose units are half as
// wide convert four fp32 from memory in one step, eight in three. The lanes are the same, and so are all bits.
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
inline Vector<double> joined(Halves a) { return _mm512_insertf64x4(_mm512_castpd256_pd512(a.low), a.high, 1); }
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

// The next lanes<double> codes. By intrinsics: the compiler's own conversion of vectors goes by halves and quarters.
template <class From>
struct Numbers {
  using V = Vector<double>;
  static V at(const char* from) {
    V numbers{};
    for (int i = 0; i < lanes<double>; ++i) numbers[i] = static_cast<double>(From::value(code_at<From>(from, i)));
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
    return {_mm256_cvtps_pd(load_bytes<__m128>(from)), _mm256_cvtps_pd(load_bytes<__m128>(from + 16))};
  }
};
template <>
struct Numbers<FromBf16> {
  using V = Vector<double>;
  static V at(const char* from) {
    const __m256i places = _mm256_set_epi16(7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);  // upper halves; lower: 0
    const auto codes = _mm256_castsi128_si256(load_bytes<__m128i>(from));
    return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_maskz_permutexvar_epi16(0xaaaa, places, codes)));
  }
};
template <>
struct Numbers<FromF16> {
  using V = Vector<double>;
  static V at(const char* from) { return _mm512_cvtps_pd(_mm256_cvtph_ps(load_bytes<__m128i>(from))); }
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
#endif

// Codes of a byte as fp32: those of 8 bits by way of fp16, which holds them, where there is an instruction for that.
inline void widen_bytes(DType dtype, const char* codes, std::int64_t n, float* to) {
  std::int64_t i = 0;
#if defined(__AVX2__)
  const __m128i sign = _mm_set1_epi16(0x80), magnitude = _mm_set1_epi16(0x7f), nan = _mm_set1_epi16(0x7fff);
  for (; dtype != DType::f4_e2m1 && i + 8 <= n; i += 8) {
    const __m128i code = _mm_cvtepu8_epi16(_mm_cvtsi64_si128(load_bytes<long long>(codes + i)));
    __m256 numbers;
    if (dtype == DType::f8_e5m2) numbers = _mm256_cvtph_ps(_mm_slli_epi16(code, 8));
    else {  // the exponent's bias is 8 less than that of fp16
      const __m128i m = _mm_and_si128(code, magnitude), s = _mm_slli_epi16(_mm_and_si128(code, sign), 8);
      const __m128i half =
          _mm_or_si128(_mm_or_si128(_mm_slli_epi16(m, 7), s), _mm_and_si128(_mm_cmpeq_epi16(m, magnitude), nan));
      numbers = _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0F));
    }
    _mm256_storeu_ps(to + i, numbers);
  }
#endif
  decode<float>(dtype, codes + i, n - i, 1.0F, false, to + i);
}

// Codes as integers: among those without the sign bit the larger integer is the larger number, among those with it the
// larger unsigned integer is the smaller number.
template <std::size_t size>
struct IntegersOf;
template <>
struct IntegersOf<2> {
  using Signed = std::int16_t;
  using Unsigned = std::uint16_t;
};
template <>
struct IntegersOf<4> {
  using Signed = std::int32_t;
  using Unsigned = std::uint32_t;
};
template <>
struct IntegersOf<8> {
  using Signed = std::int64_t;
  using Unsigned = std::uint64_t;
};
template <class From>
using Signed = typename IntegersOf<sizeof(typename From::Code)>::Signed;
template <class From>
using Unsigned = typename IntegersOf<sizeof(typename From::Code)>::Unsigned;

template <class From>
constexpr Unsigned<From> infinity_code = 0;
template <>
inline constexpr Unsigned<FromF64> infinity_code<FromF64> = 0x7ff0000000000000u;
template <>
inline constexpr Unsigned<FromF32> infinity_code<FromF32> = 0x7f800000u;
template <>
inline constexpr Unsigned<FromBf16> infinity_code<FromBf16> = 0x7f80u;
template <>
inline constexpr Unsigned<FromF16> infinity_code<FromF16> = 0x7c00u;
template <class From>
constexpr Unsigned<From> sign_bit = static_cast<Unsigned<From>>(Unsigned<From>{1} << (8 * sizeof(Unsigned<From>) - 1));

template <class From>
inline double number_of(Unsigned<From> bits) {
  return static_cast<double>(From::value(__builtin_bit_cast(typename From::Code, bits)));
}

// The largest code without its sign; infinity or more: not all are finite.
template <class From>
struct Largest {
  using U = Unsigned<From>;
  Vector<U> most{};

  // Codes that fill `bytes`, whole vectors of them.
  void look(const char* codes, int bytes) {
    const Vector<U> mask = Vector<U>{} + static_cast<U>(~sign_bit<From>);
#pragma GCC unroll 4
    for (int at = 0; at < bytes; at += vector_bytes) {
      const Vector<U> magnitude = load_bytes<Vector<U>>(codes + at) & mask;
      most = magnitude > most ? magnitude : most;
    }
  }
  U code() const {
    U largest = 0;
    for (int i = 0; i < lanes<U>; ++i) largest = most[i] > largest ? most[i] : largest;
    return largest;
  }
};

struct Extremes {
  double minimum, maximum;  // never -0, which some orders of looking would find and others not
  double least;             // see Stretch
  std::int64_t zeros;
  bool finite;  // else the others mean nothing
};

// Of n > 0 codes of a stretch of at most `stretch_length`: a lane of 16 bits counts those that are not zero.
template <class From>
class ExtremeLanes {
  using S = Signed<From>;
  using U = Unsigned<From>;
  static constexpr int width = lanes<S>;
  static constexpr auto size = static_cast<std::int64_t>(sizeof(S));

 public:
  static constexpr std::int64_t at_a_time = width;

  void look(const char* codes) { look(load_bytes<Vector<S>>(codes)); }

  // After whole vectors of them were looked at.
  Extremes of(const char* codes, std::int64_t n) {
    const std::int64_t whole = n / width * width;
    std::int64_t zeros = n;
    if (whole < n) {  // the rest of a vector repeats the first code
      const U start = __builtin_bit_cast(U, code_at<From>(codes, 0));
      Vector<U> last = Vector<U>{} + start;
      __builtin_memcpy(&last, codes + whole * size, static_cast<std::size_t>((n - whole) * size));
      look(__builtin_bit_cast(Vector<S>, last));
      if (static_cast<U>(start + start) != 0) zeros += width - (n - whole);
    }
    auto high = static_cast<S>(sign_bit<From>);
    U large = 0;
    for (int i = 0; i < width; ++i) {
      high = highest_[i] > high ? highest_[i] : high;
      large = largest_[i] > large ? largest_[i] : large;
      zeros -= static_cast<std::int64_t>(nonzeros_[i]);
    }
    const bool positive = high >= 0, negative = large >= sign_bit<From>;
    const U top = static_cast<U>(high);
    if ((positive && top >= infinity_code<From>) ||
        (negative && large >= static_cast<U>(sign_bit<From> | infinity_code<From>)))
      return {0, 0, 0, 0, false};
    U small = large;  // needed only where all signs are equal: the number of least magnitude
    if (!positive || !negative)
      for (std::int64_t i = 0; i < n; ++i) {
        const U u = __builtin_bit_cast(U, code_at<From>(codes, i));
        small = u < small ? u : small;
      }
    return {number_of<From>(negative ? large : small) + 0.0, number_of<From>(positive ? top : small) + 0.0, least(),
            zeros, true};
  }

 private:
  double least() const {
    if constexpr (sizeof(S) < 8) return __builtin_inf();
    U small = ~U{0};
    for (int i = 0; i < width; ++i) small = least_[i] < small ? least_[i] : small;
    return small == static_cast<U>(~U{0}) ? __builtin_inf() : number_of<From>(static_cast<U>((small + 1) / 2));
  }

  void look(Vector<S> v) {
    const Vector<U> one = Vector<U>{} + U{1};
    const auto u = __builtin_bit_cast(Vector<U>, v);
    const Vector<U> magnitude = u + u;
    highest_ = v > highest_ ? v : highest_;
    largest_ = u > largest_ ? u : largest_;
    nonzeros_ += magnitude < one ? magnitude : one;
    if constexpr (sizeof(S) == 8) {
      const Vector<U> less = magnitude - one;  // zero is the largest
      least_ = less < least_ ? less : least_;
    }
  }

  Vector<S> highest_ = Vector<S>{} + static_cast<S>(sign_bit<From>);
  Vector<U> largest_{}, nonzeros_{};
  Vector<U> least_ = ~Vector<U>{};  // twice the least code without its sign, less one
};

template <class From>
Extremes extremes_of(const char* codes, std::int64_t n) {
  ExtremeLanes<From> lanes;
  for (std::int64_t i = 0; i + lanes.at_a_time <= n; i += lanes.at_a_time)
    lanes.look(codes + i * static_cast<std::int64_t>(sizeof(typename From::Code)));
  return lanes.of(codes, n);
}

}  // namespace
}  // namespace sigmascope
