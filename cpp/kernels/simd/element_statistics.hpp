// SPDX-License-Identifier: BSD-3-Clause
// Elementwise statistics of a stretch of a row, in one sweep over its stored codes. Powers are
// summed in fp64, which holds numbers of 8 to 32 bits and the squares of numbers of up to 26 bits
// without error. The order of lanes depends on the place in the stretch alone, so that equal
// numbers give equal bits, however they are stored.
#pragma once

#include <cstdint>

#include "kernels/simd/element_extremes.hpp"
#include "kernels/simd/element_lanes.hpp"
#include "kernels/simd/isa.hpp"
#include "kernels/simd/stretch_sums.hpp"

namespace sigmascope {
namespace {

inline double sum_lanes(Vector<double> v) {
  double total = 0.0;
  for (int i = 0; i < lanes<double>; ++i) total += v[i];
  return total;
}

template <class V>
struct PowerLanes {
  V first{}, second{}, third{}, fourth{};

  // Adds a number to the sums and returns its square. The square of an fp32 number is exact in
  // fp64: whether it is added in the same step or in one of its own changes no bit, and balances
  // the adders and the multipliers.
  template <bool fused>
  V add(V d) {
    const V square = rounded(d * d);
    first = first + d;
    if constexpr (fused) second = multiply_add(d, d, second);
    else second = second + square;
    third = multiply_add(square, d, third);
    fourth = multiply_add(square, square, fourth);
    return square;
  }
  PowerSums sums() const {
    return {sum_lanes(joined(first)), sum_lanes(joined(second)), sum_lanes(joined(third)),
            sum_lanes(joined(fourth))};
  }
};

// Rows that one load and one store of the column sums serve; more would want more registers. No bit
// depends on it.
constexpr int rows_at_once = 2;

// Power sums of `rows` stretches that lie `stride` bytes apart; squares are added to the column
// sums, row after row. NEXT: the range of as many rows that follow is looked at meanwhile, and what
// comes after them is fetched. Floor: a conversion, three additions, three multiplications per
// vector, and five steps on integers for every 32 of 16 bits.
template <class From, int rows, bool NEXT = false>
void sum_powers(const char* codes, std::int64_t stride, std::int64_t n, double* columns,
                PowerSums* out, ExtremeLanes<From>* next = nullptr) {
  using V = typename Numbers<From>::V;
  constexpr auto size = static_cast<std::int64_t>(sizeof(typename From::Code));
  constexpr int width = lanes<double>;
  PowerLanes<V> lane[rows];
  const auto add = [&](const char* at, std::int64_t step, double* to) {
    V column = load_as(to, V{});
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const V x = Numbers<From>::at(at + r * step);
      column = column + (r % 2 == 1 && size < 8 ? lane[r].template add<true>(x)
                                                : lane[r].template add<false>(x));
    }
    store(to, column);
  };
  const std::int64_t whole = n / width * width;
  std::int64_t done = 0;
  if constexpr (NEXT) {
    constexpr std::int64_t step = ExtremeLanes<From>::at_a_time;
    ExtremeLanes<From> seen[rows];
    for (; done + step <= n; done += step) {
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        seen[r].look(codes + (rows + r) * stride + done * size);
        __builtin_prefetch(codes + (2 * rows + r) * stride + done * size, 0, 2);
      }
#pragma GCC unroll 8
      for (std::int64_t j = done; j < done + step; j += width)
        add(codes + j * size, stride, columns + j);
    }
    for (int r = 0; r < rows; ++r) next[r] = seen[r];
  }
  for (; done < whole; done += width) add(codes + done * size, stride, columns + done);
  // The rest of the vector is zero and adds nothing.
  if (const auto rest = static_cast<std::size_t>(n - whole); rest > 0) {
    char last[rows * width * size] = {};
    double sums[width] = {};
    for (int r = 0; r < rows; ++r)
      __builtin_memcpy(last + r * width * size, codes + r * stride + whole * size, rest * size);
    __builtin_memcpy(sums, columns + whole, rest * sizeof(double));
    add(last, width * size, sums);
    __builtin_memcpy(columns + whole, sums, rest * sizeof(double));
  }
  for (int r = 0; r < rows; ++r) out[r] = lane[r].sums();
}

// Power sums of one stretch about a pivot.
template <class From>
PowerSums powers_about(double pivot, const char* codes, std::int64_t n) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(typename From::Code));
  constexpr int width = lanes<double>;
  const Vector<double> center = broadcast(pivot);
  const std::int64_t whole = n / width * width;
  PowerLanes<Vector<double>> lane;
  for (std::int64_t j = 0; j < whole; j += width)
    lane.template add<false>(joined(Numbers<From>::at(codes + j * size)) - center);
  if (whole < n) {
    char last[width * size] = {};
    __builtin_memcpy(last, codes + whole * size, static_cast<std::size_t>((n - whole) * size));
    Vector<double> d = joined(Numbers<From>::at(last)) - center;
    for (std::int64_t e = n - whole; e < width; ++e) d[e] = 0.0;
    lane.template add<false>(d);
  }
  return lane.sums();
}

// Sums about zero, or taken again about the mean where those do not serve.
template <class From>
void set_moments(const char* codes, std::int64_t n, const PowerSums& s, const Extremes& e,
                 Stretch* out) {
  out->sum_squares = s.second;
  out->minimum = e.minimum;
  out->maximum = e.maximum;
  out->least = e.least;
  out->zeros = e.zeros;
  out->nans = out->infinities = 0;
  out->first_nonfinite = -1;
  const auto count = static_cast<double>(n);
  const auto multiplied_and_added = [](double a, double b, double c) {
    return multiply_add(a, b, c);
  };
  const double mean = s.first / count;
  if (serves(s, mean)) return set_central(count, 0.0, s, multiplied_and_added, out);
  const double pivot = e.minimum == e.maximum ? e.minimum : mean;
  set_central(count, pivot, powers_about<From>(pivot, codes, n), multiplied_and_added, out);
}

// The rare path for stretches with NaN or infinity. Such elements are left out of the row's sums
// and count as zeros in the columns. Two buffers are what the stack of a thread has room for: musl
// gives it 128 KiB.
template <class From>
void stretch_nonfinite(const char* codes, std::int64_t n, double* columns, Stretch* out) {
  double zeroed[stretch_length] = {}, finite[stretch_length];
  std::int64_t count = 0;
  Stretch bad = empty_stretch();
  for (std::int64_t i = 0; i < n; ++i) {
    const auto x = static_cast<double>(From::value(code_at<From>(codes, i)));
    zeroed[i] = __builtin_isfinite(x) ? x : 0.0;
    if (__builtin_isfinite(x)) {
      finite[count++] = x;
      continue;
    }
    if (__builtin_isnan(x)) ++bad.nans;
    else ++bad.infinities;
    if (bad.first_nonfinite < 0) bad.first_nonfinite = i;
  }
  PowerSums sums;
  sum_powers<FromF64, 1>(reinterpret_cast<const char*>(zeroed), 0, n, columns, &sums);
  *out = bad;
  if (count == 0) return;
  const char* numbers = reinterpret_cast<const char*>(finite);
  sum_powers<FromF64, 1>(numbers, 0, count, zeroed, &sums);  // the sums of columns are not used
  set_moments<FromF64>(numbers, count, sums, extremes_of<FromF64>(numbers, count), out);
  out->nans = bad.nans;
  out->infinities = bad.infinities;
  out->first_nonfinite = bad.first_nonfinite;
}

// AHEAD: more than rows_at_once rows may lie there.
template <class From, bool AHEAD = true>
void stretches_as(const char* codes, std::int64_t stride, std::int64_t rows, std::int64_t n,
                  double* columns, Stretch* out) {
  ExtremeLanes<From> lanes[rows_at_once];
  bool looked = false;  // at the next rows, in `lanes`
  for (std::int64_t i = 0; i < rows;) {
    const char* first = codes + i * stride;
    Extremes extremes[rows_at_once];
    bool finite = i + rows_at_once <= rows;
    const int here = finite ? rows_at_once : 1;
    for (int r = 0; r < here; ++r) {
      const char* row = first + r * stride;
      extremes[r] = looked ? lanes[r].of(row, n) : extremes_of<From>(row, n);
      finite &= extremes[r].finite;
    }
    PowerSums sums[rows_at_once];
    looked = AHEAD && finite && i + 2 * rows_at_once <= rows;
    if (looked) sum_powers<From, rows_at_once, true>(first, stride, n, columns, sums, lanes);
    else if (finite) sum_powers<From, rows_at_once>(first, stride, n, columns, sums);
    for (int r = 0; r < here; ++r) {
      const char* row = first + r * stride;
      if (!extremes[r].finite) {
        stretch_nonfinite<From>(row, n, columns, out + i + r);
        continue;
      }
      if (!finite) sum_powers<From, 1>(row, stride, n, columns, sums + r);
      set_moments<From>(row, n, sums[r], extremes[r], out + i + r);
    }
    i += here;
  }
}

// The squares and the largest magnitude of one stretch. The bytes `ahead` are prefetched.
template <class From>
void survey_as(const char* codes, std::int64_t n, std::int64_t ahead, Survey* out) {
  using V = typename Numbers<From>::V;
  constexpr int chains = 4, width = lanes<double>, step = chains * width;
  constexpr int size = sizeof(typename From::Code);
  V sums[chains] = {};
  Largest<From> largest;
  const auto add = [&](const char* at) {
    largest.look(at, step * size);
#pragma GCC unroll 4
    for (int c = 0; c < chains; ++c) {
      const V x = Numbers<From>::at(at + c * width * size);
      sums[c] = multiply_add(x, x, sums[c]);
    }
  };
  const std::int64_t whole = n / step * step;
  for (std::int64_t j = 0; j < whole; j += step) {
    for (int line = 0; line < step * size; line += 64)
      __builtin_prefetch(codes + j * size + line + ahead, 0, 2);
    add(codes + j * size);
  }
  if (whole < n) {
    char last[step * size] = {};
    __builtin_memcpy(last, codes + whole * size, static_cast<std::size_t>((n - whole) * size));
    add(last);
  }
  if (largest.code() < infinity_code<From>) {
    const double sum = sum_lanes(joined(sums[0] + sums[1])) + sum_lanes(joined(sums[2] + sums[3]));
    *out = {sum, number_of<From>(largest.code()), 0, 0, -1};
    return;
  }
  double columns[stretch_length] = {};
  Stretch all;
  stretch_nonfinite<From>(codes, n, columns, &all);
  *out = {all.sum_squares, 0.0, all.nans, all.infinities, all.first_nonfinite};
  if (all.count > 0) out->largest = all.maximum > -all.minimum ? all.maximum : -all.minimum;
}

void stretches(DType dtype, const void* codes, std::int64_t stride, std::int64_t rows,
               std::int64_t n, double* columns, Stretch* out) {
  const char* bytes = static_cast<const char*>(codes);
  switch (dtype) {
    case DType::f64: return stretches_as<FromF64>(bytes, stride, rows, n, columns, out);
    case DType::f32: return stretches_as<FromF32>(bytes, stride, rows, n, columns, out);
    case DType::f16: return stretches_as<FromF16>(bytes, stride, rows, n, columns, out);
    case DType::bf16: return stretches_as<FromBf16>(bytes, stride, rows, n, columns, out);
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: break;
  }
  float wide[rows_at_once * stretch_length];
  for (std::int64_t i = 0; i < rows; i += rows_at_once) {
    const std::int64_t here = rows - i < rows_at_once ? rows - i : rows_at_once;
    for (std::int64_t r = 0; r < here; ++r)
      widen_bytes(dtype, bytes + (i + r) * stride, n, wide + r * stretch_length);
    stretches_as<FromF32, false>(reinterpret_cast<const char*>(wide), stretch_length * 4, here, n,
                                 columns, out + i);
  }
}

void survey(DType dtype, const void* codes, std::int64_t n, std::int64_t ahead, Survey* out) {
  const char* bytes = static_cast<const char*>(codes);
  switch (dtype) {
    case DType::f64: return survey_as<FromF64>(bytes, n, ahead, out);
    case DType::f32: return survey_as<FromF32>(bytes, n, ahead, out);
    case DType::f16: return survey_as<FromF16>(bytes, n, ahead, out);
    case DType::bf16: return survey_as<FromBf16>(bytes, n, ahead, out);
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: break;
  }
  float wide[stretch_length];
  widen_bytes(dtype, bytes, n, wide);
  survey_as<FromF32>(reinterpret_cast<const char*>(wide), n, 0, out);
}

}  // namespace
}  // namespace sigmascope
