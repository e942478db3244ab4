// SPDX-License-Identifier: BSD-3-Clause
// fp32 to bf16, and rows of bf16 to the pairs that a dot product takes.
// For isa.cpp alone: everything has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/vector.hpp"

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
    _mm512_storeu_si512(dst + i, (__m512i)_mm512_cvtne2ps_pbh(load(src + i + 16) * f, load(src + i) * f));
#endif
  for (; i < n; ++i) dst[i] = to_bf16(factor * src[i]);
}

// dst[i] = the pair (first[i], second[i]).
void interleave(const std::uint16_t* first, const std::uint16_t* second, std::int64_t n, std::uint32_t* dst) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = first[i] | static_cast<std::uint32_t>(second[i]) << 16;
}

}  // namespace
}  // namespace sigmascope
