// SPDX-License-Identifier: BSD-3-Clause
// One pass in fp64; every sum in an order that the matrix fixes.
#include "kernels/elements/moments.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/blocks/block.hpp"
#include "kernels/elements/element_pass.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Stretch empty_stretch{0, 0, 0, 0, 0, 0, infinity, -infinity, infinity, 0, 0, 0, -1};

// Pebay 2008, "Formulas for robust, one-pass parallel computation of covariances and
// arbitrary-order moments".
void merge(Stretch& a, const Stretch& b, std::int64_t offset) {
  if (a.first_nonfinite < 0 && b.first_nonfinite >= 0)
    a.first_nonfinite = offset + b.first_nonfinite;
  a.nans += b.nans;
  a.infinities += b.infinities;
  a.zeros += b.zeros;
  a.minimum = std::min(a.minimum, b.minimum);
  a.maximum = std::max(a.maximum, b.maximum);
  a.least = std::min(a.least, b.least);
  a.sum_squares += b.sum_squares;
  if (b.count == 0) return;
  if (a.count == 0) {
    a.count = b.count, a.mean = b.mean, a.m2 = b.m2, a.m3 = b.m3, a.m4 = b.m4;
    return;
  }
  const double n = a.count + b.count, d = b.mean - a.mean, dn = d / n, ab = a.count * b.count;
  a.m4 += b.m4 + d * dn * dn * dn * ab * (a.count * a.count - ab + b.count * b.count) +
          6 * dn * dn * (a.count * a.count * b.m2 + b.count * b.count * a.m2) +
          4 * dn * (a.count * b.m3 - b.count * a.m3);
  a.m3 +=
      b.m3 + d * dn * dn * ab * (a.count - b.count) + 3 * dn * (a.count * b.m2 - b.count * a.m2);
  a.m2 += b.m2 + d * dn * ab;
  a.mean += dn * b.count;
  a.count = n;
}

// Codes of a row as stored; counts are integers, so their order is free.
template <class Code>
void count_codes_of(const std::byte* row, std::int64_t step, std::int64_t n, std::int64_t* counts) {
  const auto count = [&](std::int64_t j, std::int64_t stride) {
    Code code;
    std::memcpy(&code, row + j * stride, sizeof(code));
    ++counts[code];
  };
  if (step != static_cast<std::int64_t>(sizeof(Code))) {
    for (std::int64_t j = 0; j < n; ++j) count(j, step);
    return;
  }
  for (std::int64_t j = 0; j < n; ++j) count(j, sizeof(Code));
}

void count_panel_codes(const Panel& panel, std::int64_t i, std::int64_t* counts) {
  for (const Piece& piece : panel.pieces) {
    if (i < piece.row0 || i >= piece.row0 + piece.rows) continue;
    const std::byte* row = piece.data + (i - piece.row0) * piece.row_stride;
    const bool wide = info(piece.tile->dtype).size == 2;
    (wide ? count_codes_of<std::uint16_t> : count_codes_of<std::uint8_t>)(row, piece.col_stride,
                                                                          piece.cols, counts);
  }
}

bool has_countable_codes(const Matrix& a) {
  if (a.tiles.empty()) return false;
  const DType dtype = a.tiles.front().dtype;
  return info(dtype).size <= 2 && std::all_of(a.tiles.begin(), a.tiles.end(),
                                              [&](const Tile& t) { return t.dtype == dtype; });
}

// Sums of the rows and columns of panels, in groups of rows. A group that a panel cuts continues in
// the next panel.
class Groups {
 public:
  Groups(const Matrix& a, std::int64_t panel_rows)
      : rows_(a.rows),
        cols_(a.cols),
        slots_(std::min(panel_rows / group_rows + 2, chunks(a.rows, group_rows))),
        ld_(chunks(cols_, line)),
        columns_(as_size(slots_ * ld_)) {
    result.all = empty_stretch;
    result.row_squares.assign(as_size(rows_), 0.0);
    result.col_squares.assign(as_size(cols_), 0.0);
    rows_of_.assign(as_size(slots_), Rows{});
  }

  // Column sums of squares of the group that holds a row of the matrix: a chain, row after row.
  double* columns(std::int64_t row) { return columns_[slot(row) * as_size(ld_)].sums.data(); }

  // Adds rows [row0, row1) and sums up the groups that end there. Stretch `part` of a row is at
  // found[part * height + row - row0].
  void close(std::int64_t row0, std::int64_t row1, const Stretch* found, std::int64_t height,
             ThreadPool& pool) {
    const std::int64_t first = row0 / group_rows, groups = chunks(row1, group_rows) - first;
    pool.run(groups, [&](std::int64_t index, int) {
      const std::int64_t start = (first + index) * group_rows;
      Rows& group = rows_of_[slot(start)];
      for (std::int64_t i = std::max(start, row0); i < std::min(start + group_rows, row1); ++i) {
        Stretch row = empty_stretch;
        for (std::int64_t part = 0; part < chunks(cols_, stretch_length); ++part)
          merge(row, found[part * height + i - row0], part * stretch_length);
        if (group.first_row < 0 && row.first_nonfinite >= 0) group.first_row = i;
        result.row_squares[as_size(i)] = row.sum_squares;
        merge(group.sums, row, 0);
      }
    });
    pool.run(chunks(cols_, stretch_length), [&](std::int64_t part, int) {
      const std::int64_t left = part * stretch_length,
                         right = std::min(cols_, left + stretch_length);
      for (std::int64_t row = first * group_rows; row < row1 && ends_by(row1, row);
           row += group_rows) {
        double* sums = columns(row);
        for (std::int64_t j = left; j < right; ++j) result.col_squares[as_size(j)] += sums[j];
        std::fill(sums + left, sums + right, 0.0);
      }
    });
    for (std::int64_t row = first * group_rows; row < row1 && ends_by(row1, row);
         row += group_rows) {
      Rows& group = rows_of_[slot(row)];
      if (result.first_row < 0 && group.first_row >= 0) {
        result.first_row = group.first_row;
        result.first_col = group.sums.first_nonfinite;
      }
      merge(result.all, group.sums, 0);
      group = Rows{};
    }
  }

  ElementMoments result;

 private:
  static constexpr std::int64_t line = 8;
  struct alignas(64) Line {
    std::array<double, line> sums{};
  };
  struct Rows {
    Stretch sums = empty_stretch;
    std::int64_t first_row = -1;  // that holds a nonfinite number
  };

  std::size_t slot(std::int64_t row) const { return as_size(row / group_rows % slots_); }
  bool ends_by(std::int64_t row1, std::int64_t row) const {
    return std::min(row + group_rows, rows_) <= row1;
  }

  std::int64_t rows_, cols_, slots_, ld_;
  std::vector<Line> columns_;  // a row for each group
  std::vector<Rows> rows_of_;
};

}  // namespace

ElementMoments moments(Cpu& cpu, const Matrix& a, CodeCounts counted) {
  const bool count_codes = counted == CodeCounts::all && has_countable_codes(a);
  const std::size_t codes = count_codes ? (info(a.tiles.front().dtype).size == 2 ? 65536 : 256) : 0;
  std::vector<std::vector<std::int64_t>> counts(as_size(cpu.pool.threads()),
                                                std::vector<std::int64_t>(codes, 0));
  const std::int64_t height = rows_at_a_time(a, cpu.panel_rows),
                     across = chunks(a.cols, stretch_length);
  std::vector<Stretch> found(as_size(height * across));  // by stretch, then by row
  Groups groups(a, height);
  const auto look = [&](const Panel& panel, const ElementCodes& here, std::int64_t i,
                        std::int64_t j, std::int64_t n, int) {
    cpu.isa.elements.statistics(here.dtype, here.data, here.stride, here.rows, n,
                                groups.columns(panel.row0 + i) + j,
                                found.data() + j / stretch_length * height + i);
  };
  pass_over(a, height, cpu, look, [&](const Panel& panel) {
    if (count_codes)
      cpu.pool.run(panel.rows, [&](std::int64_t i, int worker) {
        count_panel_codes(panel, i, counts[as_size(worker)].data());
      });
    groups.close(panel.row0, panel.row0 + panel.rows, found.data(), height, cpu.pool);
    cpu.report(panel.stored_bytes());
  });
  ElementMoments result = std::move(groups.result);
  for (const auto& part : counts) {
    result.code_counts.resize(codes, 0);
    for (std::size_t code = 0; code < codes; ++code) result.code_counts[code] += part[code];
  }
  return result;
}

}  // namespace sigmascope
