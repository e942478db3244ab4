// SPDX-License-Identifier: BSD-3-Clause
// Products with a sparse matrix, entry by entry.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// See BlockKernels::add_entries.
void add_entries(std::int64_t count, const std::uint32_t* from, const std::uint32_t* to,
                 const float* values, float factor, std::int64_t width, const float* x,
                 std::int64_t start, float* y) {
  constexpr std::int64_t ahead = 8;
  for (std::int64_t e = 0; e < count; ++e) {
    const float* source = x + from[e] * width;
    float* sum = y + (to[e] - start) * width;
    if (e + ahead < count) __builtin_prefetch(x + from[e + ahead] * width);
    const Vector<float> value = broadcast(factor * values[e]);
    for (std::int64_t j = 0; j < width; j += lanes<float>)
      store(sum + j, multiply_add(value, load(source + j), load(sum + j)));
  }
}

}  // namespace
}  // namespace sigmascope
