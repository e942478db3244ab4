// SPDX-License-Identifier: BSD-3-Clause
// When the projection T of a search is worth another look.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sigmascope {

// Looks are as far apart as steps that may have been needless cost: a look takes 1.7e-10 d^3
// seconds (`costs.py`), a column 4 m n / 424e9; of `left` columns that are still to come, 6
// sqrt(left d^3 / (m n)).
class Looks {
 public:
  Looks(double size, std::int64_t block) : size_(size), block_(block) {}  // size: m n

  void afresh() { off_ = 0, shrink_ = 1; }  // the space is another

  // Columns from here to the next, where `taken` were multiplied, T has d, and the largest error is
  // `off` times what is allowed. As many are left as the last two looks expect, for convergence
  // only quickens; else d / 4.
  std::int64_t until_next(std::int64_t taken, std::int64_t d, double off) {
    const auto columns = static_cast<double>(d);
    double left = columns / 4;
    shrink_ = 1;
    if (off > 1 && off_ > off && taken_ < taken) {
      shrink_ = std::pow(off / off_, 1 / static_cast<double>(taken - taken_));
      left = -std::log(off) / std::log(shrink_);
    }
    taken_ = taken, off_ = off;
    const double wait =
        std::min({left, columns / 2, 6 * std::sqrt(left * columns * columns * columns / size_)});
    return std::max(block_, static_cast<std::int64_t>(wait));
  }

  double shrink() const {
    return shrink_;
  }  // of the error, from one column to the next, between the last two

 private:
  double size_;
  std::int64_t block_;
  std::int64_t taken_ = 0;  // at the last look,
  double off_ = 0;          // and its excess; 0: of another space
  double shrink_ = 1;
};

}  // namespace sigmascope
