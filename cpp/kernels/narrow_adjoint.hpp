// SPDX-License-Identifier: BSD-3-Clause
// (P^T Y)^T for a Y of 16 columns, P and Y in bf16: vectors lie along the rows of P, whose pairs are made in registers,
// and numbers of Y are broadcast. Where Y is so narrow, pairs of P broadcast for one vector of Y each are what a
// product waits for. The sums are those of `product`, as one chain. For isa.cpp alone: everything has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/isa.hpp"
#include "kernels/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AVX512BF16__)
// 8 of the 16 columns of Y; pairs of rows from P, which leaves them in `kept`, or from there.
template <bool FIRST>
inline void eight_columns(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, __mmask32 mask,
                          const std::uint32_t* y, __m512i* kept, float* sums) {
  constexpr std::int64_t ahead = 16;
  Vector<float> low[8], high[8];
#pragma GCC unroll 8
  for (int c = 0; c < 8; ++c) low[c] = load(sums + 32 * c), high[c] = load(sums + 32 * c + 16);
  for (std::int64_t i = 0; i < rows; i += 2, kept += 2, y += narrow_width) {
    __m512i a, b;
    if constexpr (FIRST) {
      __builtin_prefetch(p + (i + ahead) * ld);
      __builtin_prefetch(p + (i + ahead + 1) * ld);
      const __m512i one = _mm512_maskz_loadu_epi16(mask, p + i * ld);
      const __m512i other = i + 1 < rows ? _mm512_maskz_loadu_epi16(mask, p + (i + 1) * ld) : _mm512_setzero_si512();
      a = _mm512_unpacklo_epi16(one, other), b = _mm512_unpackhi_epi16(one, other);
      _mm512_store_si512(kept, a), _mm512_store_si512(kept + 1, b);
    } else {
      a = _mm512_load_si512(kept), b = _mm512_load_si512(kept + 1);
    }
#pragma GCC unroll 8
    for (int c = 0; c < 8; ++c) {
      const auto right = (__m512bh)_mm512_set1_epi32(static_cast<int>(y[c]));
      low[c] = _mm512_dpbf16_ps(low[c], (__m512bh)a, right);
      high[c] = _mm512_dpbf16_ps(high[c], (__m512bh)b, right);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < 8; ++c) store(sums + 32 * c, low[c]), store(sums + 32 * c + 16, high[c]);
}

void narrow_adjoint(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
                    const std::uint32_t* y, float* sums) {
  constexpr std::int64_t some = 192;  // rows, whose pairs stay in the L1 cache
  __m512i kept[some];
  const auto mask = static_cast<__mmask32>(cols >= 32 ? 0xffffffffu : (1u << cols) - 1);
  for (std::int64_t i = 0; i < rows; i += some) {
    const std::int64_t here = rows - i < some ? rows - i : some;
    const std::uint32_t* right = y + i / 2 * narrow_width;
    eight_columns<true>(p + i * ld, ld, here, mask, right, kept, sums);
    eight_columns<false>(p + i * ld, ld, here, mask, right + 8, kept, sums + 8 * 32);
  }
}
constexpr auto narrow_adjoint_or_none = narrow_adjoint;
#else
constexpr void (*narrow_adjoint_or_none)(const std::uint16_t*, std::int64_t, std::int64_t, std::int64_t,
                                         const std::uint32_t*, float*) = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
