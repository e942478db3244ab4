// SPDX-License-Identifier: BSD-3-Clause
// The work of a search, limited to half of that of every singular value: with what then takes its
// place, the Gram matrix and its eigenvectors, a search costs about twice a full decomposition at
// most. Of small matrices, whose calls take their time by themselves, to all of it.
#pragma once

#include <cstdint>
#include <limits>

namespace sigmascope {

// In flops of the products of a block; what is slower counts as more (the rates of `costs.py`). No
// clock, and no number of threads: the same matrix is given up at the same step.
class Work {
 public:
  static constexpr std::int64_t worth_saving = 128;  // order

  Work(std::int64_t m, std::int64_t n, bool bounded)
      : m_(static_cast<double>(m)),
        n_(static_cast<double>(n)),
        each_(n < worth_saving ? 0.0 : 2.5e6),
        most_(bounded ? (n < worth_saving ? 1.0 : 0.5) * (2 * m_ + 25 * n_) * n_ * n_
                      : std::numeric_limits<double>::infinity()) {}

  // A^T (A X) for X of so many columns, made orthogonal to a basis. Products take them by eight.
  void step(std::int64_t columns, std::int64_t basis) {
    columns = (columns + 7) / 8 * 8;
    done_ += each_ + static_cast<double>(columns) *
                         (4 * m_ * n_ + 14 * n_ * static_cast<double>(columns + basis));
  }
  // The projection's eigenvectors.
  void look(std::int64_t d) { done_ += 17 * cube(static_cast<double>(d)); }
  void read_out(std::int64_t columns) {
    const auto d = static_cast<double>(columns);
    done_ += 4 * m_ * n_ * d + 14 * (m_ + n_) * d * d + 40 * cube(d);
  }
  bool spent() const { return done_ > most_; }

 private:
  static double cube(double d) { return d * d * d; }

  double m_, n_;
  double each_;  // of a step by itself: calls and small factorisations, 0.1 ms where LAPACK has 25
                 // Gflop/s
  double most_, done_ = 0;
};

}  // namespace sigmascope
