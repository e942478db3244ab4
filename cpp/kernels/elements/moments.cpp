// SPDX-License-Identifier: BSD-3-Clause
// One pass in fp64; every sum in an order that the matrix fixes.
#include "kernels/elements/moments.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "kernels/blocks/block.hpp"
#include "kernels/elements/element_pass.hpp"
#include "kernels/elements/totals.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

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
    result.row_squares.assign(as_size(rows_), 0.0);
    col_squares_.resize(as_size(cols_));
    rows_of_.assign(as_size(slots_), empty_group());
  }

  // Column sums of squares of the group that holds a row of the matrix: a chain, row after row.
  double* columns(std::int64_t row) { return columns_[slot(row) * as_size(ld_)].sums.data(); }

  // Adds rows [row0, row1) and sums up the groups that end there. Stretch `part` of a row is at
  // found[part * height + row - row0].
  void close(std::int64_t row0, std::int64_t row1, const Stretch* stretches, std::int64_t height,
             ThreadPool& pool) {
    const std::int64_t first = row0 / group_rows, groups = chunks(row1, group_rows) - first;
    pool.run(groups, [&](std::int64_t index, int) {
      const std::int64_t start = (first + index) * group_rows;
      RowGroup& group = rows_of_[slot(start)];
      for (std::int64_t i = std::max(start, row0); i < std::min(start + group_rows, row1); ++i) {
        const Stretch row =
            merged_row(stretches + i - row0, chunks(cols_, stretch_length), height, stretch_length);
        result.row_squares[as_size(i)] = row.sum_squares;
        add_row(group, row, i);
      }
    });
    pool.run(chunks(cols_, stretch_length), [&](std::int64_t part, int) {
      const std::int64_t left = part * stretch_length,
                         right = std::min(cols_, left + stretch_length);
      for (std::int64_t row = first * group_rows; row < row1 && ends_by(row1, row);
           row += group_rows) {
        double* sums = columns(row);
        for (std::int64_t j = left; j < right; ++j) col_squares_[as_size(j)].add(sums[j]);
        std::fill(sums + left, sums + right, 0.0);
      }
    });
    for (std::int64_t row = first * group_rows; row < row1 && ends_by(row1, row);
         row += group_rows) {
      RowGroup& group = rows_of_[slot(row)];
      all_.add(group);
      group = empty_group();
    }
  }

  // After the last row.
  ElementMoments finish() {
    set_sums(result, all_);
    for (const LongSum& squares : col_squares_) result.col_squares.push_back(squares.value());
    return std::move(result);
  }

 private:
  static constexpr std::int64_t line = 8;
  struct alignas(64) Line {
    std::array<double, line> sums{};
  };

  std::size_t slot(std::int64_t row) const { return as_size(row / group_rows % slots_); }
  bool ends_by(std::int64_t row1, std::int64_t row) const {
    return std::min(row + group_rows, rows_) <= row1;
  }

  ElementMoments result;
  GroupTree all_;
  std::vector<LongSum> col_squares_;
  std::int64_t rows_, cols_, slots_, ld_;
  std::vector<Line> columns_;  // a row for each group
  std::vector<RowGroup> rows_of_;
};

}  // namespace

namespace {

// `group` follows `before` in the matrix.
void append(RowGroup& before, const RowGroup& group) {
  if (before.first_row < 0) before.first_row = group.first_row;
  merge(before.sums, group.sums, 0);
}

}  // namespace

void GroupTree::add(RowGroup group) {
  std::size_t level = 0;
  for (; level < levels_.size() && levels_[level]; ++level) {
    append(*levels_[level], group);
    group = *std::exchange(levels_[level], std::nullopt);
  }
  if (level == levels_.size()) levels_.emplace_back();
  levels_[level] = group;
}

RowGroup GroupTree::sum() const {
  RowGroup all = empty_group();
  for (std::size_t level = levels_.size(); level-- > 0;)
    if (levels_[level]) append(all, *levels_[level]);
  return all;
}

void set_sums(ElementMoments& moments, const GroupTree& groups) {
  const RowGroup all = groups.sum();
  moments.all = all.sums;
  moments.first_row = all.first_row;
  if (all.first_row >= 0) moments.first_col = all.sums.first_nonfinite;
  moments.all.sum_squares = sum_of(moments.row_squares);
}

std::size_t countable_codes(const Matrix& a) {
  if (a.tiles.empty()) return 0;
  const DType dtype = a.tiles.front().dtype;
  const bool one =
      std::all_of(a.tiles.begin(), a.tiles.end(), [&](const Tile& t) { return t.dtype == dtype; });
  const int size = info(dtype).size;
  return !one || size > 2 ? 0 : size == 2 ? 65536 : 256;
}

ElementMoments moments(Cpu& cpu, const Matrix& a, CodeCounts counted) {
  const std::size_t codes = counted == CodeCounts::all ? countable_codes(a) : 0;
  std::vector<std::vector<std::int64_t>> counts(as_size(cpu.pool.threads()),
                                                std::vector<std::int64_t>(codes, 0));
  const std::int64_t height = rows_at_a_time(a, cpu.panel_rows),
                     across = chunks(a.cols, stretch_length);
  std::vector<Stretch> stretches(as_size(height * across));  // by stretch, then by row
  Groups groups(a, height);
  const auto look = [&](const Panel& panel, const ElementCodes& here, std::int64_t i,
                        std::int64_t j, std::int64_t n, int) {
    cpu.isa.elements.statistics(here.dtype, here.data, here.stride, here.rows, n,
                                groups.columns(panel.row0 + i) + j,
                                stretches.data() + j / stretch_length * height + i);
  };
  pass_over(a, height, cpu, look, [&](const Panel& panel) {
    if (codes > 0)
      cpu.pool.run(panel.rows, [&](std::int64_t i, int worker) {
        count_panel_codes(panel, i, counts[as_size(worker)].data());
      });
    groups.close(panel.row0, panel.row0 + panel.rows, stretches.data(), height, cpu.pool);
    cpu.report(panel.stored_bytes());
  });
  ElementMoments result = groups.finish();
  for (const auto& part : counts) {
    result.code_counts.resize(codes, 0);
    for (std::size_t code = 0; code < codes; ++code) result.code_counts[code] += part[code];
  }
  return result;
}

}  // namespace sigmascope
