// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of small symmetric matrices, and as much of their vectors as is asked for.
//
// A matrix is reduced to tridiagonal form (dsytrd). All vectors come from divide and conquer
// (dstedc), a few of them from inverse iteration (dstein), a few of their rows from the implicit QL
// method.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/lapack_calls.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/sizes.hpp"

extern "C" {
void scipy_dsytrd_(const char*, const int*, double*, const int*, double*, double*, double*, double*,
                   const int*, int*);
void scipy_dsterf_(const int*, double*, double*, int*);
void scipy_dstein_(const int*, const double*, const double*, const int*, const double*, const int*,
                   const int*, double*, const int*, double*, int*, int*, int*);
void scipy_dstedc_(const char*, const int*, double*, double*, double*, const int*, double*,
                   const int*, int*, const int*, int*);
void scipy_dormtr_(const char*, const char*, const char*, const int*, const int*, const double*,
                   const int*, const double*, double*, const int*, double*, const int*, int*);
}

namespace sigmascope {

Tridiagonalized::Tridiagonalized(Small matrix)
    : diagonal(as_size(matrix.rows)),
      below(diagonal.size()),
      order_(to_int(matrix.rows)),
      reflections_(std::move(matrix)),
      tau_(diagonal.size()) {
  if (order_ == 0) return;
  Small work(std::int64_t{64} * order_, 1);
  const int lwork = static_cast<int>(work.rows);
  int failed = 0;
  scipy_dsytrd_("L", &order_, reflections_.data(), &order_, diagonal.data(), below.data(),
                tau_.data(), work.data(), &lwork, &failed);
  check("dsytrd", failed);
}

void Tridiagonalized::apply_reflections(const char* side, Small& x) const {
  const int rows = to_int(x.rows), cols = to_int(x.cols);
  const int lwork = 64 * std::max({rows, cols, 1});
  Small work(lwork, 1);
  int failed = 0;
  scipy_dormtr_(side, "L", "N", &rows, &cols, reflections_.data(), &order_, tau_.data(), x.data(),
                &rows, work.data(), &lwork, &failed);
  check("dormtr", failed);
}

Small Tridiagonalized::chosen_rows(std::int64_t first, std::int64_t last) const {
  Small chosen(first + last, order_);
  for (std::int64_t i = 0; i < first; ++i) chosen(i, i) = 1;
  for (std::int64_t i = 0; i < last; ++i) chosen(first + i, order_ - last + i) = 1;
  apply_reflections("R", chosen);
  return chosen;
}

Diagonalized::Diagonalized(Small matrix) : Diagonalized(Tridiagonalized(std::move(matrix))) {}

Diagonalized::Diagonalized(Tridiagonalized matrix)
    : tridiagonal_(std::move(matrix)),
      order_(tridiagonal_.order()),
      z_(order_, order_),
      values_(tridiagonal_.diagonal) {
  if (order_ == 0) return;
  std::vector<double> below = tridiagonal_.below;
  Small work(std::int64_t{order_} * (order_ + 4) + 1, 1);
  std::vector<int> iwork(5 * values_.size() + 3);
  const int lwork = static_cast<int>(work.rows), liwork = static_cast<int>(iwork.size());
  int failed = 0;
  scipy_dstedc_("I", &order_, values_.data(), below.data(), z_.data(), &order_, work.data(), &lwork,
                iwork.data(), &liwork, &failed);
  check("dstedc", failed);
}

EigenPairs Diagonalized::top(std::int64_t k) const {
  const std::int64_t n = order_;
  EigenPairs result{std::vector<double>(as_size(k)), Small(n, k)};
  if (n == 0 || k == 0) return result;
  std::copy_n(values_.rbegin(), k, result.values.begin());
  for (std::int64_t j = 0; j < k; ++j)
    std::copy_n(z_.data() + (n - 1 - j) * n, n, &result.vectors(0, j));
  tridiagonal_.apply_reflections("L", result.vectors);
  return result;
}

namespace {

// T over a power of two, so that its largest number is between 1 and 2. No square leaves the range
// of numbers then, and inverse iteration takes the same steps whatever the scale of T.
struct Scaled {
  std::vector<double> diagonal, below;
  int exponent;
};

Scaled scaled(const Tridiagonalized& t) {
  Scaled result{t.diagonal, t.below, 0};
  if (!result.below.empty()) result.below.back() = 0;  // LAPACK leaves it as it was
  double largest = 0;
  for (const auto* numbers : {&result.diagonal, &result.below})
    for (const double x : *numbers) largest = std::max(largest, std::abs(x));
  if (largest > 0 && std::isfinite(largest)) result.exponent = std::ilogb(largest);
  for (auto* numbers : {&result.diagonal, &result.below})
    for (double& x : *numbers) x = std::ldexp(x, -result.exponent);
  return result;
}

// Whether |T x - lambda x| is a rounding error for each column x.
bool are_eigenvectors(const Scaled& t, const std::vector<double>& lambda, const Small& x) {
  const std::int64_t n = x.rows;
  const double allowed = 64 * 0x1p-53 * 2;
  for (std::int64_t j = 0; j < x.cols; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      double defect = (t.diagonal[as_size(i)] - lambda[as_size(j)]) * x(i, j);
      if (i > 0) defect += t.below[as_size(i - 1)] * x(i - 1, j);
      if (i + 1 < n) defect += t.below[as_size(i)] * x(i + 1, j);
      sum += defect * defect;
    }
    if (!(std::sqrt(sum) <= allowed)) return false;
  }
  return true;
}

// Eigenvectors of the k largest values, given in descending order, by inverse iteration; nothing
// if it does not find orthonormal vectors of all of them.
std::optional<Small> by_inverse_iteration(const Tridiagonalized& t,
                                          const std::vector<double>& values, std::int64_t k) {
  const int n = t.order(), count = to_int(k);
  const Scaled matrix = scaled(t);
  std::vector<double> descending(values.begin(), values.begin() + k);
  for (double& value : descending) value = std::ldexp(value, -matrix.exponent);
  const std::vector<double> ascending(descending.rbegin(), descending.rend());
  const std::vector<int> one_block(as_size(n), 1), its_end(as_size(n), n);
  Small found(n, k), work(5 * std::int64_t{n}, 1);
  std::vector<int> iwork(as_size(n)), late(as_size(k));
  int failed = 0;
  scipy_dstein_(&n, matrix.diagonal.data(), matrix.below.data(), &count, ascending.data(),
                one_block.data(), its_end.data(), found.data(), &n, work.data(), iwork.data(),
                late.data(), &failed);
  if (failed != 0) return std::nullopt;
  Small vectors(n, k);
  for (std::int64_t j = 0; j < k; ++j) std::copy_n(&found(0, k - 1 - j), n, &vectors(0, j));
  // Vectors of different clusters are orthogonal up to roundings over the distance of these.
  constexpr double nearly = 1e-8;
  const Small square = gram_of(vectors);
  for (std::int64_t j = 0; j < k; ++j)
    for (std::int64_t i = 0; i <= j; ++i)
      if (!(std::abs(square(i, j) - (i == j ? 1.0 : 0.0)) <= nearly)) return std::nullopt;
  vectors = matmul(vectors, inverse_upper(*cholesky(square)));
  if (!are_eigenvectors(matrix, descending, vectors)) return std::nullopt;
  t.apply_reflections("L", vectors);
  return vectors;
}

// Whether inverse iteration for k vectors costs less than divide and conquer. Measured: both cost
// the same for 0.39 of the vectors at order 64, 0.28 at order 128, 0.27 at order 256.
bool are_few(std::int64_t k, std::int64_t order) { return k > 0 && 4 * k <= order; }

}  // namespace

EigenPairs top_eigenpairs(Small matrix, std::int64_t k) {
  Tridiagonalized t(std::move(matrix));
  if (are_few(k, t.order())) {
    const int n = t.order();
    auto [values, below, exponent] = scaled(t);
    int failed = 0;
    scipy_dsterf_(&n, values.data(), below.data(), &failed);
    check("dsterf", failed);
    for (double& value : values) value = std::ldexp(value, exponent);
    std::reverse(values.begin(), values.end());
    if (auto vectors = by_inverse_iteration(t, values, k)) {
      values.resize(as_size(k));
      return {std::move(values), std::move(*vectors)};
    }
  }
  return Diagonalized(std::move(t)).top(k);
}

Small top_eigenvectors(const Tridiagonalized& matrix, const std::vector<double>& values,
                       std::int64_t k) {
  if (are_few(k, matrix.order()))
    if (auto vectors = by_inverse_iteration(matrix, values, k)) return std::move(*vectors);
  return Diagonalized(matrix).top(k).vectors;
}

EigenRows Diagonalized::rows(std::int64_t first, std::int64_t last) const {
  const std::int64_t n = order_, wanted = first + last;
  EigenRows result{std::vector<double>(values_.rbegin(), values_.rend()), Small(first, n),
                   Small(last, n)};
  if (n == 0 || wanted == 0) return result;
  const Small selected = matmul(tridiagonal_.chosen_rows(first, last), z_);
  for (std::int64_t j = 0; j < n; ++j) {
    const double* column = selected.data() + (n - 1 - j) * wanted;
    std::copy_n(column, first, result.first.data() + j * first);
    std::copy_n(column + first, last, result.last.data() + j * last);
  }
  return result;
}

namespace {

// The rows of a matrix that are rotated together.
constexpr std::int64_t rows_together = 8;

// Rotate two adjacent columns, of a multiple of rows_together numbers.
inline void rotate(double* left, double s, double c, std::int64_t height) {
  for (double *right = left + height, *end = right; left < end;
       left += rows_together, right += rows_together) {
    double x[rows_together], y[rows_together];
    for (std::int64_t q = 0; q < rows_together; ++q) x[q] = left[q], y[q] = right[q];
    for (std::int64_t q = 0; q < rows_together; ++q) {
      right[q] = s * x[q] + c * y[q];
      left[q] = c * x[q] - s * y[q];
    }
  }
}

// The implicit QL method: values of a scaled tridiagonal matrix take the place of its diagonal, and
// the rotations are applied to the columns of `rows`, whose number is a multiple of rows_together.
// False if a value does not converge.
bool implicit_ql(std::vector<double>& diagonal, std::vector<double>& below, Small& rows) {
  constexpr int most_sweeps = 60;
  // Values need an absolute accuracy only, so that numbers below a rounding error of T are zeros.
  constexpr double unit = 0x1p-53;
  const auto n = static_cast<std::int64_t>(diagonal.size());
  const std::int64_t height = rows.rows;
  double *d = diagonal.data(), *e = below.data();
  for (std::int64_t l = 0; l < n; ++l)
    for (int sweep = 0;; ++sweep) {
      std::int64_t m = l;  // the block from l to m is not reduced
      while (m + 1 < n &&
             std::abs(e[m]) > unit * std::max(std::abs(d[m]) + std::abs(d[m + 1]), 0.5))
        ++m;
      if (m == l) break;
      if (sweep == most_sweeps) return false;
      const double half = (d[l + 1] - d[l]) / (2 * e[l]);
      double g = d[m] - d[l] + e[l] / (half + std::copysign(std::hypot(half, 1.0), half));
      double s = 1, c = 1, shift = 0;
      std::int64_t i = m - 1;
      for (; i >= l; --i) {
        const double f = s * e[i], b = c * e[i], r = std::sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) break;
        s = f / r, c = g / r;
        g = d[i + 1] - shift;
        const double t = (d[i] - g) * s + 2 * c * b;
        shift = s * t;
        d[i + 1] = g + shift;
        g = c * t - b;
        rotate(rows.data() + i * height, s, c, height);
      }
      if (i >= l) d[i + 1] -= shift;  // the block falls apart
      else d[l] -= shift, e[l] = g;
      e[m] = 0;
    }
  return true;
}

}  // namespace

std::optional<EigenRows> eigen_rows(const Tridiagonalized& matrix, std::int64_t first,
                                    std::int64_t last) {
  const std::int64_t n = matrix.order();
  auto [values, below, exponent] = scaled(matrix);
  const std::int64_t wanted = first + last,
                     height = (wanted + rows_together - 1) / rows_together * rows_together;
  Small rows(height, n);
  rows.set_part(0, 0, matrix.chosen_rows(first, last));
  if (!implicit_ql(values, below, rows)) return std::nullopt;
  std::vector<std::int64_t> order(as_size(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) {
    return values[as_size(i)] > values[as_size(j)];
  });
  EigenRows result{{}, Small(first, n), Small(last, n)};
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t from = order[as_size(j)];
    result.values.push_back(std::ldexp(values[as_size(from)], exponent));
    const double* column = rows.data() + from * height;
    std::copy_n(column, first, result.first.data() + j * first);
    std::copy_n(column + first, last, result.last.data() + j * last);
  }
  return result;
}

}  // namespace sigmascope
