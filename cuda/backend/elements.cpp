// SPDX-License-Identifier: BSD-3-Clause
#include "backend/elements.hpp"

#include <algorithm>
#include <utility>

#include "backend/surveyed.hpp"
#include "kernels/blocks/block.hpp"
#include "kernels/bytes.hpp"
#include "kernels/change.hpp"
#include "kernels/moments.hpp"
#include "kernels/stretch_formats.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope::device {

namespace {

// Rows whose stretches are looked at together: the workspace has so many stretches, or a row.
std::int64_t rows_together(const Matrix& a) {
  constexpr std::int64_t most = std::int64_t{1} << 16;
  const std::int64_t across = chunks(a.cols, stretch_length);
  return std::min(std::max(most / across, std::int64_t{1}), a.rows);
}

// Calls act(row, rows) for the rows of a panel, at most `together` at a time.
template <class Act>
void each_rows(const DecodedPanel<double>& panel, std::int64_t together, const Act& act) {
  for (std::int64_t row = 0; row < panel.rows; row += together)
    act(row, std::min(together, panel.rows - row));
}

bool is_empty(const Matrix& a) { return a.rows == 0 || a.cols == 0; }

}  // namespace

// No numbers are left on the device between passes.
ElementPasses::ElementPasses(CpuOptions host, const DeviceOptions& device)
    : cpu_(std::move(host)),
      device_(device.index, device.planned_bytes),
      panels_(device_, cpu_, {}, device.panel_numbers) {
  device_.upload.fill_by(cpu_.pool);
}

template <class T>
std::vector<T> ElementPasses::received(const DeviceBlock<T>& from) {
  std::vector<T> numbers(as_size(from.size()));
  if (!numbers.empty())
    device_.staging.receive(numbers.data(), from.data(), from.bytes(), device_.compute);
  return numbers;
}

ElementMoments ElementPasses::moments(const Matrix& a, CodeCounts counted) {
  ElementMoments moments;
  moments.all = empty_stretch();
  const auto codes = static_cast<std::int64_t>(counted == CodeCounts::all ? countable_codes(a) : 0);
  if (is_empty(a)) {
    moments.row_squares.assign(as_size(a.rows), 0.0);
    moments.col_squares.assign(as_size(a.cols), 0.0);
    moments.code_counts.assign(as_size(codes), 0);
    return moments;
  }
  const cudaStream_t stream = device_.compute.handle();
  const std::int64_t together = rows_together(a), across = chunks(a.cols, stretch_length);
  const auto groups = device_.block<RowGroup>(groups_of(a.rows), 1);
  const auto row_squares = device_.block<double>(a.rows, 1),
             column_squares = device_.block<double>(a.cols, 1),
             column_losses = device_.block<double>(a.cols, 1),
             open_columns = device_.block<double>(a.cols, 1),
             column_groups = device_.block<double>(groups_of(together) + 1, a.cols),
             pivots = device_.block<double>(together, across);
  const auto formats = device_.block<DType>(together, across);
  const auto stretches = device_.block<Stretch>(together, across);
  const auto counts = device_.block<unsigned long long>(codes, 1);
  const MomentsSums sums{groups.data(), row_squares.data(), column_squares.data(),
                         column_losses.data(), open_columns.data()};
  check(start_moments(sums, a.rows, a.cols, stream), "moments");
  check(set_bytes(counts.data(), 0, counts.bytes(), stream), "cudaMemsetAsync");
  panels_.each<double>({&a}, [&](const DecodedPanel<double>& panel) {
    const StoredPanel& stored = panel.stored;
    each_rows(panel, together, [&](std::int64_t row, std::int64_t rows) {
      check(find_formats(stored.pieces, stored.covered_once, {row, rows, 0, a.cols}, formats.data(),
                         stream),
            "moments");
      check(add_moments({.numbers = panel.numbers + row * a.cols,
                         .row0 = panel.row0 + row,
                         .rows = rows,
                         .cols = a.cols,
                         .all_rows = a.rows,
                         .vector_lanes = vector_lanes(),
                         .formats = formats.data(),
                         .stretches = stretches.data(),
                         .pivots = pivots.data(),
                         .column_groups = column_groups.data()},
                        sums, stream),
            "moments");
    });
    if (codes > 0)
      for (const StoredPiece& piece : stored.pieces)
        check(count_codes(piece, counts.data(), stream), "counts of codes");
  });
  GroupTree tree;
  for (const RowGroup& group : received(groups)) tree.add(group);
  moments.row_squares = received(row_squares);
  set_sums(moments, tree);
  moments.col_squares = received(column_squares);
  for (const unsigned long long count : received(counts))
    moments.code_counts.push_back(static_cast<std::int64_t>(count));
  return moments;
}

ElementSurvey ElementPasses::survey(const Matrix& a, const BlockPlace& place) {
  return surveyed(device_, panels_, a, place);
}

// The second matrix is read to the right of the first, so that a panel has the same rows of both.
ElementDifference ElementPasses::difference(const Matrix& before, const Matrix& after) {
  if (is_empty(before)) return {};
  Matrix both;
  both.rows = before.rows, both.cols = 2 * before.cols;
  both.add(before, 0, 0), both.add(after, 0, before.cols);
  const cudaStream_t stream = device_.compute.handle();
  const std::int64_t together = rows_together(before), cols = before.cols,
                     across = chunks(cols, stretch_length);
  const auto formats_before = device_.block<DType>(together, across),
             formats_after = device_.block<DType>(together, across);
  const auto stretches = device_.block<ChangeSums>(together, across);
  const auto totals = device_.block<ChangeTotals>(1, 1);
  check(start_change(totals.data(), stream), "a change");
  panels_.each<double>({&both}, [&](const DecodedPanel<double>& panel) {
    const StoredPanel& stored = panel.stored;
    each_rows(panel, together, [&](std::int64_t row, std::int64_t rows) {
      const auto find = [&](std::int64_t col0, DType* formats) {
        check(find_formats(stored.pieces, stored.covered_once, {row, rows, col0, cols}, formats,
                           stream),
              "a change");
      };
      find(0, formats_before.data()), find(cols, formats_after.data());
      const double* numbers = panel.numbers + row * both.cols;
      check(add_change({.before = {numbers, formats_before.data(), before.has_f64()},
                        .after = {numbers + cols, formats_after.data(), after.has_f64()},
                        .row_step = both.cols,
                        .row0 = panel.row0 + row,
                        .rows = rows,
                        .cols = cols,
                        .all_rows = both.rows,
                        .vector_lanes = vector_lanes(),
                        .stretches = stretches.data()},
                       totals.data(), stream),
            "a change");
    });
  });
  const auto [all, hashes] = received(totals).front();
  panels_.forget(both);
  return {.sums = sum_of(all),
          .before = {hashes.before, hashes.before_zeros},
          .after = {hashes.after, hashes.after_zeros}};
}

}  // namespace sigmascope::device
