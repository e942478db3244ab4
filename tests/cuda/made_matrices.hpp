// SPDX-License-Identifier: BSD-3-Clause
// Random matrices of tiles of every dtype, layout and scale, at any byte offset.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "matrix/matrix.hpp"

namespace made {

using sigmascope::DType;
using sigmascope::Matrix;
using sigmascope::Tile;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 1) {}

  std::uint64_t bits() {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
  }
  // Of [from, to], which is not empty.
  std::int64_t between(std::int64_t from, std::int64_t to) {
    return from + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(to - from + 1));
  }
  bool one_in(std::int64_t n) { return between(1, n) == 1; }
  template <class T>
  T among(std::initializer_list<T> all) {
    return all.begin()[between(0, static_cast<std::int64_t>(all.size()) - 1)];
  }
  double number() {  // of (-4, 4)
    return static_cast<double>(static_cast<std::int64_t>(bits()) >> 11) * 0x1p-50;
  }

 private:
  std::uint64_t state_;
};

// Bits are random in one tile of four, so that there are NaN, infinities and subnormal numbers.
inline void fill(Random& random, DType dtype, std::byte* to, bool any_bits) {
  const auto size = static_cast<std::size_t>(sigmascope::info(dtype).size);
  if (dtype == DType::f64 && !any_bits) {
    const double number = random.one_in(9) ? 0.0 : random.number();
    std::memcpy(to, &number, sizeof number);
  } else if (dtype == DType::f32 && !any_bits) {
    const float number = random.one_in(9) ? 0.0F : static_cast<float>(random.number());
    std::memcpy(to, &number, sizeof number);
  } else {
    std::uint64_t bits = random.bits();
    if (!any_bits) bits &= ~(std::uint64_t{1} << (size == 2 ? 13 : 5));  // of the exponent
    std::memcpy(to, &bits, size);
  }
}

// Strides of one of many layouts; those of a packed dtype count bytes too.
inline void lay_out(Random& random, Tile& tile) {
  const std::int64_t size = sigmascope::info(tile.dtype).size, gap = random.between(0, 9);
  const bool by_columns = random.one_in(3);
  std::int64_t &inner = by_columns ? tile.row_stride : tile.col_stride,
               &outer = by_columns ? tile.col_stride : tile.row_stride;
  const std::int64_t along = by_columns ? tile.rows : tile.cols;
  inner = random.one_in(4) ? size * random.between(2, 3) : size;
  outer = std::max<std::int64_t>(along, 1) * inner + (random.one_in(2) ? gap : 0);
  if (random.one_in(6)) inner = random.among<std::int64_t>({0, -inner});
  if (random.one_in(6)) outer = random.among<std::int64_t>({0, -outer, size});
}

inline void store(Random& random, Tile& tile) {
  const std::int64_t size = sigmascope::info(tile.dtype).size;
  const std::int64_t down = std::max<std::int64_t>(tile.rows - 1, 0) * tile.row_stride,
                     right = std::max<std::int64_t>(tile.cols - 1, 0) * tile.col_stride;
  tile.origin =
      random.between(0, 15) - std::min<std::int64_t>(down, 0) - std::min<std::int64_t>(right, 0);
  const std::int64_t end =
      tile.origin + std::max<std::int64_t>(down, 0) + std::max<std::int64_t>(right, 0) + size;
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(end));
  const bool any_bits = random.one_in(4);
  for (std::int64_t i = 0; i < tile.rows; ++i)
    for (std::int64_t j = 0; j < tile.cols; ++j)
      fill(random, tile.dtype,
           bytes->data() + tile.origin + i * tile.row_stride + j * tile.col_stride, any_bits);
  tile.bytes = sigmascope::Bytes::in_memory(bytes->data(), bytes->size(), bytes);
}

// Scales of a tensor of which the tile is a slice with steps.
inline void scale(Random& random, Tile& tile) {
  auto made = std::make_shared<sigmascope::Scale>();
  const std::int64_t one = 1, all = std::int64_t{1} << 40;
  made->block_rows = random.among({one, one + 1, random.between(3, 40), all});
  made->block_cols = random.among({one, one + 1, random.between(3, 40), all});
  tile.scale_row0 = random.between(0, 50), tile.scale_col0 = random.between(0, 50);
  tile.scale_row_step = random.between(1, 3), tile.scale_col_step = random.between(1, 3);
  const std::int64_t rows =
                         (tile.scale_row0 + tile.rows * tile.scale_row_step) / made->block_rows + 1,
                     cols =
                         (tile.scale_col0 + tile.cols * tile.scale_col_step) / made->block_cols + 1;
  const bool by_columns = random.one_in(2);
  made->row_stride = by_columns ? 1 : cols, made->col_stride = by_columns ? rows : 1;
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  for (float& value : values)
    value = static_cast<float>(random.number() * (random.one_in(8) ? 0x1p70 : 1.0));
  made->values = std::make_shared<const std::vector<float>>(std::move(values));
  tile.scale = made;
}

inline Tile tile(Random& random, std::int64_t rows, std::int64_t cols) {
  Tile made;
  made.dtype = sigmascope::dtype_table[static_cast<std::size_t>(random.between(0, 6))].dtype;
  made.rows = rows, made.cols = cols;
  lay_out(random, made);
  store(random, made);
  made.coefficient =
      random.among({1.0, 1.0, -1.0, 0.3, -1.7e-5, 1.1 * 0x1p100, -1.3 * 0x1p-100, 0.0});
  if (random.one_in(2)) scale(random, made);
  return made;
}

// One tile, four that cover the matrix once, or some that overlap or leave gaps.
inline Matrix matrix(Random& random) {
  const auto extent = [&] {
    return random.one_in(4)    ? random.among<std::int64_t>({0, 1, 2, 31, 32, 33, 64})
           : random.one_in(12) ? random.between(1000, 4200)
                               : random.between(1, 140);
  };
  Matrix made;
  made.rows = extent(), made.cols = made.rows > 999 ? random.between(1, 9) : extent();
  const auto add = [&](std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) {
    Tile added = tile(random, i1 - i0, j1 - j0);
    added.row0 = i0, added.col0 = j0;
    made.tiles.push_back(std::move(added));
  };
  const std::int64_t m = made.rows, n = made.cols, kind = random.between(0, 3);
  if (kind == 1) {
    const std::int64_t i = random.between(0, m), j = random.between(0, n);
    add(0, i, 0, j), add(i, m, 0, j), add(0, i, j, n), add(i, m, j, n);
    return made;
  }
  if (kind <= 2) add(0, m, 0, n);
  if (kind < 2) return made;
  for (std::int64_t count = random.between(0, 3); count > 0; --count) {
    std::int64_t i0 = random.between(0, m), i1 = random.between(i0, m);
    std::int64_t j0 = random.between(0, n), j1 = random.between(j0, n);
    if (random.one_in(3)) j0 = 0, j1 = n;
    if (random.one_in(3)) i0 = 0, i1 = m;
    add(i0, i1, j0, j1);
  }
  return made;
}

}  // namespace made
