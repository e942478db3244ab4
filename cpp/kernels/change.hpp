// SPDX-License-Identifier: BSD-3-Clause
// Sums over a stretch of two rows, of what was and of what is more, in fp64, from the stored codes of both: where the
// difference of two numbers of any format but fp64 is as good as exact. Lanes depend on nothing but the place in the
// stretch, so that the same numbers give the same bits, however they are stored.
// For isa.cpp alone: everything has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/codes.hpp"
#include "kernels/isa.hpp"
#include "kernels/stretch.hpp"

namespace sigmascope {
namespace {

template <class V>
struct ChangeLanes {
  V before2{}, change2{}, product{};

  void add(V w, V next) {
    const V d = next - w;
    before2 = multiply_add(w, w, before2);
    change2 = multiply_add(d, d, change2);
    product = multiply_add(w, d, product);
  }
};

template <class From>
ChangeSums change_as(const char* before, const char* after, std::int64_t n) {
  using Of = Numbers<From>;
  constexpr std::int64_t width = lanes<double>, size = sizeof(typename From::Code);
  constexpr int chains = 2;  // additions of one wait for each other
  ChangeLanes<typename Of::V> lane[chains];
  std::int64_t j = 0;
  for (; j + chains * width <= n; j += chains * width)
    for (int c = 0; c < chains; ++c)
      lane[c].add(Of::at(before + (j + c * width) * size), Of::at(after + (j + c * width) * size));
  if (j < n) {  // what is added is zero
    char was[chains * width * size] = {}, is[chains * width * size] = {};
    __builtin_memcpy(was, before + j * size, static_cast<std::size_t>((n - j) * size));
    __builtin_memcpy(is, after + j * size, static_cast<std::size_t>((n - j) * size));
    for (int c = 0; c < chains; ++c) lane[c].add(Of::at(was + c * width * size), Of::at(is + c * width * size));
  }
  return {sum_lanes(joined(lane[0].before2 + lane[1].before2)), sum_lanes(joined(lane[0].change2 + lane[1].change2)),
          sum_lanes(joined(lane[0].product + lane[1].product))};
}

// See Isa::change.
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
  return change_as<FromF32>(reinterpret_cast<const char*>(wide_was), reinterpret_cast<const char*>(wide_is), n);
}

}  // namespace
}  // namespace sigmascope
