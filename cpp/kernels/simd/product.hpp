// SPDX-License-Identifier: BSD-3-Clause
// Thin products: C (rows x cols) from A (rows x K, any two steps) and B (K x cols, row-major, cols
// small). One micro-kernel serves P X (row_step = ld, k_step = 1), P^T Y (row_step = 1, k_step =
// ld) and the basis products. Accumulates by fused multiply-adds (or dot products of bf16 pairs) in
// the order of K: each element's bits are a function of K's order alone, not of how rows and
// columns were grouped, nor of how A's numbers are stored. E says what A and B hold: float, double,
// Pair or Wide.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// K per fresh accumulator: fp32 sums stay at the error of 64 terms (pairs: 128), and B's slice (64
// x 2 vectors) in the L1 cache.
constexpr std::int64_t k_block = 64;

// Two bf16 numbers that follow each other in K, the first in the low half.
using Pair = std::uint32_t;
// Such pairs in A, fp32 in B: each number of a pair is widened for its own multiply-add.
struct Wide {};

// Elements of A, B and C; rows of B for each element of A.
template <class E>
struct Operands {
  using Left = E;
  using Right = E;
  using Sum = E;
  static constexpr int steps = 1;
  template <int>
  static Vector<E> left(E x) {
    return broadcast(x);
  }
};
template <>
struct Operands<Pair> : Operands<float> {
  using Left = Pair;
  using Right = Pair;
  template <int>
  static Vector<Pair> left(Pair x) {
    return broadcast(x);
  }
};
template <>
struct Operands<Wide> : Operands<float> {
  using Left = Pair;
  static constexpr int steps = 2;
  template <int STEP>
  static Vector<float> left(Pair x) {
    return widened<STEP>(broadcast(x));
  }
};
template <class E>
using LeftOf = typename Operands<E>::Left;
template <class E>
using RightOf = typename Operands<E>::Right;
template <class E>
using SumOf = typename Operands<E>::Sum;

// ROWS x VECTORS accumulators live in registers: at most 24 of AVX-512's 32, 12 of the others' 16.
// Pairs are multiplied where a matrix lies, and in no more than 8 rows if these are a multiple of 4
// KiB apart: they share one set of the 8-way L1 cache, and 12 or 16 of them would be fetched again
// at every step (measured: half the rate).
template <class E, int ROWS, int VECTORS, Accumulate MODE>
inline void micro(std::int64_t k, const LeftOf<E>* a, std::int64_t row_step, std::int64_t k_step,
                  const LeftOf<E>* next, const RightOf<E>* b, std::int64_t ldb, SumOf<E>* c,
                  std::int64_t ldc) {
  using T = SumOf<E>;
  constexpr int width = lanes<T>, steps = Operands<E>::steps;
  Vector<T> sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v)
      sum[i][v] = MODE == Accumulate::chain ? load(c + i * ldc + v * width) : Vector<T>{};
  for (std::int64_t p = 0; p * steps < k; ++p) {
    if constexpr (MODE == Accumulate::sum_blocks)
      if (p % (64 / static_cast<std::int64_t>(sizeof(LeftOf<E>))) == 0)
#pragma GCC unroll 32
        for (int i = 0; i < ROWS; ++i) __builtin_prefetch(next + i * row_step + p * k_step);
    const auto step = [&]<int STEP>() {
      Vector<RightOf<E>> right[VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) right[v] = load(b + (p * steps + STEP) * ldb + v * width);
#pragma GCC unroll 32
      for (int i = 0; i < ROWS; ++i) {
        const auto left = Operands<E>::template left<STEP>(a[i * row_step + p * k_step]);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) sum[i][v] = multiply_add(left, right[v], sum[i][v]);
      }
    };
    step.template operator()<0>();
    if constexpr (steps == 2) step.template operator()<1>();
  }
#pragma GCC unroll 32
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      T* out = c + i * ldc + v * width;
      store(out, MODE == Accumulate::chain ? sum[i][v] : load(out) + sum[i][v]);
    }
}

template <class E, int ROWS, int VECTORS, Accumulate MODE>
void rows_of(std::int64_t rows, std::int64_t k, const LeftOf<E>* a, std::int64_t row_step,
             std::int64_t k_step, const RightOf<E>* b, std::int64_t ldb, SumOf<E>* c,
             std::int64_t ldc) {
  constexpr int steps = Operands<E>::steps;
  // After the last rows come the first ones' next K.
  const auto tile = [&]<int COUNT>(std::int64_t i) {
    const LeftOf<E>*here = a + i * row_step,
          *next = i + COUNT < rows ? here + COUNT * row_step : a + k / steps * k_step;
    if constexpr (MODE == Accumulate::sum_blocks)
      for (std::int64_t p = 0; p < k; p += k_block)
        micro<E, COUNT, VECTORS, MODE>(k - p < k_block ? k - p : k_block, here + p / steps * k_step,
                                       row_step, k_step, next + p / steps * k_step, b + p * ldb,
                                       ldb, c + i * ldc, ldc);
    else micro<E, COUNT, VECTORS, MODE>(k, here, row_step, k_step, next, b, ldb, c + i * ldc, ldc);
  };
  std::int64_t i = 0;
  if constexpr (ROWS == 12)  // 8 + 8, not 12 + 4: four rows keep too few sums in flight
    for (; rows - i >= 8 && (rows - i) % 12 >= 4; i += 8) tile.template operator()<8>(i);
  for (; i + ROWS <= rows; i += ROWS) tile.template operator()<ROWS>(i);
  if constexpr (ROWS > 4)
    for (; i + 4 <= rows; i += 4) tile.template operator()<4>(i);
  for (; i < rows; ++i) tile.template operator()<1>(i);
}

template <class E, Accumulate MODE>
void columns_of(std::int64_t rows, std::int64_t cols, std::int64_t k, const LeftOf<E>* a,
                std::int64_t row_step, std::int64_t k_step, const RightOf<E>* b, std::int64_t ldb,
                SumOf<E>* c, std::int64_t ldc) {
  constexpr bool many = vector_bytes == 64;  // 32 registers
  constexpr int rows2 = many ? 12 : 6, rows1 = many ? 12 : 8;
  const bool few = row_step * static_cast<std::int64_t>(sizeof(LeftOf<E>)) % 4096 == 0;
  constexpr std::int64_t width = lanes<SumOf<E>>;
  std::int64_t vectors = cols / width;
  for (std::int64_t j = 0; vectors > 0;) {
    // 5 = 3 + 2 vectors, not 4 + 1: a lone vector is the least efficient shape.
    const int take = many ? (vectors == 5   ? 3
                             : vectors >= 4 ? 4
                                            : static_cast<int>(vectors))
                          : (vectors >= 2 ? 2 : 1);
    if constexpr (many) {
      if (take == 4) rows_of<E, 6, 4, MODE>(rows, k, a, row_step, k_step, b + j, ldb, c + j, ldc);
      if (take == 3) rows_of<E, 8, 3, MODE>(rows, k, a, row_step, k_step, b + j, ldb, c + j, ldc);
    }
    const auto rows_by = [&]<int MOST, int FEW, int VECTORS>() {
      if (few) rows_of<E, FEW, VECTORS, MODE>(rows, k, a, row_step, k_step, b + j, ldb, c + j, ldc);
      else rows_of<E, MOST, VECTORS, MODE>(rows, k, a, row_step, k_step, b + j, ldb, c + j, ldc);
    };
    if (take == 2) rows_by.template operator()<rows2, many ? 8 : rows2, 2>();
    if (take == 1) rows_by.template operator()<rows1, 8, 1>();
    j += take * width;
    vectors -= take;
  }
}

template <class T>
void move_sums(T* from, std::int64_t n, T* to) {
  for (std::int64_t i = 0; i < n; i += lanes<T>) {
    store(to + i, load(to + i) + load(from + i));
    store(from + i, Vector<T>{});
  }
}

template <class E>
void product(std::int64_t rows, std::int64_t cols, std::int64_t k, const LeftOf<E>* a,
             std::int64_t row_step, std::int64_t k_step, const RightOf<E>* b, std::int64_t ldb,
             SumOf<E>* c, std::int64_t ldc, Accumulate mode) {
  const auto with = mode == Accumulate::chain ? columns_of<E, Accumulate::chain>
                                              : columns_of<E, Accumulate::sum_blocks>;
  with(rows, cols, k, a, row_step, k_step, b, ldb, c, ldc);
}

}  // namespace
}  // namespace sigmascope
