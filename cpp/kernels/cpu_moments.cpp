// SPDX-License-Identifier: BSD-3-Clause
// Statistics of every element in one pass, fp64; every sum in an order that the matrix fixes.
#include <algorithm>
#include <limits>

#include "kernels/cpu_backend.hpp"
#include "kernels/decode_panel.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t stretch_length = 1024;  // 8 KiB of fp64: both sweeps run in the L1 cache

constexpr Stretch empty_stretch{
    0, 0, 0, 0, 0, 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), 0, 0, 0, -1};

// Pebay 2008, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order moments".
void merge(Stretch& a, const Stretch& b, std::int64_t offset) {
  if (a.first_nonfinite < 0 && b.first_nonfinite >= 0) a.first_nonfinite = offset + b.first_nonfinite;
  a.nans += b.nans;
  a.infinities += b.infinities;
  a.zeros += b.zeros;
  a.minimum = std::min(a.minimum, b.minimum);
  a.maximum = std::max(a.maximum, b.maximum);
  a.sum_squares += b.sum_squares;
  if (b.count == 0) return;
  const double n = a.count + b.count, d = b.mean - a.mean, dn = d / n, ab = a.count * b.count;
  a.m4 += b.m4 + d * dn * dn * dn * ab * (a.count * a.count - ab + b.count * b.count) +
          6 * dn * dn * (a.count * a.count * b.m2 + b.count * b.count * a.m2) +
          4 * dn * (a.count * b.m3 - b.count * a.m3);
  a.m3 += b.m3 + d * dn * dn * ab * (a.count - b.count) + 3 * dn * (a.count * b.m2 - b.count * a.m2);
  a.m2 += b.m2 + d * dn * ab;
  a.mean += dn * b.count;
  a.count = n;
}

// Codes of a panel as stored; counts are integers, so their order is free.
void count_panel_codes(const Panel& panel, std::int64_t i, std::vector<std::int64_t>& counts) {
  for (const Piece& piece : panel.pieces) {
    if (i < piece.row0 || i >= piece.row0 + piece.rows) continue;
    const std::byte* row = piece.data + (i - piece.row0) * piece.row_stride;
    const bool wide = info(piece.tile->dtype).size == 2;
    for (std::int64_t j = 0; j < piece.cols; ++j) {
      const std::byte* at = row + j * piece.col_stride;
      std::uint16_t code = static_cast<std::uint8_t>(*at);
      if (wide) std::memcpy(&code, at, 2);
      ++counts[code];
    }
  }
}

bool has_countable_codes(const Matrix& a) {
  if (a.tiles.empty()) return false;
  const DType dtype = a.tiles.front().dtype;
  return info(dtype).size <= 2 &&
         std::all_of(a.tiles.begin(), a.tiles.end(), [&](const Tile& t) { return t.dtype == dtype; });
}

}  // namespace

template <class T>
ElementMoments CpuBackend<T>::moments(const Matrix& a, bool count_codes) {
  ElementMoments result;
  result.all = empty_stretch;
  result.row_squares.assign(static_cast<std::size_t>(a.rows), 0.0);
  result.col_squares.assign(static_cast<std::size_t>(a.cols), 0.0);
  count_codes = count_codes && has_countable_codes(a);
  const std::size_t codes = count_codes ? (info(a.tiles.front().dtype).size == 2 ? 65536 : 256) : 0;
  std::vector<std::vector<std::int64_t>> counts(static_cast<std::size_t>(pool_.threads()),
                                                std::vector<std::int64_t>(codes, 0));

  const std::int64_t height = std::min(options_.panel_rows > 0 ? options_.panel_rows : panel_height(2 * a.cols, 0),
                                       std::max<std::int64_t>(a.rows, 1));
  const std::int64_t ld = a.cols;
  auto decoded = aligned_array<double>(height * ld);
  std::vector<Stretch> rows(static_cast<std::size_t>(height));
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool_.threads()));
  PanelStream panels(a, false, height);
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool_.run(panel.rows, [&](std::int64_t i, int worker) {
      double* row = decoded.get() + i * ld;
      decode_panel(isa_, panel, i, i + 1, 0, a.cols, 1.0, row, ld, scratch[static_cast<std::size_t>(worker)]);
      Stretch all = empty_stretch, part;
      for (std::int64_t j = 0; j < a.cols; j += stretch_length) {
        isa_.stretch(row + j, std::min(stretch_length, a.cols - j), &part);
        merge(all, part, j);
      }
      rows[static_cast<std::size_t>(i)] = all;
      if (count_codes) count_panel_codes(panel, i, counts[static_cast<std::size_t>(worker)]);
    });
    pool_.run((a.cols + stretch_length - 1) / stretch_length, [&](std::int64_t part, int) {
      const std::int64_t j = part * stretch_length;
      for (std::int64_t i = 0; i < panel.rows; ++i)
        isa_.add_squares(decoded.get() + i * ld + j, std::min(stretch_length, a.cols - j),
                         result.col_squares.data() + j);
    });
    for (std::int64_t i = 0; i < panel.rows; ++i) {
      const Stretch& row = rows[static_cast<std::size_t>(i)];
      if (result.first_row < 0 && row.first_nonfinite >= 0) {
        result.first_row = panel.row0 + i;
        result.first_col = row.first_nonfinite;
      }
      result.row_squares[static_cast<std::size_t>(panel.row0 + i)] = row.sum_squares;
      merge(result.all, row, 0);
    }
    observe(panel);
  }
  for (const auto& part : counts) {
    result.code_counts.resize(codes, 0);
    for (std::size_t code = 0; code < codes; ++code) result.code_counts[code] += part[code];
  }
  return result;
}

template ElementMoments CpuBackend<float>::moments(const Matrix&, bool);
template ElementMoments CpuBackend<double>::moments(const Matrix&, bool);

}  // namespace sigmascope
