// SPDX-License-Identifier: BSD-3-Clause
// Products with a block of 8 or 16 columns, C += A B, as dot products along A's rows. With so few
// columns a broadcast for every multiply-add, as in product.hpp, takes longer than the
// multiply-add. B is transposed: vectors lie along its columns, eight columns after each other, and
// each vector is multiplied with three rows. Each lane has its own sum; lanes are added up at the
// end of every run.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/product.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AVX512F__)

// A vector of numbers along a row of A, in the type of B: fp32, bf16 widened to fp32, or pairs of
// bf16.
template <class E>
struct AlongRow {
  using Number = E;
  static constexpr std::int64_t numbers = lanes<E>;
  static Vector<E> load(const E* from) { return sigmascope::load(from); }
};
template <>
struct AlongRow<Wide> {
  using Number = std::uint16_t;
  static constexpr std::int64_t numbers = lanes<float>;
  static Vector<float> load(const Number* from) { return widened(from); }
};
template <>
struct AlongRow<Pair> {
  using Number = std::uint16_t;
  static constexpr std::int64_t numbers = 2 * lanes<Pair>;
  static Vector<Pair> load(const Number* from) {
    Vector<Pair> pairs;
    __builtin_memcpy(&pairs, from, sizeof(pairs));
    return pairs;
  }
};
template <class E>
using AlongNumber = typename AlongRow<E>::Number;

// c[0..8) += the sums of eight vectors' lanes.
inline void add_lanes(float* c, const Vector<float>* sums) {
  const auto both = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  const auto four = [&](const Vector<float>* s) {  // in every 128 bits those of its four lanes
    const __m512d a = _mm512_castps_pd(both(s[0], s[1])), b = _mm512_castps_pd(both(s[2], s[3]));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  };
  const __m512 low = four(sums), high = four(sums + 4);
  const __m512 half =
      _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x44), _mm512_shuffle_f32x4(low, high, 0xee));
  const __m512 all =
      _mm512_add_ps(_mm512_shuffle_f32x4(half, half, 0x88), _mm512_shuffle_f32x4(half, half, 0xdd));
  _mm256_storeu_ps(c, _mm256_add_ps(_mm256_loadu_ps(c), _mm512_castps512_ps256(all)));
}

// The eight columns that are multiplied: all of B, or a half of 16.
enum class Eight { only, first, second };

// The numbers `ahead` are prefetched; of two halves each fetches every other line. Rows of C are
// `ldc` apart.
template <class E, int ROWS, Eight EIGHT>
inline void some_dots(std::int64_t k, const AlongNumber<E>* a, std::int64_t ld, std::int64_t ahead,
                      const RightOf<E>* x, RightOf<E>* kept, float* c, std::int64_t ldc) {
  using A = AlongRow<E>;
  constexpr int width = lanes<float>;
  // The first half of a vector leaves the rest of its numbers to the second.
  constexpr bool widens = sizeof(AlongNumber<E>) * A::numbers < 64;
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(AlongNumber<E>));
  Vector<float> sums[ROWS][dot_columns] = {};
  const auto step = [&](const AlongNumber<E>* const* rows, std::int64_t at) {
    Vector<RightOf<E>> left[ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      if constexpr (widens && EIGHT == Eight::second) left[r] = load(kept + r * width);
      else left[r] = A::load(rows[r] + at);
      if constexpr (widens && EIGHT == Eight::first) store(kept + r * width, left[r]);
    }
    if constexpr (widens && EIGHT != Eight::only) kept += ROWS * width;
#pragma GCC unroll 8
    for (int j = 0; j < dot_columns; ++j, x += width) {
      const Vector<RightOf<E>> right = rounded(load(x));  // one load, not one for every row
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; ++r) sums[r][j] = multiply_add(left[r], right, sums[r][j]);
    }
  };
  const AlongNumber<E>* rows[ROWS];
  for (int r = 0; r < ROWS; ++r) rows[r] = a + r * ld;
  std::int64_t p = 0;
  for (; p + A::numbers <= k; p += A::numbers) {
    if (EIGHT == Eight::only ? p % line == 0
                             : p % (2 * line) == (EIGHT == Eight::second ? line : 0))
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; ++r) __builtin_prefetch(rows[r] + ahead + p, 0, 2);
    step(rows, p);
  }
  if (p < k) {  // the rest of a vector is zero
    AlongNumber<E> last[ROWS][A::numbers] = {};
    for (int r = 0; r < ROWS; ++r) {
      __builtin_memcpy(last[r], rows[r] + p,
                       static_cast<std::size_t>(k - p) * sizeof(AlongNumber<E>));
      rows[r] = last[r];
    }
    step(rows, 0);
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r) add_lanes(c + r * ldc, sums[r]);
}

template <class E>
void dots(std::int64_t rows, std::int64_t k, const AlongNumber<E>* a, std::int64_t ld,
          const RightOf<E>* x, std::int64_t half, std::int64_t width, float* c) {
  constexpr std::int64_t run = dot_run * (AlongRow<E>::numbers / lanes<float>);
  alignas(64) RightOf<E> kept[3 * dot_run];
  for (std::int64_t p = 0; p < k; p += run, x += dot_run * dot_columns) {
    const std::int64_t here = k - p < run ? k - p : run, ahead = p + run < k ? run : rows * ld - p;
    const auto some = [&]<int ROWS>(std::int64_t i) {
      const AlongNumber<E>* from = a + i * ld + p;
      float* to = c + i * width;
      if (width == dot_columns)
        return some_dots<E, ROWS, Eight::only>(here, from, ld, ahead, x, kept, to, width);
      some_dots<E, ROWS, Eight::first>(here, from, ld, ahead, x, kept, to, width);
      some_dots<E, ROWS, Eight::second>(here, from, ld, ahead, x + half, kept, to + dot_columns,
                                        width);
    };
    std::int64_t i = 0;
    for (; i + 3 <= rows; i += 3) some.template operator()<3>(i);
    for (; i < rows; ++i) some.template operator()<1>(i);
  }
}

constexpr DotKernels own_dots{dots<float>, dots<Pair>, dots<Wide>};
constexpr const DotKernels* dot_kernels = &own_dots;
#else
constexpr const DotKernels* dot_kernels = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
