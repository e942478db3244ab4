// SPDX-License-Identifier: BSD-3-Clause
// Z += P^T Y for a few rows P of a matrix and a thin block Y. Vectors lie along the rows of P, and
// numbers of Y are broadcast, so that P need not be transposed. The sums are those of `product`, as
// one chain.
#pragma once

#include <cstdint>

#include "kernels/simd/bf16_pairs.hpp"
#include "kernels/simd/isa.hpp"
#include "kernels/simd/product.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// Vectors of V from numbers of P: float and double as they are stored; bf16 in pairs of rows, whose
// second may be missing, or widened to fp32.
template <class E>
struct RowsOf {
  using Number = E;
  using V = E;
  static constexpr std::int64_t at_a_time = 1;
  static void two_vectors(const E* p, std::int64_t, bool, Vector<E>& a, Vector<E>& b) {
    a = load(p), b = load(p + lanes<E>);
  }
};
template <>
struct RowsOf<Pair> {
  using Number = std::uint16_t;
  using V = Pair;
  static constexpr std::int64_t at_a_time = 2;
  static void two_vectors(const Number* p, std::int64_t ld, bool second, Vector<Pair>& a,
                          Vector<Pair>& b) {
#if defined(__AVX512BW__)
    const __m512i one = _mm512_loadu_si512(p),
                  other = second ? _mm512_loadu_si512(p + ld) : _mm512_setzero_si512();
    a = (Vector<Pair>)_mm512_unpacklo_epi16(one, other),
    b = (Vector<Pair>)_mm512_unpackhi_epi16(one, other);
#else
    static constexpr Number none[2 * lanes<Pair>] = {};
    Pair pairs[2 * lanes<Pair>];
    interleave(p, second ? p + ld : none, 2 * lanes<Pair>, pairs);
    a = load(pairs), b = load(pairs + lanes<Pair>);
#endif
  }
};

template <>
struct RowsOf<Wide> {
  using Number = std::uint16_t;
  using V = float;
  static constexpr std::int64_t at_a_time = 1;
  static void two_vectors(const Number* p, std::int64_t, bool, Vector<float>& a, Vector<float>& b) {
    Vector<Pair> along;
    __builtin_memcpy(&along, p, sizeof(along));
    a = widened<0>(along), b = widened<1>(along);
  }
};
template <class E>
using RowVector = typename RowsOf<E>::V;
template <class E>
constexpr std::int64_t step_rows = RowsOf<E>::at_a_time;

// Places of the columns of a tile. Pairs of rows: unpacking leaves four columns together, then four
// of the next eight. Widened numbers: the even columns of two vectors, then the odd ones.
struct Places {
  std::uint8_t of[adjoint_tile];
};
constexpr Places pair_places = [] {
  Places places{};
  for (int j = 0; j < adjoint_tile; ++j)
#if defined(__AVX512BW__)
    places.of[j] = static_cast<std::uint8_t>(j / 8 * 4 + j % 4 + (j % 8 >= 4 ? 16 : 0));
#else
    places.of[j] = static_cast<std::uint8_t>(j);
#endif
  return places;
}();
constexpr Places wide_places = [] {
  Places places{};
  for (int j = 0; j < adjoint_tile; ++j) {
    constexpr int width = lanes<float>;
    places.of[j] = static_cast<std::uint8_t>(j / (2 * width) * (2 * width) + j % 2 * width +
                                             j % (2 * width) / 2);
  }
  return places;
}();

// The source of the vectors of P: P itself; P, and they are stored for further columns of Y; or the
// stored vectors.
enum class Vectors { read, read_and_kept, kept };

// Sums of PAIRS pairs of vectors of columns of P, and so many of Y, over the rows of P; `kept` has
// their vectors, adjoint_tile numbers a step. FETCH: what lies `ahead` in P is fetched.
template <class E, int COLS, int PAIRS, Vectors FROM, bool FETCH>
inline void some_columns(const typename RowsOf<E>::Number* p, std::int64_t ld, std::int64_t rows,
                         const RowVector<E>* y, std::int64_t ldy, RowVector<E>* kept,
                         SumOf<E>* sums, std::int64_t ahead) {
  using S = SumOf<E>;
  constexpr int width = lanes<S>;
  Vector<S> low[PAIRS][COLS], high[PAIRS][COLS];
#pragma GCC unroll 2
  for (int v = 0; v < PAIRS; ++v)
#pragma GCC unroll 8
    for (int c = 0; c < COLS; ++c) {
      low[v][c] = load(sums + adjoint_tile * c + 2 * v * width);
      high[v][c] = load(sums + adjoint_tile * c + (2 * v + 1) * width);
    }
  for (std::int64_t i = 0; i < rows; i += step_rows<E>, kept += adjoint_tile, y += ldy) {
    Vector<RowVector<E>> a[PAIRS], b[PAIRS];
#pragma GCC unroll 2
    for (int v = 0; v < PAIRS; ++v) {
      RowVector<E>* here = kept + 2 * v * width;
      if constexpr (FROM == Vectors::kept) a[v] = load(here), b[v] = load(here + width);
      else RowsOf<E>::two_vectors(p + i * ld + 2 * v * width, ld, i + 1 < rows, a[v], b[v]);
      if constexpr (FROM == Vectors::read_and_kept) store(here, a[v]), store(here + width, b[v]);
    }
    if constexpr (FETCH)
      for (std::int64_t r = i; r < i + step_rows<E>; ++r) {
        __builtin_prefetch(p + r * ld + ahead, 0, 2);
        if constexpr (sizeof(p[0]) * adjoint_tile > 64)
          __builtin_prefetch(p + r * ld + ahead + adjoint_tile / 2, 0, 2);
      }
#pragma GCC unroll 8
    for (int c = 0; c < COLS; ++c) {
      const Vector<RowVector<E>> right = broadcast(y[c]);
#pragma GCC unroll 2
      for (int v = 0; v < PAIRS; ++v) {
        low[v][c] = multiply_add(a[v], right, low[v][c]);
        high[v][c] = multiply_add(b[v], right, high[v][c]);
      }
    }
  }
#pragma GCC unroll 2
  for (int v = 0; v < PAIRS; ++v)
#pragma GCC unroll 8
    for (int c = 0; c < COLS; ++c) {
      store(sums + adjoint_tile * c + 2 * v * width, low[v][c]);
      store(sums + adjoint_tile * c + (2 * v + 1) * width, high[v][c]);
    }
}

// One step of fewer columns than adjoint_tile, the others zero.
template <class E>
void keep(const typename RowsOf<E>::Number* p, std::int64_t ld, bool second, std::int64_t cols,
          RowVector<E>* kept) {
  using Number = typename RowsOf<E>::Number;
  Number padded[2][adjoint_tile] = {};
  const auto bytes = static_cast<std::size_t>(cols) * sizeof(Number);
  __builtin_memcpy(padded[0], p, bytes);
  if (second) __builtin_memcpy(padded[1], p + ld, bytes);
  constexpr int width = lanes<RowVector<E>>;
  for (std::int64_t e = 0; e < adjoint_tile; e += 2 * width) {
    Vector<RowVector<E>> a, b;
    RowsOf<E>::two_vectors(padded[0] + e, adjoint_tile, second, a, b);
    store(kept + e, a), store(kept + e + width, b);
  }
}

// `columns` of Y at a time, and so many pairs of vectors.
template <class E, int columns, int pairs>
void adjoint_by(const typename RowsOf<E>::Number* p, std::int64_t ld, std::int64_t rows,
                std::int64_t cols, const RowVector<E>* y, std::int64_t ldy, std::int64_t width,
                SumOf<E>* sums, std::int64_t stride) {
  using V = RowVector<E>;
  // Half of the L1 cache.
  constexpr std::int64_t steps = 24576 / (adjoint_tile * static_cast<std::int64_t>(sizeof(V)));
  constexpr std::int64_t some = (steps < 64 ? steps : 64) * step_rows<E>;
  alignas(64) V kept[some / step_rows<E> * adjoint_tile];
  // Rows a multiple of 4 KiB apart share one set of the cache: what is fetched lies further ahead.
  const bool collide = ld * static_cast<std::int64_t>(sizeof(p[0])) % 4096 == 0;
  const std::int64_t ahead = (collide ? 12 : 4) * adjoint_tile;
  for (std::int64_t i = 0; i < rows; i += some) {
    const std::int64_t here = rows - i < some ? rows - i : some;
    const V* right = y + i / step_rows<E> * ldy;
    for (std::int64_t j = 0; j < cols; j += adjoint_tile) {
      const auto* first = p + i * ld + j;
      const bool whole = j + adjoint_tile <= cols;
      if (!whole)
        for (std::int64_t r = 0; r < here; r += step_rows<E>)
          keep<E>(first + r * ld, ld, r + 1 < here, cols - j,
                  kept + r / step_rows<E> * adjoint_tile);
      for (std::int64_t c = 0; c < width; c += columns) {
        SumOf<E>* tile = sums + j / adjoint_tile * stride + adjoint_tile * c;
        for (std::int64_t e = 0; e < adjoint_tile * columns;
             e += 64 / static_cast<std::int64_t>(sizeof(SumOf<E>)))
          __builtin_prefetch(tile + stride + e, 1);
        for (std::int64_t e = 0; e < adjoint_tile; e += 2 * pairs * lanes<V>) {
          const auto sum = [&]<Vectors FROM, bool FETCH>() {
            some_columns<E, columns, pairs, FROM, FETCH>(first + e, ld, here, right + c, ldy,
                                                         kept + e, tile + e, ahead - e);
          };
          if (whole && width == columns)
            e == 0 ? sum.template operator()<Vectors::read, true>()
                   : sum.template operator()<Vectors::read, false>();
          else if (whole && c == 0) sum.template operator()<Vectors::read_and_kept, false>();
          else if (c == columns && e == 0) sum.template operator()<Vectors::kept, true>();
          else sum.template operator()<Vectors::kept, false>();
        }
      }
    }
  }
}

template <class E>
void adjoint(const typename RowsOf<E>::Number* p, std::int64_t ld, std::int64_t rows,
             std::int64_t cols, const RowVector<E>* y, std::int64_t ldy, std::int64_t width,
             SumOf<E>* sums, std::int64_t stride) {
  // The sums of these columns take 16 of 32 registers, or 8 of 16.
  constexpr int columns = vector_bytes == 64 ? 8 : 4;
  if constexpr (columns == 8 && sizeof(SumOf<E>) == 8)
    if (width == 4) return adjoint_by<E, 4, 2>(p, ld, rows, cols, y, ldy, width, sums, stride);
  adjoint_by<E, columns, 1>(p, ld, rows, cols, y, ldy, width, sums, stride);
}

}  // namespace
}  // namespace sigmascope
