// SPDX-License-Identifier: BSD-3-Clause
// Inner products and combinations of blocks. Sums of whole numbers are exact.
#include "kernels/verbs.hpp"
#include "large_main.hpp"

namespace large {

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

constexpr std::int64_t side = 16;  // of the square of results that a block of threads has

// The last rows of a block, of which the last `side` columns are set.
struct Rows {
  std::int64_t first, rows, cols;
  Numbers<float> numbers;

  Rows(std::int64_t from, std::int64_t all_rows, std::int64_t width, std::int64_t left = side)
      : first(from), rows(all_rows), cols(width), numbers(rows * cols) {
    for (std::int64_t i = first; i < rows; ++i)
      for (std::int64_t j = cols - left; j < cols; ++j)
        numbers.set(i * cols + j, static_cast<float>(small_number(i * cols + j)));
  }
  double at(std::int64_t i, std::int64_t j) const { return small_number(i * cols + j); }
};

// The sum over the rows that are set; 0 where a number is not.
double sum_of(const Rows& x, std::int64_t i, const Rows& y, std::int64_t j) {
  double sum = 0;
  if (i < x.cols - side || j < y.cols - side) return 0;
  for (std::int64_t row = x.first; row < x.rows; ++row) sum += x.at(row, i) * y.at(row, j);
  return sum;
}

void multiply_long_blocks(const Stream& stream) {
  constexpr std::int64_t cols = 64, first = many / cols, rows = first + 1000, size = cols * cols,
                         parts = first / inner_rows + 1;
  const Rows x(first, rows, cols), y(first, rows, cols);
  Numbers<double> partial(parts * size), sums(size);
  partial.open_zeros(), sums.open_zeros();
  Row<float> xs;
  xs.add(x.numbers.data(), cols);
  check(inner(xs, BlockView<const float>{y.numbers.data(), rows, cols}, partial.data(), sums.data(),
              stream.handle()),
        "inner");
  stream.wait();
  each_of_last_block(size,
                     [&](std::int64_t e) { sums.expect(e, sum_of(x, e / cols, y, e % cols)); });
  x.numbers.check_reach(), y.numbers.check_reach();
}

// Twelve blocks, which are one: its inner products take more than 2^32 numbers of workspace.
void multiply_wide_blocks(const Stream& stream) {
  constexpr std::int64_t parts = 43, rows = parts * inner_rows, first = rows - inner_rows,
                         width = 1024, all = Row<float>::most * width, cols = 8192,
                         size = all * cols, others = all - width;
  const Rows x(first, rows, width), y(first, rows, cols);
  Row<float> xs;
  for (int block = 0; block < Row<float>::most; ++block) xs.add(x.numbers.data(), width);
  Numbers<double> partial(parts * size), sums(size);
  each_of_last_block(size, [&](std::int64_t e) {
    sums.open(e);
    for (std::int64_t part = 0; part < parts; ++part) partial.set(part * size + e, 0);
  });
  const auto place = [&](std::int64_t i, std::int64_t j) {
    return ((parts - 1) * all + others + i) * cols + j;
  };
  const auto each = [&](const auto& act) {
    for (std::int64_t i = width - side; i < width; ++i)
      for (std::int64_t j = cols - side; j < cols; ++j) act(i, j);
  };
  each([&](std::int64_t i, std::int64_t j) { partial.open(place(i, j)); });
  check(inner(xs, BlockView<const float>{y.numbers.data(), rows, cols}, partial.data(), sums.data(),
              stream.handle()),
        "inner");
  stream.wait();
  each([&](std::int64_t i, std::int64_t j) { partial.expect(place(i, j), sum_of(x, i, y, j)); });
  each_of_last_block(size, [&](std::int64_t e) {
    const std::int64_t i = e / cols - others, j = e % cols;
    const double sum = i < 0 ? 0 : sum_of(x, i, y, j);
    sums.expect(e, sum), partial.expect(e, sum);
    for (std::int64_t part = 1; part < parts; ++part) {
      if (part + 1 == parts && sum > 0) continue;
      partial.expect(part * size + e, 0);
    }
  });
  partial.expect_no_more();
}

void combine_long_blocks(const Stream& stream) {
  constexpr std::int64_t cols = 64, first = many / cols, rows = first + 5;
  Rows x(first, rows, cols, cols), y(first, rows, cols), c(0, cols, cols, cols);
  Row<float> xs;
  xs.add(x.numbers.data(), cols);
  check(combine(BlockView<float>{y.numbers.data(), rows, cols}, xs,
                static_cast<const float*>(c.numbers.data()), stream.handle()),
        "combine");
  stream.wait();
  for (std::int64_t i = first; i < rows; ++i)
    for (std::int64_t j = cols - side; j < cols; ++j) {
      double sum = y.at(i, j);
      for (std::int64_t k = 0; k < cols; ++k) sum += x.at(i, k) * c.at(k, j);
      y.numbers.expect(i * cols + j, static_cast<float>(sum));
    }
  x.numbers.check_reach(), y.numbers.expect_no_more();
}

}  // namespace

std::vector<Case> cases_of_verbs() {
  return {{"inner of long blocks", multiply_long_blocks},
          {"inner of wide blocks", multiply_wide_blocks},
          {"combine", combine_long_blocks}};
}

}  // namespace large
