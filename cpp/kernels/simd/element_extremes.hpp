// SPDX-License-Identifier: BSD-3-Clause
// Range, zeros and nonfinite numbers of stored codes, from their bits alone: no code is decoded.
#pragma once

#include <cstdint>

#include "kernels/simd/element_lanes.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// Codes as integers. Among codes without the sign bit the larger integer is the larger number;
// among codes with it the larger unsigned integer is the smaller number.
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
constexpr Unsigned<From> sign_bit =
    static_cast<Unsigned<From>>(Unsigned<From>{1} << (8 * sizeof(Unsigned<From>) - 1));

template <class From>
inline double number_of(Unsigned<From> bits) {
  return static_cast<double>(From::value(__builtin_bit_cast(typename From::Code, bits)));
}

// The largest code without its sign. At infinity or above, not all numbers are finite.
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

// Extremes of n > 0 codes of one stretch. Lanes of 16 bits can count its nonzero codes.
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
    return {number_of<From>(negative ? large : small) + 0.0,
            number_of<From>(positive ? top : small) + 0.0, least(), zeros, true};
  }

 private:
  double least() const {
    if constexpr (sizeof(S) < 8) return __builtin_inf();
    U small = ~U{0};
    for (int i = 0; i < width; ++i) small = least_[i] < small ? least_[i] : small;
    return small == static_cast<U>(~U{0}) ? __builtin_inf()
                                          : number_of<From>(static_cast<U>((small + 1) / 2));
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
