// SPDX-License-Identifier: BSD-3-Clause
// Stored codes to fp32 or fp64. Every format decodes exactly: f64 alone is rounded, and only when
// fp32 is asked for. Branch-free per element, so that the compiler makes vectors of it; all 65 536
// (or 256) codes are tested.
#pragma once

#include <cstdint>

#include "kernels/simd/conversion_kernels.hpp"
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

// Small floats: exponent and fraction moved into fp32's place and the bias corrected there; a
// subnormal gets a leading one, which is then subtracted again. No operand is an fp32 subnormal, so
// a process that flushes those to zero (torch can, and so can any library built with -ffast-math)
// changes nothing. Codes above the largest finite one become infinity or NaN.
struct FromF16 {
  using Code = std::uint16_t;
  static float value(Code code) {
    const std::uint32_t magnitude = static_cast<std::uint32_t>(code & 0x7fffu) << 13;
    const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000u) << 16;
    const float subnormal = float_of(magnitude + (113u << 23)) - 0x1p-14f;
    const std::uint32_t finite =
        magnitude < 0x00800000u ? bits_of(subnormal) : magnitude + (112u << 23);
    return float_of((magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite) | sign);
  }
};
struct FromE5m2 {
  using Code = std::uint8_t;
  static float value(Code code) { return FromF16::value(static_cast<std::uint16_t>(code << 8)); }
};
struct FromE4m3 {
  using Code = std::uint8_t;
  static float value(Code code) {
    const std::uint32_t magnitude = code & 0x7fu;
    const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80u) << 24;
    const float subnormal = float_of((magnitude << 20) + (121u << 23)) - 0x1p-6f;
    const std::uint32_t finite =
        magnitude < 8u ? bits_of(subnormal) : (magnitude << 20) + (120u << 23);
    return float_of((magnitude == 0x7fu ? 0x7fc00000u : finite) | sign);
  }
};

struct FromE2m1 {
  using Code = std::uint8_t;
  static float value(Code code) {
    const std::uint32_t magnitude = (code & 7u) << 22;
    const std::uint32_t sign = static_cast<std::uint32_t>(code & 8u) << 28;
    const float subnormal = float_of(magnitude + (127u << 23)) - 1.0f;
    return float_of((magnitude < (1u << 23) ? bits_of(subnormal) : magnitude + (126u << 23)) |
                    sign);
  }
};

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
    case DType::f16: return decode_as<FromF16>(src, n, factor, write, dst);
    case DType::bf16: return decode_as<FromBf16>(src, n, factor, write, dst);
    case DType::f8_e4m3: return decode_as<FromE4m3>(src, n, factor, write, dst);
    case DType::f8_e5m2: return decode_as<FromE5m2>(src, n, factor, write, dst);
    case DType::f4_e2m1: return decode_as<FromE2m1>(src, n, factor, write, dst);
  }
}

}  // namespace
}  // namespace sigmascope
