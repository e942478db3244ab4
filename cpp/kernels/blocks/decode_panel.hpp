// SPDX-License-Identifier: BSD-3-Clause
// A panel's pieces decoded, scaled and summed into a row-major array.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

constexpr std::int64_t short_run = 2048;  // bytes
constexpr std::int64_t rows_ahead = 12;
constexpr std::int64_t summed_bytes = std::int64_t{24} << 10;  // half of an L1 cache

// Decodes n contiguous codes, times a coefficient. If stored numbers or the coefficient may lie
// outside the range of fp32 while their product does not, the product is made in fp64.
inline bool of_usual_size(double coefficient) {
  return std::abs(coefficient) <= 0x1p60 && std::abs(coefficient) >= 0x1p-60;
}

template <class T>
void decode_times(const Isa& isa, DType dtype, const std::byte* source, std::int64_t n,
                  double coefficient, Write write, T* dst) {
  if (std::is_same_v<T, double> || of_usual_size(coefficient))
    return IsaOf<T>::decode(isa)(dtype, source, n, static_cast<T>(coefficient), write, dst);
  constexpr std::int64_t at_once = 256;
  std::array<double, at_once> exact;
  for (std::int64_t e = 0; e < n; e += at_once) {
    const std::int64_t here = std::min(at_once, n - e);
    isa.conversions.decode_f64(dtype, source + e * info(dtype).size, here, coefficient,
                               Write::replace, exact.data());
    for (std::int64_t i = 0; i < here; ++i) {
      const T number = static_cast<T>(exact[as_size(i)]);
      dst[e + i] = write == Write::add ? dst[e + i] + number : number;
    }
  }
}

// The direction of a run of elements.
enum class RunAxis { along_row, down_column };

// Decodes `count` elements that start at (i, j) of the piece and run along its columns (or down its
// rows) into dst, in runs that share one scale.
template <class T>
void decode_run(const Isa& isa, const Piece& piece, std::int64_t i, std::int64_t j,
                std::int64_t count, RunAxis axis, double factor, Write write,
                std::vector<std::byte>& scratch, T* dst) {
  const bool down = axis == RunAxis::down_column;
  const Tile& tile = *piece.tile;
  const std::int64_t size = info(tile.dtype).size;
  const std::int64_t step = down ? piece.row_stride : piece.col_stride;
  const std::byte* source = piece.data + i * piece.row_stride + j * piece.col_stride;
  if (step != size) {  // neither row- nor column-major: gather the codes first
    scratch.resize(as_size(count * size));
    for (std::int64_t e = 0; e < count; ++e)
      std::memcpy(scratch.data() + e * size, source + e * step, as_size(size));
    source = scratch.data();
  }
  const double coefficient = factor * tile.coefficient;
  if (!tile.scale) return decode_times(isa, tile.dtype, source, count, coefficient, write, dst);
  const std::int64_t row = tile.scale_row0 + (piece.tile_row0 + i) * tile.scale_row_step;
  const std::int64_t col = tile.scale_col0 + (piece.tile_col0 + j) * tile.scale_col_step;
  const std::int64_t block = down ? tile.scale->block_rows : tile.scale->block_cols;
  const std::int64_t scale_step = down ? tile.scale_row_step : tile.scale_col_step;
  for (std::int64_t e = 0; e < count;) {
    const std::int64_t at = (down ? row : col) + e * scale_step;
    const std::int64_t run =
        std::min(count - e, (block - at % block + scale_step - 1) / scale_step);
    const float scale = down ? tile.scale->at(at, col) : tile.scale->at(row, at);
    decode_times(isa, tile.dtype, source + e * size, run, coefficient * scale, write, dst + e);
    e += run;
  }
}

// Rows [i0, i1) x columns [j0, j1) of the panel, times factor; element (i, j) at out[(i - i0)*ld +
// (j - j0)]. Overlapping pieces are summed here, before any product: a difference of checkpoints is
// a thousand times smaller than its terms, and (A - B) X is not A X - B X in floating point.
template <class T>
void decode_panel(const Isa& isa, const Panel& panel, std::int64_t i0, std::int64_t i1,
                  std::int64_t j0, std::int64_t j1, double factor, T* out, std::int64_t ld,
                  std::vector<std::byte>& scratch) {
  // The factor is applied to the sum: a term times the factor may leave the range of T.
  if (!panel.covered_once && !of_usual_size(factor)) {
    std::vector<double> row(as_size(j1 - j0));
    for (std::int64_t i = i0; i < i1; ++i) {
      decode_panel(isa, panel, i, i + 1, j0, j1, 1.0, row.data(), j1 - j0, scratch);
      for (std::int64_t j = 0; j < j1 - j0; ++j)
        out[(i - i0) * ld + j] = static_cast<T>(factor * row[as_size(j)]);
    }
    return;
  }
  const auto covers = [&](const Piece& p) {
    return p.row0 <= i0 && i1 <= p.row0 + p.rows && p.col0 <= j0 && j1 <= p.col0 + p.cols;
  };
  const auto down = [](const Piece& p) {  // column-major
    const std::int64_t size = info(p.tile->dtype).size;
    return p.row_stride == size && p.col_stride != size;
  };
  // Where pieces add up, as many rows at a time as stay at hand until the last is added.
  const std::int64_t row_bytes =
                         std::max<std::int64_t>(j1 - j0, 1) * static_cast<std::int64_t>(sizeof(T)),
                     few = std::max<std::int64_t>(summed_bytes / row_bytes, 1);
  if (!panel.covered_once && i1 - i0 > few &&
      std::none_of(panel.pieces.begin(), panel.pieces.end(), down)) {
    for (std::int64_t i = i0; i < i1; i += few)
      decode_panel(isa, panel, i, std::min(i + few, i1), j0, j1, factor, out + (i - i0) * ld, ld,
                   scratch);
    return;
  }
  // If nothing is added, the first piece writes.
  bool add = !panel.covered_once && (panel.pieces.empty() || !covers(panel.pieces.front()));
  if (add)
    for (std::int64_t i = i0; i < i1; ++i) std::fill_n(out + (i - i0) * ld, j1 - j0, T(0));
  std::vector<T> column;
  for (const Piece& piece : panel.pieces) {
    const std::int64_t top = std::max(i0, piece.row0),
                       bottom = std::min(i1, piece.row0 + piece.rows);
    const std::int64_t left = std::max(j0, piece.col0),
                       right = std::min(j1, piece.col0 + piece.cols);
    if (top >= bottom || left >= right) continue;
    const std::int64_t size = info(piece.tile->dtype).size;
    if (down(piece)) {  // decode, then transpose
      column.resize(as_size(bottom - top));
      for (std::int64_t j = left; j < right; ++j) {
        decode_run(isa, piece, top - piece.row0, j - piece.col0, bottom - top, RunAxis::down_column,
                   factor, Write::replace, scratch, column.data());
        T* target = out + (top - i0) * ld + (j - j0);
        for (std::int64_t i = 0; i < bottom - top; ++i) {
          T& element = target[i * ld];
          element = add ? element + column[as_size(i)] : column[as_size(i)];
        }
      }
    } else {
      const std::int64_t bytes = (right - left) * size;
      for (std::int64_t i = top; i < bottom; ++i) {
        // The next rows are fetched meanwhile: no hardware prefetcher follows from row to row, or
        // two matrices at once.
        const std::int64_t next = i + (bytes <= short_run ? rows_ahead : 1);
        if (next < piece.row0 + piece.rows) {
          const std::byte* ahead = piece.data + (next - piece.row0) * piece.row_stride +
                                   (left - piece.col0) * piece.col_stride;
          for (std::int64_t e = 0; e < bytes; e += 64) __builtin_prefetch(ahead + e);
          __builtin_prefetch(ahead + bytes - 1);
        }
        decode_run(isa, piece, i - piece.row0, left - piece.col0, right - left, RunAxis::along_row,
                   factor, add ? Write::add : Write::replace, scratch,
                   out + (i - i0) * ld + (left - j0));
      }
    }
    add = !panel.covered_once;
  }
}

// True if the numbers of a panel can be read where they are: whole rows of this type, nothing to
// scale.
template <class T>
bool is_plain(const Panel& panel, DType dtype) {
  if (panel.pieces.size() != 1 || !panel.covered_once) return false;
  const Piece& piece = panel.pieces.front();
  return piece.tile->dtype == dtype && piece.tile->coefficient == 1.0 && !piece.tile->scale &&
         piece.col_stride == sizeof(T) && piece.aligned_to(alignof(T));
}

// True if a matrix, and so each of its panels, is one tensor of bf16 numbers, stored by rows, with
// nothing to scale.
inline bool is_one_of_bf16(const Matrix& a) {
  if (a.tiles.size() != 1) return false;
  const Tile& t = a.tiles.front();
  return t.dtype == DType::bf16 && t.coefficient == 1.0 && !t.scale && t.col_stride == 2 &&
         t.row0 == 0 && t.col0 == 0 && t.rows == a.rows && t.cols == a.cols;
}

// A power of two commutes with rounding: a view's factor goes into the blocks, so that stored
// numbers need no arithmetic, unless it is so large that a block would leave the range.
struct Factors {
  double block, panel;
  explicit Factors(double factor)
      : block(std::abs(std::log2(factor)) < 60 ? factor : 1.0),
        panel(block == factor ? 1.0 : factor) {}
};

struct DecodeScratch {
  std::vector<std::byte> codes;
  std::vector<float> numbers;
};

// The same rounded to bf16: element (i, j) at out[(i - i0)*ld + (j - j0)]. Whatever the storage,
// the sum of an element's pieces is rounded once.
inline void decode_bf16(const Isa& isa, const Panel& panel, std::int64_t i0, std::int64_t i1,
                        std::int64_t j0, std::int64_t j1, double factor, std::uint16_t* out,
                        std::int64_t ld, DecodeScratch& scratch) {
  if (panel.pieces.size() == 1 && panel.covered_once) {
    const Piece& piece = panel.pieces.front();
    const Tile& tile = *piece.tile;
    const bool plain = factor * tile.coefficient == 1.0 && !tile.scale &&
                       piece.col_stride == info(tile.dtype).size;
    if (plain && (tile.dtype == DType::bf16 ||
                  (tile.dtype == DType::f32 && piece.aligned_to(alignof(float))))) {
      for (std::int64_t i = i0; i < i1; ++i) {
        const std::byte* source = piece.data + i * piece.row_stride + j0 * piece.col_stride;
        std::uint16_t* to = out + (i - i0) * ld;
        if (tile.dtype == DType::bf16) std::memcpy(to, source, as_size(2 * (j1 - j0)));
        else isa.conversions.round_bf16(reinterpret_cast<const float*>(source), j1 - j0, 1.0f, to);
      }
      return;
    }
  }
  scratch.numbers.resize(as_size(j1 - j0));
  for (std::int64_t i = i0; i < i1; ++i) {
    decode_panel(isa, panel, i, i + 1, j0, j1, factor, scratch.numbers.data(), j1 - j0,
                 scratch.codes);
    isa.conversions.round_bf16(scratch.numbers.data(), j1 - j0, 1.0f, out + (i - i0) * ld);
  }
}

}  // namespace sigmascope
