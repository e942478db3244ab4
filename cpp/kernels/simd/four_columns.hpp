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

// Sums of eight rows, or of more, over `k` columns, of which the first eight or fewer are
// multiplied.
template <int EIGHTS>
inline void some_columns(std::int64_t k, const double* a, std::int64_t ld, const double* b,
                         Vector<double> (*sums)[4]) {
  Vector<double> columns[EIGHTS][8];
  const auto mask = static_cast<__mmask8>(k < 8 ? (1 << k) - 1 : 0xff);
#pragma GCC unroll 2
  for (int e = 0; e < EIGHTS; ++e) {
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      const double* row = a + (8 * e + r) * ld;
      columns[e][r] = k < 8 ? _mm512_maskz_loadu_pd(mask, row) : load(row);
    }
    transpose(columns[e]);
  }
  const auto add_column = [&](int j) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const Vector<double> factor = broadcast(b[4 * j + c]);
#pragma GCC unroll 2
      for (int e = 0; e < EIGHTS; ++e) sums[e][c] = multiply_add(columns[e][j], factor, sums[e][c]);
    }
  };
  if (k < 8) {
    for (int j = 0; j < k; ++j) add_column(j);
    return;
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) add_column(j);
}

// Eight rows, or sixteen: each factor of B is loaded once for all of them.
template <int EIGHTS>
void rows_by_four(std::int64_t k, const double* a, std::int64_t ld, const double* b, double* c) {
  alignas(64) double total[EIGHTS][4][8];
  for (int e = 0; e < EIGHTS; ++e)
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 4; ++j) total[e][j][r] = c[4 * (8 * e + r) + j];
  for (std::int64_t block = 0; block < k; block += k_block) {
    const std::int64_t end = k - block < k_block ? k : block + k_block;
    Vector<double> sums[EIGHTS][4] = {};
    for (std::int64_t p = block; p < end; p += 8)
      some_columns<EIGHTS>(end - p, a + p, ld, b + 4 * p, sums);
#pragma GCC unroll 2
    for (int e = 0; e < EIGHTS; ++e)
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) store(total[e][j], load(total[e][j]) + sums[e][j]);
  }
  for (int e = 0; e < EIGHTS; ++e)
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 4; ++j) c[4 * (8 * e + r) + j] = total[e][j][r];
}

// See ProductKernels::f64_by_four.
void by_four(std::int64_t rows, std::int64_t k, const double* a, std::int64_t ld, const double* b,
             double* c) {
  std::int64_t i = 0;
  for (; i + 16 <= rows; i += 16) rows_by_four<2>(k, a + i * ld, ld, b, c + 4 * i);
  if (i < rows) rows_by_four<1>(k, a + i * ld, ld, b, c + 4 * i);
}

constexpr auto product_by_four = by_four;
#else
constexpr decltype(ProductKernels::f64_by_four) product_by_four = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
