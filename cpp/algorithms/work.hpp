// SPDX-License-Identifier: BSD-3-Clause
// The work of a search, and its limit.
//
// A search may take two fifths of the work of computing every singular value; a quarter of it below
// order 256. If it is given up there, the Gram matrix and its eigenvectors replace it, and both
// together cost about twice a full decomposition at most. Below order 128 the overhead of calls
// dominates, and the limit is the whole work of every singular value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sigmascope {

// Work is counted in flops of block products; slower operations count as more, by the rates of
// costs.py. No clock and no number of threads is involved, so that a matrix is given up at the same
// step everywhere.
class Work {
 public:
  static constexpr std::int64_t worth_saving = 128;  // order below which a matrix is small

  // together: the columns that kernels multiply together.
  Work(std::int64_t m, std::int64_t n, std::int64_t together, bool bounded)
      : m_(static_cast<double>(m)),
        n_(static_cast<double>(n)),
        together_(together),
        step_overhead_(n < worth_saving ? 0.0 : step_overhead),
        limit_(bounded ? share(n) * (2 * m_ + 25 * n_) * n_ * n_
                       : std::numeric_limits<double>::infinity()) {}

  // A^T (A X) for X of `columns` columns, and its orthogonalisation against a basis.
  void step(std::int64_t columns, std::int64_t basis) {
    columns = (columns + together_ - 1) / together_ * together_;
    const double orthogonalisation = 14 * n_ * static_cast<double>(columns + basis);
    const double overhead =
        step_overhead_ * (0.5 + std::min(static_cast<double>(columns), 8.0) / 16);
    done_ += overhead + static_cast<double>(columns) * (4 * m_ * n_ + orthogonalisation);
  }

  // The eigenvectors of the projection, of order d.
  void check(std::int64_t d) { done_ += 17 * cube(static_cast<double>(d)); }

  // Triplets from `columns` basis vectors: products, orthogonalisation, an SVD.
  void read_out(std::int64_t columns) {
    const auto d = static_cast<double>(columns);
    done_ += 4 * m_ * n_ * d + 14 * (m_ + n_) * d * d + 40 * cube(d);
  }

  bool spent() const { return done_ > limit_; }

 private:
  // Calls and small factorisations of a step: 0.1 ms where LAPACK reaches 25 Gflop/s. Half of it
  // grows with the number of columns up to eight.
  static constexpr double step_overhead = 2.5e6;

  // The part of the work of every singular value that a search may take. What replaces a search
  // reaches a lower rate below order 256, and its calls cost more than its work below 128.
  static double share(std::int64_t n) {
    if (n < worth_saving) return 1.0;
    return n < 256 ? 0.25 : 0.4;
  }

  static double cube(double d) { return d * d * d; }

  double m_, n_;
  std::int64_t together_;
  double step_overhead_;
  double limit_, done_ = 0;
};

}  // namespace sigmascope
