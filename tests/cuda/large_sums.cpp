// SPDX-License-Identifier: BSD-3-Clause
// Kernels that add numbers up.
#include "kernels/change.hpp"
#include "kernels/digest.cuh"
#include "kernels/group_sums.hpp"
#include "kernels/moments.hpp"
#include "kernels/survey.hpp"
#include "kernels/symmetric_sums.hpp"
#include "kernels/verbs.hpp"
#include "large_main.hpp"

namespace large {

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

constexpr int width = 8;                              // of a CPU's vectors
constexpr std::int64_t more = std::int64_t{1} << 24;  // threads of the largest grid

// So near each other that powers of them are summed about their mean.
double number_at(std::int64_t place) { return 100 + small_number(place); }
double square_at(std::int64_t place) { return number_at(place) * number_at(place); }

// Numbers from the place `first` on, and the sum of their squares.
double set_numbers(Numbers<double>& a, std::int64_t first, std::int64_t count) {
  double squares = 0;
  for (std::int64_t e = first; e < first + count; ++e) {
    a.set(e, number_at(e));
    squares += square_at(e);
  }
  return squares;
}

// The last of 1024 blocks of threads takes every 1024th time eight stretches. One of the last
// numbers that it takes is infinite.
void survey_stretches_of_a_panel(const Stream& stream) {
  constexpr std::int64_t rows = 2, cols = many / 2 + (1 << 25), across = cols / stretch_length,
                         few = 8, step = 1024 * few, row0 = 5, hashed_row0 = many + 5;
  Numbers<double> a(rows * cols), stretches(rows * across), row_squares(rows);
  stretches.open_zeros(), row_squares.open_zeros();
  double expected[rows] = {};
  DigestSums digest{};
  std::int64_t last = 0;
  for (std::int64_t start = step - few; start < rows * across; start += step)
    for (std::int64_t s = start; s < start + few; ++s) {
      const std::int64_t i = s / across, col0 = s % across * stretch_length;
      last = i * cols + col0;
      expected[i] += set_numbers(a, last, stretch_length);
      const Keys keys(col0, true);
      const std::uint32_t row_key = Keys(hashed_row0 + row0 + i, false)(0);
      for (std::int64_t j = 0; j < stretch_length; ++j)
        digest.add(number_at(last + j), keys(static_cast<std::uint32_t>(j)) ^ row_key, true);
      if (start + step >= rows * across && s + 1 == start + few) {
        const std::int64_t j = stretch_length - 1;
        a.set(last + j, HUGE_VAL);
        expected[i] -= square_at(last + j);
        DigestSums one{};
        one.add(number_at(last + j), keys(static_cast<std::uint32_t>(j)) ^ row_key, true);
        digest.sum -= one.sum;
      }
    }
  SurveyTotals totals{};
  totals.least = {~0ULL, ~0ULL};
  const SurveyedPanel<double> panel{.numbers = a.data(),
                                    .row0 = row0,
                                    .rows = rows,
                                    .cols = cols,
                                    .vector_lanes = width,
                                    .hashed_row0 = hashed_row0,
                                    .tall = false,
                                    .whole = true};
  check(survey(panel, stretches.data(), row_squares.data(), &totals, stream.handle()), "survey");
  stream.wait();
  for (std::int64_t i = 0; i < rows; ++i) row_squares.expect(i, expected[i]);
  const std::int64_t place = row0 * cols + last + stretch_length - 1;
  if (totals.least.place != static_cast<unsigned long long>(place) || totals.sums.infinities != 1 ||
      totals.largest() != number_at(0) - small_number(0) + 8)
    throw std::runtime_error("another place, or another largest magnitude");
  if (totals.sums.digest != digest.sum) throw std::runtime_error("another hash");
  a.check_reach();
}

// The last two rows of a group of 128, and the first of the next one.
void sum_moments(const Stream& stream) {
  constexpr std::int64_t rows = 3, row0 = group_rows - 2, cols = many / 2 + more,
                         across = cols / stretch_length, of_last = 256 / width;
  Numbers<double> a(rows * cols), groups_of_columns(2 * cols), squares(cols), losses(cols),
      open_columns(cols), pivots(rows * across), row_squares(row0 + rows);
  Numbers<Stretch> stretches(rows * across);
  Numbers<std::uint8_t> formats(rows * across);
  stretches.open_zeros(), pivots.open_zeros(), row_squares.open_zeros(), formats.open_zeros();
  const std::int64_t first = rows * across - of_last;  // stretch of the last block of threads
  double of_row = 0;
  std::vector<double> of_stretches;
  for (std::int64_t s = first; s < rows * across; ++s) {
    of_stretches.push_back(set_numbers(a, s * stretch_length, stretch_length));
    of_row += of_stretches.back();
  }
  const auto each_column = [&](const auto& act) {
    each_of_last_block(2 * cols, [&](std::int64_t e) { act(e, e / cols, e % cols); });
  };
  each_column([&](std::int64_t e, std::int64_t group, std::int64_t j) {
    groups_of_columns.open(e);
    if (group == 0) {
      set_numbers(a, j, 1), set_numbers(a, cols + j, 1);
      open_columns.set(j, number_at(j + 1)), squares.set(j, number_at(j + 2)), losses.set(j, 0);
    } else {
      set_numbers(a, 2 * cols + j, 1);
    }
  });
  std::vector<RowGroup> groups(2, empty_group());
  const MomentsSums sums{groups.data(), row_squares.data(), squares.data(), losses.data(),
                         open_columns.data()};
  check(add_moments({.numbers = a.data(),
                     .row0 = row0,
                     .rows = rows,
                     .cols = cols,
                     .all_rows = 10 * group_rows,
                     .vector_lanes = width,
                     .formats = reinterpret_cast<const DType*>(formats.data()),
                     .stretches = stretches.data(),
                     .pivots = pivots.data(),
                     .column_groups = groups_of_columns.data()},
                    sums, stream.handle()),
        "add_moments");
  stream.wait();
  for (std::int64_t s = first; s < rows * across; ++s)
    if (stretches.data()[s].sum_squares != of_stretches[as_size(s - first)] ||
        stretches.data()[s].count != stretch_length)
      throw std::runtime_error("another stretch " + std::to_string(s));
  row_squares.expect(row0 + 2, of_row);
  each_column([&](std::int64_t e, std::int64_t group, std::int64_t j) {
    const double of_first = number_at(j + 1) + square_at(j) + square_at(cols + j),
                 of_second = square_at(2 * cols + j);
    groups_of_columns.expect(e, group == 0 ? of_first : of_second);
    if (group > 0) return;
    squares.expect(j, number_at(j + 2) + of_first), losses.expect(j, 0);
    open_columns.expect(j, of_second);
  });
  a.check_reach(), groups_of_columns.expect_no_more();
}

void count_codes_of_pieces(const Stream& stream) {
  for (const DType dtype : {DType::f8_e4m3, DType::bf16}) {
    constexpr std::int64_t rows = 2, cols = many / 2 + more / 2;
    const std::int64_t size = info(dtype).size;
    Numbers<std::uint8_t> bytes(rows * cols * size);
    std::vector<unsigned long long> counts(1 << 16), expected(1 << 16);
    each_of_last_block(rows * cols, [&](std::int64_t e) {
      for (std::int64_t k = 0; k < size; ++k) bytes.set(e * size + k, 0);
      bytes.set(e * size, static_cast<std::uint8_t>(small_number(e)));
      ++expected[as_size(small_number(e))];
    });
    const StoredPiece piece{.data = reinterpret_cast<const std::byte*>(bytes.data()),
                            .row_stride = cols * size,
                            .col_stride = size,
                            .rows = rows,
                            .cols = cols,
                            .dtype = dtype};
    check(count_codes(piece, counts.data(), stream.handle()), "count_codes");
    stream.wait();
    if (counts != expected) throw std::runtime_error("other counts");
    bytes.check_reach();
  }
}

// Rows of a few numbers, which are far from each other, beyond 2^32 other rows.
void sum_a_change(const Stream& stream) {
  constexpr std::int64_t rows = 3, cols = 300, step = many / 2 + 7, row0 = many + 9;
  Numbers<double> before(rows * step), after(rows * step);
  const std::vector<DType> formats(rows, DType::f64);
  std::vector<ChangeSums> stretches(rows);
  double expected = 0;
  DigestSums digest{};
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) {
      const double w = number_at(i * step + j), next = number_at(i * step + j + cols);
      before.set(i * step + j, w), after.set(i * step + j, next);
      expected += (next - w) * (next - w);
      digest.add(next, Keys(j, false)(0) ^ Keys(row0 + i, true)(0), true);
    }
  ChangeTotals totals{};
  check(add_change({.before = {before.data(), formats.data(), true},
                    .after = {after.data(), formats.data(), true},
                    .row_step = step,
                    .row0 = row0,
                    .rows = rows,
                    .cols = cols,
                    .all_rows = 2 * many,
                    .vector_lanes = width,
                    .stretches = stretches.data()},
                   &totals, stream.handle()),
        "add_change");
  stream.wait();
  if (totals.all.sums.change2 != expected) throw std::runtime_error("another sum");
  if (totals.hashes.after != digest.sum) throw std::runtime_error("another hash");
  before.check_reach(), after.check_reach();
}

// The last of 2^16 blocks of threads has one column, of 65 numbers from the diagonal on.
void sum_a_triangle(const Stream& stream) {
  constexpr std::int64_t j = (1 << 16) - 1, n = j + 65;
  Numbers<double> a(n * n), sums(2 * n);
  double expected = square_at(j * n + j);
  set_numbers(a, j * n + j, n - j);
  for (std::int64_t i = j + 1; i < n; ++i) expected += 2 * square_at(j * n + i);
  sums.open_zeros();
  check(sum_columns(a.data(), n, sums.data(), stream.handle()), "sum_columns");
  stream.wait();
  sums.expect(2 * j, number_at(j * n + j)), sums.expect(2 * j + 1, expected);
  a.check_reach();
}

// Two groups, of which the second ends a block of terms whose level is kept.
void add_sums_of_groups(const Stream& stream) {
  constexpr std::int64_t size = many + more, of_block = block_terms / group_terms;
  Numbers<float> sums(2 * size), z(size), levels(2 * size);
  const auto number = [](std::int64_t e) { return static_cast<float>(small_number(e)); };
  each_of_last_block(size, [&](std::int64_t e) {
    sums.set(e, number(e)), sums.set(size + e, number(size + e));
    z.set(e, number(e + 1)), levels.set(e, number(e + 2)), levels.open(size + e);
  });
  check(add(GroupSums<float>{.size = size,
                             .all = 3 * block_terms,
                             .z = z.data(),
                             .levels = levels.data(),
                             .sums = sums.data(),
                             .start = 2 * of_block - 2,
                             .count = 2},
            stream.handle()),
        "add");
  stream.wait();
  each_of_last_block(size, [&](std::int64_t e) {
    z.expect(e, 0), levels.expect(e, number(e + 2));
    levels.expect(size + e, number(e) + number(size + e) + number(e + 1) + number(e + 2));
  });
  sums.check_reach(), z.expect_no_more(), levels.expect_no_more();
}

}  // namespace

std::vector<Case> cases_of_sums() {
  return {{"survey", survey_stretches_of_a_panel}, {"moments", sum_moments},
          {"count_codes", count_codes_of_pieces},  {"change", sum_a_change},
          {"symmetric_sums", sum_a_triangle},      {"group_sums", add_sums_of_groups}};
}

}  // namespace large
