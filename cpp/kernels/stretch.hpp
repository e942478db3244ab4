// SPDX-License-Identifier: BSD-3-Clause
// Elementwise statistics of a stretch of up to a few thousand fp64 numbers that lie in the L1 cache: a first sweep for
// the mean, a second for the central sums (no cancellation), in fp64, in a fixed order of lanes.
// For isa.cpp alone: everything has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/isa.hpp"
#include "kernels/vector.hpp"

namespace sigmascope {
namespace {

inline double sum_lanes(Vector<double> v) {
  double total = 0.0;
  for (int i = 0; i < lanes<double>; ++i) total += v[i];
  return total;
}

// The rare careful path: some element is NaN or infinite.
void stretch_nonfinite(const double* x, std::int64_t n, Stretch* out) {
  Stretch s{0, 0, 0, 0, 0, 0, __builtin_inf(), -__builtin_inf(), 0, 0, 0, -1};
  double sum = 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!__builtin_isfinite(x[i])) {
      if (__builtin_isnan(x[i])) ++s.nans;
      else ++s.infinities;
      if (s.first_nonfinite < 0) s.first_nonfinite = i;
      continue;
    }
    s.count += 1;
    sum += x[i];
    s.sum_squares += x[i] * x[i];
    s.zeros += x[i] == 0.0;
    if (x[i] < s.minimum) s.minimum = x[i];
    if (x[i] > s.maximum) s.maximum = x[i];
  }
  s.mean = s.count > 0 ? sum / s.count : 0.0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!__builtin_isfinite(x[i])) continue;
    const double d = x[i] - s.mean;
    s.m2 += d * d;
    s.m3 += d * d * d;
    s.m4 += d * d * d * d;
  }
  *out = s;
}

void stretch_of(const double* x, std::int64_t n, Stretch* out) {
  using V = Vector<double>;
  constexpr int width = lanes<double>;
  const std::int64_t whole = n / width * width;
  V sum{}, squares{}, low = V{} + __builtin_inf(), high = V{} - __builtin_inf();
  decltype(sum == sum) zeros{};
  for (std::int64_t i = 0; i < whole; i += width) {
    const V v = load(x + i);
    sum += v;
    squares += v * v;
    low = v < low ? v : low;
    high = v > high ? v : high;
    zeros -= v == 0.0;
  }
  double total = sum_lanes(sum), total_squares = sum_lanes(squares);
  double minimum = __builtin_inf(), maximum = -__builtin_inf();
  std::int64_t zero_count = 0;
  for (int i = 0; i < width; ++i) {
    if (low[i] < minimum) minimum = low[i];
    if (high[i] > maximum) maximum = high[i];
    zero_count += zeros[i];
  }
  for (std::int64_t i = whole; i < n; ++i) {
    total += x[i];
    total_squares += x[i] * x[i];
    if (x[i] < minimum) minimum = x[i];
    if (x[i] > maximum) maximum = x[i];
    zero_count += x[i] == 0.0;
  }
  if (!__builtin_isfinite(total_squares)) return stretch_nonfinite(x, n, out);
  const double mean = n > 0 ? total / static_cast<double>(n) : 0.0;
  V m2{}, m3{}, m4{};
  for (std::int64_t i = 0; i < whole; i += width) {
    const V d = load(x + i) - mean, d2 = d * d;
    m2 += d2;
    m3 += d2 * d;
    m4 += d2 * d2;
  }
  double s2 = sum_lanes(m2), s3 = sum_lanes(m3), s4 = sum_lanes(m4);
  for (std::int64_t i = whole; i < n; ++i) {
    const double d = x[i] - mean, d2 = d * d;
    s2 += d2;
    s3 += d2 * d;
    s4 += d2 * d2;
  }
  *out = {static_cast<double>(n), mean, s2, s3, s4, total_squares, minimum, maximum, zero_count, 0, 0, -1};
}

void add_squares_of(const double* x, std::int64_t n, double* sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += __builtin_fabs(x[i]) < __builtin_inf() ? x[i] * x[i] : 0.0;
}

}  // namespace
}  // namespace sigmascope
