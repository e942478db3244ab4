// SPDX-License-Identifier: BSD-3-Clause
#include "bf16_numbers.hpp"

#include <algorithm>
#include <cmath>

namespace sigmascope::device {

namespace {

bool is_narrow(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2 ||
         dtype == DType::f4_e2m1;
}

bool has_bf16_numbers(const Tile& tile) {
  if (!is_narrow(tile.dtype) || !is_power_of_two(tile.coefficient)) return false;
  return !tile.scale || std::ranges::all_of(*tile.scale->values, [](float scale) {
    return is_power_of_two(static_cast<double>(scale));
  });
}

bool overlap(const Tile& a, const Tile& b) {
  return a.row0 < b.row0 + b.rows && b.row0 < a.row0 + a.rows && a.col0 < b.col0 + b.cols &&
         b.col0 < a.col0 + a.cols;
}

}  // namespace

bool is_power_of_two(double number) {
  int exponent = 0;
  return std::abs(std::frexp(number, &exponent)) == 0.5;
}

bool has_bf16_numbers(const Matrix& matrix) {
  if (matrix.layers() > 1) return false;
  for (std::size_t i = 0; i < matrix.tiles.size(); ++i) {
    if (!has_bf16_numbers(matrix.tiles[i])) return false;
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(matrix.tiles[i], matrix.tiles[j])) return false;
  }
  return true;
}

}  // namespace sigmascope::device
