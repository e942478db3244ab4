// SPDX-License-Identifier: BSD-3-Clause
#include "panels/bf16_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sigmascope::device {

namespace {

constexpr int part_bits = 8, most_parts_of_a_matrix = 2, too_many = 64;

int significant_bits(DType dtype) {
  switch (dtype) {
    case DType::f64: return 53;
    case DType::f32: return 24;
    case DType::f16: return 11;
    case DType::bf16: return 8;
    case DType::f8_e4m3: return 4;
    case DType::f8_e5m2: return 3;
    case DType::f4_e2m1: return 2;
  }
  return too_many;
}

// Significant bits that a factor may add to those of a number.
int added_bits(double factor) {
  int exponent = 0;
  double rest = std::abs(std::frexp(factor, &exponent));
  if (rest == 0.5) return 0;
  if (!(rest > 0) || !std::isfinite(rest)) return too_many;
  int bits = 0;
  for (; rest > 0 && bits <= part_bits; ++bits) rest = 2 * rest - std::floor(2 * rest);
  return rest > 0 ? too_many : bits;
}

int significant_bits(const Tile& tile) {
  int of_scales = 0;
  if (tile.scale)
    for (const float scale : *tile.scale->values)
      if (of_scales = std::max(of_scales, added_bits(static_cast<double>(scale)));
          of_scales == too_many)
        break;
  return significant_bits(tile.dtype) + added_bits(tile.coefficient) + of_scales;
}

bool overlap(const Tile& a, const Tile& b) {
  return a.row0 < b.row0 + b.rows && b.row0 < a.row0 + a.rows && a.col0 < b.col0 + b.cols &&
         b.col0 < a.col0 + a.cols;
}

}  // namespace

bool is_power_of_two(double number) { return added_bits(number) == 0; }

int bf16_parts(const Matrix& matrix) {
  if (matrix.layers() > 1) return 0;
  int parts = 1;
  for (std::size_t i = 0; i < matrix.tiles.size(); ++i) {
    parts = std::max(parts, (significant_bits(matrix.tiles[i]) + part_bits - 1) / part_bits);
    if (parts > most_parts_of_a_matrix) return 0;
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(matrix.tiles[i], matrix.tiles[j])) return 0;
  }
  return parts;
}

}  // namespace sigmascope::device
