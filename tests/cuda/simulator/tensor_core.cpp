// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/tensor_core.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace sigmascope::simulator {

namespace {

// Products of bf16 numbers, subnormal ones too, are normal numbers of fp64.
constexpr int bias = 1023, no_exponent = -bias;

int exponent(double x) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ffU) - bias;
}
double power_of_two(int e) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(e + bias) << 52);
}

float truncated(double x) {
  const auto nearest = static_cast<float>(x);
  return std::abs(static_cast<double>(nearest)) > std::abs(x) ? std::nextafter(nearest, 0.0F)
                                                              : nearest;
}

float exact_sum(float sum, const Terms& products) {
  double total = static_cast<double>(sum);
  for (const double product : products) total += product;
  return static_cast<float>(total);
}

}  // namespace

float tensor_core_sum(const TensorCore& core, float sum, const Terms& left, const Terms& right) {
  Terms products;
  std::ranges::transform(left, right, products.begin(), std::multiplies<>());  // exact in fp64
  const auto is_finite = [](double x) { return std::isfinite(x); };
  if (core.terms == 0 || !std::isfinite(sum) || !std::ranges::all_of(products, is_finite))
    return exact_sum(sum, products);
  for (int first = 0; first < mma_depth; first += core.terms) {
    const auto begin = products.begin() + first, end = begin + core.terms;
    int largest = exponent(static_cast<double>(sum));
    for (auto product = begin; product != end; ++product)
      largest = std::max(largest, exponent(*product));
    if (largest == no_exponent) continue;
    const int digits = 23 + core.extra_bits - largest;
    const double scale = power_of_two(digits);
    auto units = static_cast<std::int64_t>(static_cast<double>(sum) * scale);  // truncates
    for (auto product = begin; product != end; ++product)
      units += static_cast<std::int64_t>(*product * scale);
    sum = truncated(static_cast<double>(units) * power_of_two(-digits));
  }
  return sum;
}

}  // namespace sigmascope::simulator
