// SPDX-License-Identifier: BSD-3-Clause
// Numbers of stored codes: the device's twin of kernels/simd/decode.hpp. Every format but f64 is
// exact in fp32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matrix/dtype.hpp"
#include "runtime/device.cuh"

namespace sigmascope::device {

// A code at any address, in its low bytes.
template <class Code>
__device__ Code code_at(const std::byte* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % sizeof(Code) == 0)
    return *reinterpret_cast<const Code*>(from);
  Code code = 0;
  for (unsigned i = 0; i < sizeof(Code); ++i)
    code |= static_cast<Code>(static_cast<Code>(from[i]) << 8 * i);
  return code;
}

// A small float: exponent and fraction moved into fp32's place, and the bias corrected there; a
// subnormal gets a leading one, which is subtracted again. `bits`: of the exponent and the
// fraction; `fraction`: of the fraction; `bias`: of the format.
template <unsigned bits, unsigned fraction, unsigned bias>
__device__ float small_float(std::uint32_t code) {
  constexpr unsigned up = 23 - fraction, correction = 127 - bias;
  const std::uint32_t magnitude = (code & ((1U << bits) - 1)) << up;
  const std::uint32_t sign = (code >> bits & 1U) << 31;
  const float one = __uint_as_float((correction + 1) << 23);
  const float subnormal = __uint_as_float(magnitude + ((correction + 1) << 23)) - one;
  const std::uint32_t finite =
      magnitude < 1U << 23 ? __float_as_uint(subnormal) : magnitude + (correction << 23);
  return __uint_as_float(finite | sign);
}

__device__ inline float f16_value(std::uint32_t code) {
  const std::uint32_t magnitude = code & 0x7fffU;
  if (magnitude < 0x7c00U) return small_float<15, 10, 15>(code);
  return __uint_as_float(0x7f800000U | magnitude << 13 | (code & 0x8000U) << 16);
}
__device__ inline float e4m3_value(std::uint32_t code) {
  if ((code & 0x7fU) != 0x7fU) return small_float<7, 3, 7>(code);
  return __uint_as_float(0x7fc00000U | (code & 0x80U) << 24);
}

// The number of a code; T is double for f64 and float for the others.
template <DType dtype>
struct Stored {
  using Number = float;
};
template <>
struct Stored<DType::f64> {
  using Number = double;
};

template <DType dtype>
__device__ typename Stored<dtype>::Number number_at(const std::byte* from) {
  if constexpr (dtype == DType::f64)
    return __longlong_as_double(static_cast<long long>(code_at<std::uint64_t>(from)));
  else if constexpr (dtype == DType::f32) return __uint_as_float(code_at<std::uint32_t>(from));
  else if constexpr (dtype == DType::bf16) return bf16_value(code_at<std::uint16_t>(from));
  else if constexpr (dtype == DType::f16) return f16_value(code_at<std::uint16_t>(from));
  else if constexpr (dtype == DType::f8_e5m2)
    return f16_value(static_cast<std::uint32_t>(code_at<std::uint8_t>(from)) << 8);
  else if constexpr (dtype == DType::f8_e4m3) return e4m3_value(code_at<std::uint8_t>(from));
  else return small_float<3, 1, 1>(code_at<std::uint8_t>(from));
}

}  // namespace sigmascope::device
