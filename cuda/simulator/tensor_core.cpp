// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/tensor_core.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sigmascope::simulator {

namespace {

constexpr int zero = std::numeric_limits<int>::min();

int exponent(double x) { return x == 0 ? zero : std::ilogb(x); }

float truncated(double x) {
  const auto nearest = static_cast<float>(x);
  return std::abs(static_cast<double>(nearest)) > std::abs(x) ? std::nextafter(nearest, 0.0F)
                                                              : nearest;
}

}  // namespace

float tensor_core_sum(const TensorCore& core, float sum, const Terms& left, const Terms& right) {
  Terms products;
  std::ranges::transform(left, right, products.begin(), std::multiplies<>());  // exact in fp64
  if (core.terms == 0) {
    double total = static_cast<double>(sum);
    for (const double product : products) total += product;
    return static_cast<float>(total);
  }
  for (int first = 0; first < mma_depth; first += core.terms) {
    const auto begin = products.begin() + first, end = begin + core.terms;
    int largest = exponent(static_cast<double>(sum));
    for (auto product = begin; product != end; ++product)
      largest = std::max(largest, exponent(*product));
    if (largest == zero) continue;
    const double unit = std::ldexp(1.0, largest - 23 - core.extra_bits);
    double units = std::trunc(static_cast<double>(sum) / unit);
    for (auto product = begin; product != end; ++product) units += std::trunc(*product / unit);
    sum = truncated(units * unit);
  }
  return sum;
}

}  // namespace sigmascope::simulator
