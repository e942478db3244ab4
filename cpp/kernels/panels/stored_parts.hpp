// SPDX-License-Identifier: BSD-3-Clause
// Number of bf16 parts whose sum equals a stored number (1 for bf16 and fp8, 2 for fp16, 3 for
// fp32), and their layout for products by tiles.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/blocks/decode_panel.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

inline bool power_of_two(double x) {
  int exponent = 0;
  return std::abs(std::frexp(x, &exponent)) == 0.5;
}

// Parts that hold every element as it is stored.
inline int stored_parts(const Matrix& a) {
  const auto is_part = [](const Tile& t) { return t.remainder && t.coefficient == 1.0; };
  if (a.tiles.size() > 1 && std::all_of(a.tiles.begin() + 1, a.tiles.end(), is_part) &&
      a.tiles.front().coefficient == 1.0)
    return static_cast<int>(a.tiles.size());
  if (a.tiles.size() != 1) return tile_parts;
  const Tile& t = a.tiles.front();
  if (t.scale || !power_of_two(t.coefficient)) return tile_parts;
  switch (t.dtype) {
    case DType::bf16:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f4_e2m1: return 1;
    case DType::f16: return 2;
    default: return tile_parts;
  }
}

// Number of parts of a panel that lie in memory as products by tiles take them, `stride` codes from
// one to the next; 0: they do not.
inline int parts_at_hand(const Panel& panel, std::int64_t& stride) {
  const Piece* last = nullptr;
  stride = 0;
  for (const Piece& piece : panel.pieces) {
    const Tile& t = *piece.tile;
    if (t.dtype != DType::bf16 || t.coefficient != 1.0 || t.scale || piece.col_stride != 2 ||
        !piece.aligned_to(2) || piece.rows != panel.rows || piece.cols != panel.cols ||
        t.remainder != (last != nullptr))
      return 0;
    if (last) {
      const std::int64_t step = (piece.data - last->data) / 2;
      if (piece.row_stride != last->row_stride || (stride != 0 && step != stride)) return 0;
      stride = step;
    }
    last = &piece;
  }
  return static_cast<int>(panel.pieces.size());
}

// The rows of a panel as sums of bf16 rows in memory, if they are such sums.
class Summands {
 public:
  static constexpr std::size_t most = 4;
  Summands(const Panel& panel, double factor) : panel_(panel), factor_(factor) {
    const auto whole_bf16 = [&](const Piece& piece) {
      return piece.tile->dtype == DType::bf16 && !piece.tile->scale && piece.col_stride == 2 &&
             piece.rows == panel.rows && piece.cols == panel.cols;
    };
    const auto fits = [&](const Piece& piece) {
      return of_usual_size(factor * piece.tile->coefficient);
    };
    if (panel.pieces.size() > 1 && panel.pieces.size() <= most &&
        std::all_of(panel.pieces.begin(), panel.pieces.end(), whole_bf16) &&
        std::all_of(panel.pieces.begin(), panel.pieces.end(), fits))
      count_ = static_cast<int>(panel.pieces.size());
  }
  int count() const { return count_; }
  // They are added up in the order of decode_panel, with its factors.
  std::array<Summand, most> row(std::int64_t i) const {
    std::array<Summand, most> of{};
    for (std::size_t t = 0; t < as_size(count_); ++t) {
      const Piece& piece = panel_.pieces[t];
      of[t] = {.codes = piece.data + i * piece.row_stride,
               .ahead = i + 1 < panel_.rows ? piece.row_stride : 0,
               .factor = static_cast<float>(factor_ * piece.tile->coefficient)};
    }
    return of;
  }

 private:
  const Panel& panel_;
  double factor_;
  int count_ = 0;
};

}  // namespace sigmascope
