// SPDX-License-Identifier: BSD-3-Clause
// Central sums of stretches, rows and groups of rows, and sums of changes: the formulas that the
// processor and the kernels of a device share. Names are local to a file, because the same code is
// compiled for several instruction sets.
#pragma once

#include <cstdint>

#include "kernels/simd/element_kernels.hpp"

#if defined(__CUDACC__)
#define SIGMASCOPE_HOST_DEVICE __host__ __device__
#else
#define SIGMASCOPE_HOST_DEVICE
#endif

namespace sigmascope {

// Sums of rows are merged within groups of so many, and those of the groups then.
inline constexpr std::int64_t group_rows = 128;

// Sums over rows, and what their additions lost.
struct ChangeTotal {
  ChangeSums sums, lost;
};

// Statistics of a group of rows, and its first row with a number that is not finite; -1: none.
struct RowGroup {
  Stretch sums;
  std::int64_t first_row;
};

namespace {

// The sum of numbers, and of what each addition loses, which is known exactly (Knuth's TwoSum). In
// order, the squares of 8191 equal rows were off by 2e-13, and those of 10^7 rows by 2e-12.
struct LongSum {
  double total = 0, lost = 0;

  SIGMASCOPE_HOST_DEVICE void add(double value) {
    const double next = total + value, added = next - total;
    lost += (total - (next - added)) + (value - added);
    total = next;
  }
  // Of an infinite sum the loss is NaN.
  SIGMASCOPE_HOST_DEVICE double value() const { return lost == lost ? total + lost : total; }
};

// Sums of d, d^2, d^3, d^4.
struct PowerSums {
  double first, second, third, fourth;
};

SIGMASCOPE_HOST_DEVICE inline Stretch empty_stretch() {
  constexpr double infinity = __builtin_huge_val();
  return {0, 0, 0, 0, 0, 0, infinity, -infinity, infinity, 0, 0, 0, -1};
}

SIGMASCOPE_HOST_DEVICE inline RowGroup empty_group() { return {empty_stretch(), -1}; }

// Whether the sums of powers of numbers about zero serve: their mean has at most 7/8 of the
// squares, which loses three bits, and no fourth power overflows.
SIGMASCOPE_HOST_DEVICE inline bool serves(const PowerSums& s, double mean) {
  return s.first * mean <= 0.875 * s.second && s.fourth < __builtin_huge_val();
}

// Central sums of n numbers from their sums about a pivot. multiply_add(a, b, c) is a b + c, with
// one rounding or two.
template <class MultiplyAdd>
SIGMASCOPE_HOST_DEVICE inline void set_central(double n, double pivot, const PowerSums& s,
                                               const MultiplyAdd& multiply_add, Stretch* out) {
  const double d = s.first / n;
  out->count = n;
  out->mean = pivot + d;
  out->m2 = multiply_add(-d, s.first, s.second);
  out->m3 = multiply_add(-d, multiply_add(3.0, s.second, -(2 * d * s.first)), s.third);
  const double inner = multiply_add(6.0, s.second, -(3 * d * s.first));
  out->m4 = multiply_add(-d, multiply_add(4.0, s.third, -(d * inner)), s.fourth);
}

// Pebay 2008, "Formulas for robust, one-pass parallel computation of covariances and
// arbitrary-order moments". `offset`: of the columns of b.
SIGMASCOPE_HOST_DEVICE inline void merge(Stretch& a, const Stretch& b, std::int64_t offset) {
  if (a.first_nonfinite < 0 && b.first_nonfinite >= 0)
    a.first_nonfinite = offset + b.first_nonfinite;
  a.nans += b.nans;
  a.infinities += b.infinities;
  a.zeros += b.zeros;
  a.minimum = b.minimum < a.minimum ? b.minimum : a.minimum;
  a.maximum = b.maximum > a.maximum ? b.maximum : a.maximum;
  a.least = b.least < a.least ? b.least : a.least;
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

// All stretches of a row.
SIGMASCOPE_HOST_DEVICE inline Stretch merged_row(const Stretch* stretches, std::int64_t count,
                                                 std::int64_t apart, std::int64_t length) {
  Stretch row = empty_stretch();
  LongSum squares;
  for (std::int64_t part = 0; part < count; ++part) {
    merge(row, stretches[part * apart], part * length);
    squares.add(stretches[part * apart].sum_squares);
  }
  row.sum_squares = squares.value();
  return row;
}

// Adds row i of the matrix.
SIGMASCOPE_HOST_DEVICE inline void add_row(RowGroup& group, const Stretch& row, std::int64_t i) {
  if (group.first_row < 0 && row.first_nonfinite >= 0) group.first_row = i;
  merge(group.sums, row, 0);
}

SIGMASCOPE_HOST_DEVICE inline void add(ChangeSums& to, const ChangeSums& more) {
  to.before2 += more.before2;
  to.after2 += more.after2;
  to.change2 += more.change2;
  to.product += more.product;
  to.before_units2 += more.before_units2;
  to.after_units2 += more.after_units2;
  to.units += more.units;
  to.unchanged += more.unchanged;
}

// The same with what each addition loses: in order, the squares of 8191 equal rows are off by more
// than the bounds of changes allow for.
SIGMASCOPE_HOST_DEVICE inline void add(ChangeTotal& to, const ChangeSums& more) {
  const auto exactly = [&](double ChangeSums::* member) {
    LongSum sum{to.sums.*member, to.lost.*member};
    sum.add(more.*member);
    to.sums.*member = sum.total, to.lost.*member = sum.lost;
  };
  exactly(&ChangeSums::before2), exactly(&ChangeSums::after2), exactly(&ChangeSums::change2);
  exactly(&ChangeSums::product);
  exactly(&ChangeSums::before_units2), exactly(&ChangeSums::after_units2);
  to.sums.units += more.units;
  to.sums.unchanged += more.unchanged;
}

// All that was added.
SIGMASCOPE_HOST_DEVICE inline ChangeSums sum_of(const ChangeTotal& total) {
  ChangeSums all = total.sums;
  const auto with_lost = [&](double ChangeSums::* member) {
    all.*member = LongSum{all.*member, total.lost.*member}.value();
  };
  with_lost(&ChangeSums::before2), with_lost(&ChangeSums::after2);
  with_lost(&ChangeSums::change2), with_lost(&ChangeSums::product);
  with_lost(&ChangeSums::before_units2), with_lost(&ChangeSums::after_units2);
  return all;
}

}  // namespace
}  // namespace sigmascope
