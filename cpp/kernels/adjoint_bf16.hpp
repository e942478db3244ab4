// SPDX-License-Identifier: BSD-3-Clause
// (P^T Y)^T, P and Y in bf16: vectors lie along the rows of P, whose pairs are made in registers and kept in the L1
// cache, and numbers of Y are broadcast. The sums are those of `product`, as one chain. For isa.cpp alone: everything
// has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/isa.hpp"
#include "kernels/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AVX512BF16__)
// Two rows of 32 columns as pairs; no second row is zeros.
inline void pair_of_rows(const std::uint16_t* p, std::int64_t ld, bool second, __mmask32 mask, __m512i& a, __m512i& b) {
  const __m512i one = _mm512_maskz_loadu_epi16(mask, p);
  const __m512i other = second ? _mm512_maskz_loadu_epi16(mask, p + ld) : _mm512_setzero_si512();
  a = _mm512_unpacklo_epi16(one, other), b = _mm512_unpackhi_epi16(one, other);
}

// 8 columns of Y. Pairs of rows come from P, and are left in `kept`; or from there, and what comes next of P is
// fetched.
template <bool FIRST, bool FETCH>
inline void eight_columns(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, __mmask32 mask,
                          const std::uint32_t* y, std::int64_t ldy, __m512i* kept, float* sums) {
  Vector<float> low[8], high[8];
#pragma GCC unroll 8
  for (int c = 0; c < 8; ++c) low[c] = load(sums + 32 * c), high[c] = load(sums + 32 * c + 16);
  for (std::int64_t i = 0; i < rows; i += 2, kept += 2, y += ldy) {
    __m512i a, b;
    if constexpr (FIRST) {
      pair_of_rows(p + i * ld, ld, i + 1 < rows, mask, a, b);
      _mm512_store_si512(kept, a), _mm512_store_si512(kept + 1, b);
    } else {
      a = _mm512_load_si512(kept), b = _mm512_load_si512(kept + 1);
      if constexpr (FETCH) __builtin_prefetch(p + i * ld, 0, 2), __builtin_prefetch(p + (i + 1) * ld, 0, 2);
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

void adjoint_bf16(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, std::int64_t cols, const std::uint32_t* y,
                  std::int64_t width, float* sums, std::int64_t apart) {
  __m512i kept[384];                   // half of the L1 cache: two vectors for a pair of rows
  constexpr std::int64_t ahead = 128;  // columns, where P comes from memory
  // Rows a multiple of 4 KiB apart share one set of that cache, and a line of each after the other comes in slowly: the
  // pairs of some tiles side by side, then.
  const bool collide = ld * 2 % 4096 == 0;
  const std::int64_t together = collide ? 6 : 1, some = collide ? 64 : 128;
  const auto mask = [&](std::int64_t j) {
    return static_cast<__mmask32>(cols - j >= 32 ? 0xffffffffu : (1u << (cols - j)) - 1);
  };
  for (std::int64_t i = 0; i < rows; i += some) {
    const std::int64_t here = rows - i < some ? rows - i : some;
    const std::uint32_t* right = y + i / 2 * width;
    for (std::int64_t j0 = 0; j0 < cols; j0 += together * 32) {
      const std::int64_t end = cols - j0 < together * 32 ? cols : j0 + together * 32;
      if (collide)
        for (std::int64_t r = 0; r < here; r += 2)
          for (std::int64_t j = j0; j < end; j += 32) {
            __m512i* to = kept + (j - j0) / 32 * some + r;
            pair_of_rows(p + (i + r) * ld + j, ld, r + 1 < here, mask(j), to[0], to[1]);
          }
      for (std::int64_t j = j0; j < end; j += 32) {
        float* tile = sums + j / 32 * apart;
        const std::uint16_t* first = p + i * ld + j;
        __m512i* pairs = kept + (j - j0) / 32 * some;
        for (std::int64_t c = 0; c < width; c += 8) {
          for (std::int64_t e = 0; e < 256; e += 16) __builtin_prefetch(tile + apart + 32 * c + e, 1);
          if (c == 0 && !collide) eight_columns<true, false>(first, ld, here, mask(j), right, width, pairs, tile);
          else if (c == 8)
            eight_columns<false, true>(first + ahead, ld, here, 0, right + c, width, pairs, tile + 32 * c);
          else eight_columns<false, false>(nullptr, ld, here, 0, right + c, width, pairs, tile + 32 * c);
        }
      }
    }
  }
}
constexpr auto adjoint_bf16_or_none = adjoint_bf16;
#else
constexpr void (*adjoint_bf16_or_none)(const std::uint16_t*, std::int64_t, std::int64_t, std::int64_t,
                                       const std::uint32_t*, std::int64_t, float*, std::int64_t) = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
