// SPDX-License-Identifier: BSD-3-Clause
// Products of fp64 numbers with a block of four columns, C += A B. Four columns fill half of a
// vector of 64 bytes. Here vectors lie down the rows of A instead: eight rows are transposed in
// registers, eight columns at a time. Every sum has the order, and the bits, of product.hpp.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/product.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AVX512F__)

// Eight vectors as the rows of a matrix, which is transposed.
inline void transpose(Vector<double>* rows) {
  __m512d pairs[8], fours[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_pd(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_pd(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d low = pairs[i / 2 * 4 + i % 2], high = pairs[i / 2 * 4 + i % 2 + 2];
    fours[i] = _mm512_shuffle_f64x2(low, high, 0x88);      // columns 0 and 4, or 1 and 5
    fours[i + 4] = _mm512_shuffle_f64x2(low, high, 0xdd);  // 2 and 6, or 3 and 7
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    rows[i] = _mm512_shuffle_f64x2(fours[i], fours[i + 2], 0x88);
    rows[i + 4] = _mm512_shuffle_f64x2(fours[i], fours[i + 2], 0xdd);
    rows[i + 2] = _mm512_shuffle_f64x2(fours[i + 4], fours[i + 6], 0x88);
    rows[i + 6] = _mm512_shuffle_f64x2(fours[i + 4], fours[i + 6], 0xdd);
  }
}

// Sums of eight rows over `k` columns, of which the first eight or fewer are multiplied.
inline void some_columns_of_eight(std::int64_t k, const double* a, std::int64_t ld, const double* b,
                                  Vector<double>* sums) {
  Vector<double> columns[8];
  if (k >= 8) {
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) columns[r] = load(a + r * ld);
    transpose(columns);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j)
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c)
        sums[c] = multiply_add(columns[j], broadcast(b[4 * j + c]), sums[c]);
    return;
  }
  const auto mask = static_cast<__mmask8>((1 << k) - 1);
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) columns[r] = _mm512_maskz_loadu_pd(mask, a + r * ld);
  transpose(columns);
  for (int j = 0; j < k; ++j)
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
      sums[c] = multiply_add(columns[j], broadcast(b[4 * j + c]), sums[c]);
}

// See ProductKernels::f64_by_four.
void by_four(std::int64_t rows, std::int64_t k, const double* a, std::int64_t ld, const double* b,
             double* c) {
  for (std::int64_t i = 0; i < rows; i += 8) {
    alignas(64) double total[4][8];
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 4; ++j) total[j][r] = c[4 * (i + r) + j];
    for (std::int64_t block = 0; block < k; block += k_block) {
      const std::int64_t end = k - block < k_block ? k : block + k_block;
      Vector<double> sums[4] = {};
      for (std::int64_t p = block; p < end; p += 8)
        some_columns_of_eight(end - p, a + i * ld + p, ld, b + 4 * p, sums);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) store(total[j], load(total[j]) + sums[j]);
    }
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 4; ++j) c[4 * (i + r) + j] = total[j][r];
  }
}

constexpr auto product_by_four = by_four;
#else
constexpr decltype(ProductKernels::f64_by_four) product_by_four = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
