// SPDX-License-Identifier: BSD-3-Clause
// When to check convergence. Columns are counted as they are multiplied, over the whole search.
//
// A check diagonalises the projection T of order d, which costs c_check d^2 (d + 250) seconds: the
// quadratic part is that of LAPACK's unblocked code, which small matrices take. A column of the
// basis costs c_column m n seconds. With p columns between checks, p / 2 columns are multiplied in
// vain on average, and `left` columns take left / p checks: the sum of both costs is least for
// p = sqrt(2 c_check / c_column) sqrt(left d^2 (d + 250) / (m n)). The first factor, the root of
// the costs, is one of the device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sigmascope {

class CheckSchedule {
 public:
  // size: m n
  CheckSchedule(double size, std::int64_t block, double cost_root)
      : size_(size), block_(block), cost_root_(cost_root) {}

  // The schedule of a search for A's values by blocks on a device.
  template <class B, class A>
  static CheckSchedule of(B& device, const A& a, std::int64_t block) {
    const double size = static_cast<double>(a.rows()) * static_cast<double>(a.cols());
    return {size, block, device.check_cost_root(size, block)};
  }

  // Forget earlier checks: the space has been changed by other than steps.
  void reset() { excess_ = 0, convergence_rate_ = 1; }

  // The next check is due `columns` after the first `multiplied`.
  void check_after(std::int64_t multiplied, std::int64_t columns) {
    next_check_column_ = multiplied + columns;
  }

  // Plan the next check after one where `multiplied` columns were multiplied, T had order d, and
  // the largest error was `excess` times the tolerance.
  void plan_check(std::int64_t multiplied, std::int64_t d, double excess) {
    check_after(multiplied, columns_until_next_check(multiplied, d, excess));
  }

  bool is_due(std::int64_t multiplied) const { return multiplied >= next_check_column_; }
  std::int64_t next_check_column() const { return next_check_column_; }

  // Factor of the error from one column to the next, between the last two checks.
  double convergence_rate() const { return convergence_rate_; }

 private:
  // The number of columns that are left follows from the last two checks, since convergence only
  // quickens; after a single one it is taken to be d / 4.
  std::int64_t columns_until_next_check(std::int64_t multiplied, std::int64_t d, double excess) {
    const auto columns = static_cast<double>(d);
    double left = columns / 4;
    convergence_rate_ = 1;
    if (excess > 1 && excess_ > excess && multiplied_ < multiplied) {
      convergence_rate_ =
          std::pow(excess / excess_, 1 / static_cast<double>(multiplied - multiplied_));
      left = -std::log(excess) / std::log(convergence_rate_);
    }
    multiplied_ = multiplied, excess_ = excess;
    const double cheapest =
        cost_root_ * columns * std::sqrt(left * (columns + quadratic_order) / size_);
    // A check that comes a little too early is in vain, and the next one costs more.
    const double wait = std::min({1.25 * left, columns / 2, cheapest});
    // Steps take whole blocks: the nearest number of them.
    const auto blocks = std::llround(wait / static_cast<double>(block_));
    return block_ * std::max<std::int64_t>(blocks, 1);
  }

  // The order below which the quadratic part of the cost is the larger one.
  static constexpr double quadratic_order = 250;

  double size_;
  std::int64_t block_;
  double cost_root_;
  std::int64_t multiplied_ = 0;  // columns at the last check
  double excess_ = 0;            // at the last check; 0: it was of another space
  double convergence_rate_ = 1;
  std::int64_t next_check_column_ = 0;
};

}  // namespace sigmascope
