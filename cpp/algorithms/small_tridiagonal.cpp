// SPDX-License-Identifier: BSD-3-Clause
#include "algorithms/small_tridiagonal.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "algorithms/lapack_calls.hpp"
#include "matrix/sizes.hpp"

extern "C" {
void scipy_dsytrd_(const char*, const int*, double*, const int*, double*, double*, double*, double*,
                   const int*, int*);
void scipy_dormtr_(const char*, const char*, const char*, const int*, const int*, const double*,
                   const int*, const double*, double*, const int*, double*, const int*, int*);
}

namespace sigmascope {

namespace {

// Half bandwidth up to which rotations take less time than reflections.
constexpr std::int64_t narrow = 8;

// The half bandwidth of a matrix, from its lower triangle; any number above `narrow` stands for
// more.
std::int64_t half_bandwidth(const Small& matrix) {
  std::int64_t w = 0;
  for (std::int64_t j = 0; j < matrix.cols && w <= narrow; ++j)
    for (std::int64_t i = matrix.rows - 1; i > j + w; --i)
      if (matrix(i, j) != 0) w = i - j;
  return w;
}

// The exponent of the largest number of a band, for which no square of a scaled number overflows.
int exponent_of(const Small& matrix, std::int64_t w) {
  double largest = 0;
  for (std::int64_t j = 0; j < matrix.cols; ++j)
    for (std::int64_t i = j; i < std::min(matrix.rows, j + w + 1); ++i)
      largest = std::max(largest, std::abs(matrix(i, j)));
  return largest > 0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
}

struct Rotation {
  double c, s;
};

// The lower triangle of a symmetric band matrix, and the diagonal below the band, where rotations
// make one element at a time.
class Band {
 public:
  Band(const Small& matrix, std::int64_t w, int exponent)
      : w_(w), height_(w + 2), numbers_(height_, matrix.rows + 1) {
    for (std::int64_t j = 0; j < matrix.cols; ++j)
      for (std::int64_t i = j; i < std::min(matrix.rows, j + w + 1); ++i)
        *at(i, j) = std::ldexp(matrix(i, j), -exponent);
  }

  double* at(std::int64_t i, std::int64_t j) { return numbers_.data() + j * height_ + (i - j); }

  // Rotate element (p + 1, j) into the one above it.
  Rotation remove(std::int64_t p, std::int64_t j) {
    const double x = *at(p, j), y = *at(p + 1, j), norm = std::sqrt(x * x + y * y);
    Rotation by{1, 0};
    if (y != 0 && norm != 0) {  // where squares vanish, y is far below rounding
      by = {x / norm, y / norm};
      rotate_plane(p, by.c, by.s, j);
    }
    *at(p + 1, j) = 0;
    return by;
  }

 private:
  // Rotate rows and columns p, p + 1. Row p has no elements left of column `first` or of the band.
  void rotate_plane(std::int64_t p, double c, double s, std::int64_t first) {
    for (std::int64_t j = std::max(first, p - w_); j < p; ++j) pair(*at(p, j), *at(p + 1, j), c, s);
    double *left = at(p, p), *right = at(p + 1, p + 1);
    const double xx = left[0], xy = left[1], yy = right[0], cross = 2 * c * s * xy;
    left[0] = c * c * xx + cross + s * s * yy;
    left[1] = (c - s) * (c + s) * xy + c * s * (yy - xx);
    right[0] = s * s * xx - cross + c * c * yy;
    for (std::int64_t k = 1; k <= w_; ++k) pair(left[k + 1], right[k], c, s);
  }

  static void pair(double& x, double& y, double c, double s) {
    const double before = x;
    x = c * before + s * y;
    y = c * y - s * before;
  }

  std::int64_t w_, height_;
  Small numbers_;  // column j: the elements (j, j), (j + 1, j), ...
};

}  // namespace

Small padded(const Small& rows) {
  Small result((rows.rows + rows_together - 1) / rows_together * rows_together, rows.cols);
  result.set_part(0, 0, rows);
  return result;
}

BandRotations::BandRotations(const Small& matrix, std::int64_t w, int exponent,
                             std::vector<double>& diagonal, std::vector<double>& below)
    : n_(matrix.rows), w_(w) {
  Band band(matrix, w, exponent);
  // Where the next rotation of a chase acts, and its place among all of them.
  struct Chase {
    std::int64_t p, from, at;
  };
  std::vector<Chase> chases;
  std::int64_t count = 0;
  for (std::int64_t j = 0; j + 2 < n_; ++j)
    for (std::int64_t i = std::min(j + w, n_ - 1); i >= j + 2; --i) {
      chases.push_back({.p = i - 1, .from = j, .at = count});
      count += (n_ - 1 - i) / w + 1;
    }
  rotations_ = Small(2, count);
  // A rotation waits long for its root and quotients. Several chases go on at a time, each three
  // rotations behind the one before it, where they have no element in common.
  constexpr std::size_t behind = 3;
  for (std::size_t first = 0, end = 0, turn = 0; first < chases.size(); ++turn) {
    if (turn % behind == 0 && end < chases.size()) ++end;
    for (std::size_t c = first; c < end; ++c) {
      auto& [p, from, at] = chases[c];
      if (p + 1 >= n_) continue;
      const Rotation by = band.remove(p, from);
      rotations_(0, at) = by.c, rotations_(1, at) = by.s;
      from = p, p += w, ++at;
    }
    while (first < end && chases[first].p + 1 >= n_) ++first;
  }
  for (std::int64_t j = 0; j < n_; ++j) {
    diagonal[as_size(j)] = std::ldexp(*band.at(j, j), exponent);
    below[as_size(j)] = w > 0 && j + 1 < n_ ? std::ldexp(*band.at(j + 1, j), exponent) : 0.0;
  }
}

void BandRotations::multiply_rows(Small& x) const {
  std::int64_t next = 0;
  for (std::int64_t j = 0; j + 2 < n_; ++j)
    for (std::int64_t i = std::min(j + w_, n_ - 1); i >= j + 2; --i)
      for (std::int64_t p = i - 1; p + 1 < n_; p += w_, ++next)
        rotate(&x(0, p), rotations_(0, next), rotations_(1, next), x.rows);
}

void BandRotations::multiply_columns(Small& x) const {
  Small rows = padded(x.transposed());
  std::int64_t next = rotations_.cols;
  for (std::int64_t j = n_ - 3; j >= 0; --j)
    for (std::int64_t i = j + 2; i <= std::min(j + w_, n_ - 1); ++i)
      for (std::int64_t p = i - 1 + (n_ - 1 - i) / w_ * w_; p >= i - 1; p -= w_) {
        --next;
        rotate(&rows(0, p), rotations_(0, next), -rotations_(1, next), rows.rows);
      }
  x = rows.part(0, x.cols, 0, n_).transposed();
}

Tridiagonalized::Tridiagonalized(Small matrix)
    : diagonal(as_size(matrix.rows)),
      below(diagonal.size()),
      order_(to_int(matrix.rows)),
      is_narrow_(false) {
  const std::int64_t w = half_bandwidth(matrix);
  is_narrow_ = w <= narrow;
  if (is_narrow_) {
    rotations_ = BandRotations(matrix, w, exponent_of(matrix, w), diagonal, below);
    matrix = Small();  // an argument lives until the statement of its caller ends
  } else {
    reduce_by_reflections(std::move(matrix));
  }
}

void Tridiagonalized::reduce_by_reflections(Small matrix) {
  to_order(order_, std::int64_t{order_} * order_);  // dsytrd counts elements in 32 bits
  reflections_ = std::move(matrix);
  tau_.resize(diagonal.size());
  Small work(std::int64_t{64} * order_, 1);
  const int lwork = static_cast<int>(work.rows);
  int failed = 0;
  scipy_dsytrd_("L", &order_, reflections_.data(), &order_, diagonal.data(), below.data(),
                tau_.data(), work.data(), &lwork, &failed);
  check("dsytrd", failed);
  below.back() = 0;  // LAPACK leaves it as it was
}

void Tridiagonalized::multiply(Small& x) const {
  if (is_narrow_) return rotations_.multiply_columns(x);
  const int rows = to_int(x.rows), cols = to_int(x.cols);
  const int lwork = 64 * std::max(cols, 1);
  Small work(lwork, 1);
  int failed = 0;
  scipy_dormtr_("L", "L", "N", &rows, &cols, reflections_.data(), &order_, tau_.data(), x.data(),
                &rows, work.data(), &lwork, &failed);
  check("dormtr", failed);
}

Small Tridiagonalized::chosen_rows(std::int64_t first, std::int64_t last) const {
  Small chosen(first + last, order_);
  for (std::int64_t i = 0; i < first; ++i) chosen(i, i) = 1;
  for (std::int64_t i = 0; i < last; ++i) chosen(first + i, order_ - last + i) = 1;
  if (is_narrow_) {
    chosen = padded(chosen);
    rotations_.multiply_rows(chosen);
    return chosen.part(0, first + last, 0, order_);
  }
  const int rows = to_int(chosen.rows), lwork = 64 * std::max(rows, 1);
  Small work(lwork, 1);
  int failed = 0;
  scipy_dormtr_("R", "L", "N", &rows, &order_, reflections_.data(), &order_, tau_.data(),
                chosen.data(), &rows, work.data(), &lwork, &failed);
  check("dormtr", failed);
  return chosen;
}

ScaledTridiagonal::ScaledTridiagonal(const Tridiagonalized& t)
    : diagonal(t.diagonal), below(t.below) {
  double largest = 0;
  for (const auto* numbers : {&diagonal, &below})
    for (const double x : *numbers) largest = std::max(largest, std::abs(x));
  if (largest > 0 && std::isfinite(largest)) exponent = std::ilogb(largest);
  for (auto* numbers : {&diagonal, &below})
    for (double& x : *numbers) x = std::ldexp(x, -exponent);
}

}  // namespace sigmascope
