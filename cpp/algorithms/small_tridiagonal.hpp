// SPDX-License-Identifier: BSD-3-Clause
// Small symmetric matrices reduced to tridiagonal form.
#pragma once

#include <cstdint>
#include <vector>

#include "matrix/small.hpp"

namespace sigmascope {

// Columns of this many numbers, or a multiple of it, are rotated.
inline constexpr std::int64_t rows_together = 8;

// Rows in columns that can be rotated: zeros are added.
Small padded(const Small& rows);

// Rotate two adjacent columns x, y of `height` numbers into c x + s y, c y - s x.
inline void rotate(double* left, double c, double s, std::int64_t height) {
  for (double *right = left + height, *end = right; left < end;
       left += rows_together, right += rows_together) {
    double x[rows_together], y[rows_together];
    for (std::int64_t q = 0; q < rows_together; ++q) x[q] = left[q], y[q] = right[q];
    for (std::int64_t q = 0; q < rows_together; ++q) {
      left[q] = c * x[q] + s * y[q];
      right[q] = c * y[q] - s * x[q];
    }
  }
}

// The rotations that reduce a symmetric matrix of half bandwidth w to tridiagonal form (Schwarz
// 1968). Column by column, each element below the subdiagonal, the outermost first, is rotated into
// the one above it. This makes an element w rows further down, outside of the band, which the next
// rotation removes, and so on to the end of the matrix. About n^2 (w - 1) / 2 w rotations.
class BandRotations {
 public:
  BandRotations() = default;
  // Reduces a matrix given by its lower triangle, whose half bandwidth is w, times 2^-exponent.
  BandRotations(const Small& matrix, std::int64_t w, int exponent, std::vector<double>& diagonal,
                std::vector<double>& below);
  void multiply_rows(Small& x) const;     // x = x Q, for padded rows x
  void multiply_columns(Small& x) const;  // x = Q x

 private:
  std::int64_t n_ = 0, w_ = 0;
  Small rotations_;  // columns c, s in the order of their application
};

// A symmetric matrix, given by its lower triangle, as Q T Q^T, where T is tridiagonal: from
// rotations if the matrix has a narrow band, as the projection of a block Krylov space has, or else
// from reflections (dsytrd). With eight rows of Q, rotations take half of the time at order 64 and
// half bandwidth 4, and two thirds at order 128 and half bandwidth 8.
class Tridiagonalized {
 public:
  explicit Tridiagonalized(Small matrix);
  int order() const { return order_; }
  void multiply(Small& x) const;                                   // x = Q x
  Small chosen_rows(std::int64_t first, std::int64_t last) const;  // the first and last rows of Q

  std::vector<double> diagonal, below;  // of T

 private:
  void reduce_by_reflections(Small matrix);

  int order_;
  bool is_narrow_;
  BandRotations rotations_;
  Small reflections_;
  std::vector<double> tau_;
};

// T over a power of two, so that its largest number is between 1 and 2. No square leaves the range
// of numbers then, and iterations take the same steps whatever the scale of T.
struct ScaledTridiagonal {
  explicit ScaledTridiagonal(const Tridiagonalized& t);

  std::vector<double> diagonal, below;
  int exponent = 0;
};

}  // namespace sigmascope
