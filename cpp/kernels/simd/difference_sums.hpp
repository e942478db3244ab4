// SPDX-License-Identifier: BSD-3-Clause
// Sums over a stretch of two rows, of the numbers before and of their differences, in fp64, from
// the stored codes of both. In fp64 the difference of two numbers of any format but fp64 is as good
// as exact. Lanes depend on the place in the stretch alone, so that equal numbers give equal bits,
// however they are stored.
#pragma once

#include <cstdint>

#include "kernels/simd/element_lanes.hpp"
#include "kernels/simd/element_statistics.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {
namespace {

// Smallest exponent of normal numbers; none for formats whose units are not summed.
template <class From>
constexpr double least_unit = 0;
template <>
constexpr double least_unit<FromBf16> = 0x1p-126;
template <>
constexpr double least_unit<FromF16> = 0x1p-14;

inline Vector<double> magnitude(Vector<double> x) {
  using Bits = Vector<std::int64_t>;
  return (Vector<double>)((Bits)x & broadcast(~(std::int64_t{1} << 63)));
}

// -1 in lanes where d is at most a small part of the larger of two numbers, else 0.
inline Vector<std::int64_t> is_unchanged(Vector<double> d, Vector<double> w, Vector<double> next) {
  const Vector<double> one = magnitude(w), two = magnitude(next), larger = one > two ? one : two;
  return magnitude(d) <= larger * unchanged_part;
}

// See ChangeSums.
template <class From>
Vector<double> unit_squared(Vector<double> x) {
  constexpr double least = least_unit<From>;
  using Bits = Vector<std::int64_t>;
  const Bits exponent = broadcast(std::int64_t{0x7ff} << 52);
  const auto power = (Vector<double>)((Bits)x & exponent);
  const Vector<double> size = magnitude(x);
  const Vector<double> smallest = broadcast(least), unit = power < smallest ? smallest : power;
  const Vector<double> square = unit * unit;
  return (size == unit) & (unit > smallest) ? square * 0.75 : square;
}

template <class From>
struct ChangeLanes {
  using V = typename Numbers<From>::V;
  V before2{}, after2{}, change2{}, product{};
  Vector<double> before_units2{}, after_units2{};
  Vector<std::int64_t> unchanged{};

  void add(V w, V next) {
    const V d = next - w;
    before2 = multiply_add(w, w, before2);
    after2 = multiply_add(next, next, after2);
    change2 = multiply_add(d, d, change2);
    product = multiply_add(w, d, product);
    unchanged -= is_unchanged(joined(d), joined(w), joined(next));
    if constexpr (least_unit<From> > 0) {
      before_units2 += unit_squared<From>(w);
      after_units2 += unit_squared<From>(next);
    }
  }
};

template <class From>
ChangeSums change_as(const char* before, const char* after, std::int64_t n) {
  using Of = Numbers<From>;
  constexpr std::int64_t width = lanes<double>, size = sizeof(typename From::Code);
  constexpr int chains = 2;  // additions of one wait for each other
  ChangeLanes<From> lane[chains];
  std::int64_t j = 0;
  for (; j + chains * width <= n; j += chains * width)
    for (int c = 0; c < chains; ++c)
      lane[c].add(Of::at(before + (j + c * width) * size), Of::at(after + (j + c * width) * size));
  double beyond = 0;
  std::int64_t added = 0;
  if (j < n) {  // what is added is zero, but for its units and the count of unchanged entries
    char was[chains * width * size] = {}, is[chains * width * size] = {};
    __builtin_memcpy(was, before + j * size, static_cast<std::size_t>((n - j) * size));
    __builtin_memcpy(is, after + j * size, static_cast<std::size_t>((n - j) * size));
    for (int c = 0; c < chains; ++c)
      lane[c].add(Of::at(was + c * width * size), Of::at(is + c * width * size));
    added = j + chains * width - n;
    beyond = static_cast<double>(added) * least_unit<From> * least_unit<From>;
  }
  const auto sum = [&](auto part) { return sum_lanes(joined(part(lane[0]) + part(lane[1]))); };
  ChangeSums total;
  total.before2 = sum([](const auto& l) { return l.before2; });
  total.after2 = sum([](const auto& l) { return l.after2; });
  total.change2 = sum([](const auto& l) { return l.change2; });
  total.product = sum([](const auto& l) { return l.product; });
  total.before_units2 = sum([](const auto& l) { return l.before_units2; }) - beyond;
  total.after_units2 = sum([](const auto& l) { return l.after_units2; }) - beyond;
  total.units = least_unit<From> > 0 ? n : 0;
  total.unchanged = -added;
  for (int i = 0; i < lanes<double>; ++i)
    total.unchanged += lane[0].unchanged[i] + lane[1].unchanged[i];
  return total;
}

// See ElementKernels::difference.
ChangeSums change(DType dtype, const void* before, const void* after, std::int64_t n) {
  const char *was = static_cast<const char*>(before), *is = static_cast<const char*>(after);
  switch (dtype) {
    case DType::f64: return change_as<FromF64>(was, is, n);
    case DType::f32: return change_as<FromF32>(was, is, n);
    case DType::f16: return change_as<FromF16>(was, is, n);
    case DType::bf16: return change_as<FromBf16>(was, is, n);
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: break;
  }
  float wide_was[stretch_length], wide_is[stretch_length];
  widen_bytes(dtype, was, n, wide_was);
  widen_bytes(dtype, is, n, wide_is);
  return change_as<FromF32>(reinterpret_cast<const char*>(wide_was),
                            reinterpret_cast<const char*>(wide_is), n);
}

}  // namespace
}  // namespace sigmascope
