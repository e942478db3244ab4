// SPDX-License-Identifier: BSD-3-Clause
// Products of panels with blocks. Sums of whole numbers are exact.
#include <algorithm>

#include "kernels/products.hpp"
#include "kernels/tensor_products.hpp"
#include "large_main.hpp"

namespace large {

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

template <class T>
T number_at(std::int64_t place) {
  if constexpr (sizeof(T) == sizeof(std::uint16_t)) return bf16_number(place);
  else return static_cast<T>(small_number(place));
}

// A matrix with a large step from row to row, or from column to column.
template <class T>
struct Steps {
  std::int64_t row, col;
  Numbers<T> numbers;

  Steps(std::int64_t rows, std::int64_t row_step, std::int64_t cols, std::int64_t col_step)
      : row(row_step), col(col_step), numbers((rows - 1) * row + (cols - 1) * col + 1) {}
  std::int64_t place(std::int64_t i, std::int64_t j) const { return i * row + j * col; }
  void set(std::int64_t i, std::int64_t j) { numbers.set(place(i, j), number_at<T>(place(i, j))); }
  double at(std::int64_t i, std::int64_t j) const { return small_number(place(i, j)); }
};

// Results of rows x cols, of which the rows from `first` on are made.
template <class T>
struct Results {
  std::int64_t first, rows, cols;
  Numbers<T> numbers;

  Results(std::int64_t from, std::int64_t all_rows, std::int64_t width)
      : first(from), rows(all_rows), cols(width), numbers(rows * cols) {
    each([&](std::int64_t i, std::int64_t j) { numbers.open(i * cols + j); });
  }
  template <class Act>
  void each(const Act& act) const {
    for (std::int64_t i = first; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j) act(i, j);
  }
};

// Rows whose results in few columns are more than 2^32, of which the last tile has three.
constexpr std::int64_t tall = many / 16 + 3, last_tile = tall - 3;

// Results of one group of terms, or the part of it that a call before has left.
template <class T>
void multiply_to_many_results(const Stream& stream, bool along, bool goes_on) {
  const std::int64_t cols = goes_on ? 20 : 16, depth = goes_on ? 64 : 40, before = 896;
  Steps<T> l(tall, along ? depth : 1, depth, along ? 1 : many + 5);
  Steps<T> x(depth, goes_on ? 1 : cols, cols, goes_on ? many / 16 : 1);  // by columns, or by rows
  Results<T> z(last_tile, tall, cols), group(last_tile, tall, cols);
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t i = last_tile; i < tall; ++i) l.set(i, k);
    for (std::int64_t j = 0; j < cols; ++j) x.set(k, j);
  }
  z.each([&](std::int64_t i, std::int64_t j) {
    group.numbers.set(i * cols + j, number_at<T>(i * cols + j));
  });
  const Product<T> product{.l = l.numbers.data(),
                           .rows = tall,
                           .depth = depth,
                           .row_step = l.row,
                           .depth_step = l.col,
                           .x = x.numbers.data(),
                           .cols = cols,
                           .x_step = goes_on ? x.col : x.row,
                           .x_by_columns = goes_on,
                           .z = z.numbers.data(),
                           .group = group.numbers.data(),
                           .unfinished = z.numbers.data(),
                           .before = goes_on ? before : 0,
                           .all = goes_on ? 2 * group_terms : depth};
  check(multiply(product, static_cast<T*>(nullptr), stream.handle()), "multiply");
  stream.wait();
  z.each([&](std::int64_t i, std::int64_t j) {
    double sum = goes_on ? small_number(i * cols + j) : 0;
    for (std::int64_t k = 0; k < depth; ++k) sum += l.at(i, k) * x.at(k, j);
    z.numbers.expect(i * cols + j, static_cast<T>(sum));
  });
  l.numbers.check_reach(), z.numbers.expect_no_more();
  if (goes_on) x.numbers.check_reach(), group.numbers.check_reach();
}

void multiply_along_rows(const Stream& stream) {
  multiply_to_many_results<float>(stream, true, false);
}
void multiply_across_rows(const Stream& stream) {
  multiply_to_many_results<double>(stream, false, false);
}
void multiply_on(const Stream& stream) { multiply_to_many_results<float>(stream, true, true); }

// Calls act(the last group) for the groups of a product that a launch has at a time.
template <class Act>
void each_launch(std::int64_t depth, std::int64_t at_once, const Act& act) {
  const std::int64_t groups = depth / group_terms;
  for (std::int64_t first = 0; first < groups; first += at_once)
    act(std::min(first + at_once, groups) - 1);
}

// Many terms: of every launch the last block of threads sums one group, for all results. Of the
// kernel that adds groups the last block has the last results.
template <class Set, class Multiply, class Term>
void multiply_many_terms(std::int64_t rows, std::int64_t cols, std::int64_t depth, const Set& set,
                         const Multiply& multiply, const Term& term) {
  const std::int64_t size = rows * cols;
  const TermGroups groups{0, depth, depth};
  Numbers<float> z(size), levels(tree_levels(depth) * size),
      workspace(workspace_of<float>(groups, size));
  z.open_zeros(), levels.open_zeros(), workspace.open_zeros();
  const auto each_term = [&](const auto& act) {
    each_launch(depth, groups.at_once(size, sizeof(float)), [&](std::int64_t group) {
      for (std::int64_t k = group * group_terms; k < (group + 1) * group_terms; ++k) act(k);
    });
  };
  each_term(set);
  multiply(z.data(), levels.data(), workspace.data());
  each_of_last_block(size, [&](std::int64_t e) {
    double sum = 0;
    each_term([&](std::int64_t k) { sum += term(e / cols, e % cols, k); });
    z.expect(e, static_cast<float>(sum));
  });
}

void multiply_many_numbers(const Stream& stream) {
  constexpr std::int64_t rows = 70, cols = 16, depth = many / 64;
  Steps<float> l(rows, depth, depth, 1), x(depth, 65, cols, 1);
  multiply_many_terms(
      rows, cols, depth,
      [&](std::int64_t k) {
        for (std::int64_t i = 0; i < rows; ++i) l.set(i, k);
        for (std::int64_t j = 0; j < cols; ++j) x.set(k, j);
      },
      [&](float* z, float* levels, float* workspace) {
        const Product<float> product{.l = l.numbers.data(),
                                     .rows = rows,
                                     .depth = depth,
                                     .row_step = l.row,
                                     .depth_step = l.col,
                                     .x = x.numbers.data(),
                                     .cols = cols,
                                     .x_step = x.row,
                                     .z = z,
                                     .levels = levels,
                                     .all = depth};
        check(multiply(product, workspace, stream.handle()), "multiply");
        stream.wait();
      },
      [&](std::int64_t i, std::int64_t j, std::int64_t k) { return l.at(i, k) * x.at(k, j); });
  l.numbers.check_reach(), x.numbers.check_reach();
}

// The parts of a block, each of whole numbers.
struct Parts {
  BlockParts parts;
  Numbers<std::uint16_t> codes;

  Parts(int count, std::int64_t rows, std::int64_t cols)
      : parts(count, rows, cols), codes(parts.size()) {
    parts.codes = codes.data();
  }
  std::int64_t place(int part, std::int64_t k, std::int64_t j) const {
    return (part * parts.columns + j) * parts.step + k;
  }
  void set(std::int64_t k) {
    for (int part = 0; part < parts.count; ++part)
      for (std::int64_t j = 0; j < parts.columns; ++j) {
        const std::int64_t at = place(part, k, j);
        codes.set(at, j < parts.cols ? bf16_number(at) : std::uint16_t{0});
      }
  }
  double at(std::int64_t k, std::int64_t j) const {
    double sum = 0;
    for (int part = 0; part < parts.count; ++part) sum += small_number(place(part, k, j));
    return sum;
  }
};

// With two parts of L, the second 2^-8 of the first.
void multiply_parts_to_many_results(const Stream& stream, bool transposed, bool goes_on) {
  const std::int64_t cols = goes_on ? 20 : 16, depth = 64, before = 896,
                     line = many + codes_at_once;  // from one term to the next
  Steps<std::uint16_t> l(line, transposed ? 1 : depth, depth, transposed ? line : 1),
      rest(line, l.row, depth, l.col);
  Parts x(2, depth, cols);
  Results<float> z(last_tile, tall, cols), group(last_tile, tall, cols);
  for (std::int64_t k = 0; k < depth; ++k) {
    x.set(k);
    for (std::int64_t i = last_tile; i < tall; ++i)
      l.set(i, k), rest.numbers.set(l.place(i, k), bf16_number(l.place(i, k), -8));
  }
  z.each([&](std::int64_t i, std::int64_t j) {
    group.numbers.set(i * cols + j, static_cast<float>(small_number(i * cols + j)));
  });
  const TensorProduct product{.l = l.numbers.data(),
                              .rest = rest.numbers.data(),
                              .rows = tall,
                              .depth = depth,
                              .step = transposed ? line : depth,
                              .transposed = transposed,
                              .x = x.parts,
                              .z = z.numbers.data(),
                              .group = group.numbers.data(),
                              .unfinished = z.numbers.data(),
                              .before = goes_on ? before : 0,
                              .all = goes_on ? 2 * group_terms : depth};
  check(multiply(product, nullptr, stream.handle()), "multiply");
  stream.wait();
  z.each([&](std::int64_t i, std::int64_t j) {
    double sum = goes_on ? small_number(i * cols + j) : 0;
    for (std::int64_t k = 0; k < depth; ++k) sum += (1 + 0x1p-8) * l.at(i, k) * x.at(k, j);
    z.numbers.expect(i * cols + j, static_cast<float>(sum));
  });
  l.numbers.check_reach(), rest.numbers.check_reach(), z.numbers.expect_no_more();
  if (goes_on) group.numbers.check_reach();
}

void multiply_parts_by_rows(const Stream& stream) {
  multiply_parts_to_many_results(stream, false, true);
}
void multiply_parts_by_columns(const Stream& stream) {
  multiply_parts_to_many_results(stream, true, false);
}

void multiply_many_parts(const Stream& stream) {
  constexpr std::int64_t rows = 33, cols = 16, depth = many / 32;
  Steps<std::uint16_t> l(rows, depth, depth, 1);
  Parts x(most_parts, depth, cols);
  multiply_many_terms(
      rows, cols, depth,
      [&](std::int64_t k) {
        for (std::int64_t i = 0; i < rows; ++i) l.set(i, k);
        x.set(k);
      },
      [&](float* z, float* levels, float* workspace) {
        const TensorProduct product{.l = l.numbers.data(),
                                    .rows = rows,
                                    .depth = depth,
                                    .step = depth,
                                    .x = x.parts,
                                    .z = z,
                                    .levels = levels,
                                    .all = depth};
        check(multiply(product, workspace, stream.handle()), "multiply");
        stream.wait();
      },
      [&](std::int64_t i, std::int64_t j, std::int64_t k) { return l.at(i, k) * x.at(k, j); });
  l.numbers.check_reach(), x.codes.check_reach();
}

}  // namespace

std::vector<Case> cases_of_products() {
  return {{"products along rows", multiply_along_rows},
          {"products across rows", multiply_across_rows},
          {"products that go on", multiply_on},
          {"products of many terms", multiply_many_numbers},
          {"tensor_products by rows", multiply_parts_by_rows},
          {"tensor_products by columns", multiply_parts_by_columns},
          {"tensor_products of many terms", multiply_many_parts}};
}

}  // namespace large
