// SPDX-License-Identifier: BSD-3-Clause
// Sturm counts: how many eigenvalues of a symmetric tridiagonal matrix lie below x, from the signs
// of the pivots of T - x I (Kahan 1966; Demmel, Dhillon & Ren 1995). The count is exact for a
// matrix whose elements differ from those of T by a few roundings, however large n is.
#pragma once

#include <cstdint>

#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// Several vectors of x at a time: each pivot waits for the division of the one before it.
template <int VECTORS>
void counts_of(std::int64_t n, const double* diagonal, const double* squares, double least,
               const double* x, double* counts) {
  constexpr int width = lanes<double>;
  Vector<double> at[VECTORS], pivot[VECTORS], count[VECTORS];
  const Vector<double> floor = broadcast(-least), one = broadcast(1.0);
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v)
    at[v] = load(x + v * width), pivot[v] = one, count[v] = Vector<double>{};
  for (std::int64_t i = 0; i < n; ++i) {
    const Vector<double> d = broadcast(diagonal[i]),
                         square = broadcast(i > 0 ? squares[i - 1] : 0.0);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      Vector<double> q = (d - at[v]) - square / pivot[v];
      q = (q < -floor) & (q > floor) ? floor : q;
      count[v] += q < Vector<double>{} ? one : Vector<double>{};
      pivot[v] = q;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v) store(counts + v * width, count[v]);
}

// `count`: a multiple of a vector's lanes. A pivot whose magnitude is below `least` is -least.
void counts_below(std::int64_t n, const double* diagonal, const double* squares, double least,
                  std::int64_t count, const double* x, double* counts) {
  constexpr std::int64_t width = lanes<double>;
  std::int64_t j = 0;
  for (; j + 4 * width <= count; j += 4 * width)
    counts_of<4>(n, diagonal, squares, least, x + j, counts + j);
  for (; j < count; j += width) counts_of<1>(n, diagonal, squares, least, x + j, counts + j);
}

}  // namespace
}  // namespace sigmascope
