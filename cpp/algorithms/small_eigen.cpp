// SPDX-License-Identifier: BSD-3-Clause
// Eigenvalues of small symmetric matrices, and as much of their vectors as is asked for.
//
// A matrix is reduced to tridiagonal form. All vectors come from divide and conquer (dstedc), a few
// of them from inverse iteration (dstein); a few of their rows from implicit_ql.cpp.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/lapack_calls.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/sizes.hpp"

extern "C" {
void scipy_dsterf_(const int*, double*, double*, int*);
void scipy_dstein_(const int*, const double*, const double*, const int*, const double*, const int*,
                   const int*, double*, const int*, double*, int*, int*, int*);
void scipy_dstedc_(const char*, const int*, double*, double*, double*, const int*, double*,
                   const int*, int*, const int*, int*);
}

namespace sigmascope {

namespace {

std::int64_t workspace_numbers(std::int64_t n) { return n * (n + 4) + 1; }  // of dstedc

}  // namespace

Diagonalized::Diagonalized(Small matrix) : Diagonalized(Tridiagonalized(std::move(matrix))) {}

Diagonalized::Diagonalized(Tridiagonalized matrix)
    : tridiagonal_(std::move(matrix)),
      order_(to_order(tridiagonal_.order(), workspace_numbers(tridiagonal_.order()))),
      z_(order_, order_),
      values_(tridiagonal_.diagonal) {
  if (order_ == 0) return;
  std::vector<double> below = tridiagonal_.below;
  Small work(workspace_numbers(order_), 1);
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
  tridiagonal_.multiply(result.vectors);
  return result;
}

namespace {

// Whether |T x - lambda x| is a rounding error for each column x.
bool are_eigenvectors(const ScaledTridiagonal& t, const std::vector<double>& lambda,
                      const Small& x) {
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
  const ScaledTridiagonal matrix(t);
  std::vector<double> descending(values.begin(), values.begin() + k);
  for (double& value : descending) value = std::ldexp(value, -matrix.exponent);
  const std::vector<double> ascending(descending.rbegin(), descending.rend());
  const std::vector<int> one_block(as_size(n), 1), its_end(as_size(n), n);
  Small vectors_ascending(n, k), work(5 * std::int64_t{n}, 1);
  std::vector<int> iwork(as_size(n)), late(as_size(k));
  int failed = 0;
  scipy_dstein_(&n, matrix.diagonal.data(), matrix.below.data(), &count, ascending.data(),
                one_block.data(), its_end.data(), vectors_ascending.data(), &n, work.data(),
                iwork.data(), late.data(), &failed);
  if (failed != 0) return std::nullopt;
  Small vectors(n, k);
  for (std::int64_t j = 0; j < k; ++j)
    std::copy_n(&vectors_ascending(0, k - 1 - j), n, &vectors(0, j));
  // Vectors of different clusters are orthogonal up to roundings over the distance of these.
  constexpr double nearly = 1e-8;
  const Small square = gram_of(vectors);
  for (std::int64_t j = 0; j < k; ++j)
    for (std::int64_t i = 0; i <= j; ++i)
      if (!(std::abs(square(i, j) - (i == j ? 1.0 : 0.0)) <= nearly)) return std::nullopt;
  vectors = matmul(vectors, inverse_upper(*cholesky(square)));
  if (!are_eigenvectors(matrix, descending, vectors)) return std::nullopt;
  t.multiply(vectors);
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
    auto [values, below, exponent] = ScaledTridiagonal(t);
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

}  // namespace sigmascope
