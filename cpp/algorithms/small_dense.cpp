// SPDX-License-Identifier: BSD-3-Clause
#include "algorithms/small_dense.hpp"

#include <algorithm>
#include <cmath>

#include "algorithms/lapack_calls.hpp"
#include "matrix/sizes.hpp"

extern "C" {
void scipy_dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
                  const double*, const int*, const double*, const int*, const double*, double*,
                  const int*);
void scipy_dsyrk_(const char*, const char*, const int*, const int*, const double*, const double*,
                  const int*, const double*, double*, const int*);
void scipy_dsymm_(const char*, const char*, const int*, const int*, const double*, const double*,
                  const int*, const double*, const int*, const double*, double*, const int*);
void scipy_dsyevd_(const char*, const char*, const int*, double*, const int*, double*, double*,
                   const int*, int*, const int*, int*);
void scipy_dgesv_(const int*, const int*, double*, const int*, int*, double*, const int*, int*);
void scipy_dpotrf_(const char*, const int*, double*, const int*, int*);
void scipy_dtrtri_(const char*, const char*, const int*, double*, const int*, int*);
}

namespace sigmascope {

namespace {

// The sum of product(i, count) over strips of rows, as a tree. The square of a column of 4 million
// equal numbers was off by 2900 roundings without strips, and is by 45.
template <class Product>
Small sum_of_strips(std::int64_t first, std::int64_t rows, const Product& product) {
  constexpr std::int64_t strip = 4096;
  if (rows < 2 * strip) return product(first, rows);
  const std::int64_t half = rows / (2 * strip) * strip;
  Small sum = sum_of_strips(first, half, product);
  const Small other = sum_of_strips(first + half, rows - half, product);
  for (std::size_t e = 0; e < sum.values.size(); ++e) sum.values[e] += other.values[e];
  return sum;
}

}  // namespace

Small matmul(const Small& a, const Small& b) {
  Small c(a.rows, b.cols);
  if (a.rows == 0 || b.cols == 0 || a.cols == 0) return c;
  const int m = to_int(a.rows), n = to_int(b.cols), k = to_int(a.cols);
  const double one = 1, zero = 0;
  scipy_dgemm_("N", "N", &m, &n, &k, &one, a.data(), &m, b.data(), &k, &zero, c.data(), &m);
  return c;
}

Small matmul_adjoint(const Small& a, const Small& b) {
  const int m = to_int(a.cols), n = to_int(b.cols), ld = to_int(a.rows);
  if (m == 0 || n == 0 || ld == 0) return {m, n};
  return sum_of_strips(0, a.rows, [&](std::int64_t first, std::int64_t rows) {
    Small c(m, n);
    const int k = to_int(rows);
    const double one = 1, zero = 0;
    scipy_dgemm_("T", "N", &m, &n, &k, &one, a.data() + first, &ld, b.data() + first, &ld, &zero,
                 c.data(), &m);
    return c;
  });
}

Small gram_of(const Small& a) {
  const int n = to_int(a.cols), ld = to_int(a.rows);
  if (n == 0 || ld == 0) return {n, n};
  return sum_of_strips(0, a.rows, [&](std::int64_t first, std::int64_t rows) {
    Small square(n, n);
    const int k = to_int(rows);
    const double one = 1, zero = 0;
    scipy_dsyrk_("U", "T", &n, &k, &one, a.data() + first, &ld, &zero, square.data(), &n);
    return square;
  });
}

std::vector<double> column_norms(const Small& a) {
  std::vector<double> norms(as_size(a.cols));
  for (std::int64_t j = 0; j < a.cols; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < a.rows; ++i) sum += a(i, j) * a(i, j);
    norms[as_size(j)] = std::sqrt(sum);
  }
  return norms;
}

EigenPairs eigh(Small a) {
  const int n = to_order(a.rows, 2 * a.rows * a.rows + 6 * a.rows + 1);  // the workspace
  EigenPairs result{std::vector<double>(as_size(n)), Small()};
  if (n > 0) {
    double work_size = 0;
    int iwork_size = 0, query = -1, failed = 0;
    scipy_dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), &work_size, &query, &iwork_size,
                  &query, &failed);
    int lwork = static_cast<int>(work_size), liwork = iwork_size;
    Small work(lwork, 1);
    std::vector<int> iwork(as_size(liwork));
    scipy_dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), work.data(), &lwork,
                  iwork.data(), &liwork, &failed);
    check("dsyevd", failed);
  }
  std::reverse(result.values.begin(), result.values.end());
  result.vectors = Small(n, n);
  for (std::int64_t j = 0; j < n; ++j) std::copy_n(&a(0, n - 1 - j), n, &result.vectors(0, j));
  return result;
}

Small symmetric_product(const Small& a, const Small& x) {
  Small product(x.rows, x.cols);
  const int n = to_int(x.rows), k = to_int(x.cols);
  if (n == 0 || k == 0) return product;
  const double one = 1, zero = 0;
  scipy_dsymm_("L", "L", &n, &k, &one, a.data(), &n, x.data(), &n, &zero, product.data(), &n);
  return product;
}

std::vector<double> symmetric_residuals(const Small& a, const EigenPairs& pairs) {
  Small defect = pairs.vectors;
  const int n = to_int(defect.rows), k = to_int(defect.cols);
  if (n == 0 || k == 0) return std::vector<double>(as_size(k), 0.0);
  for (std::int64_t j = 0; j < k; ++j)
    for (std::int64_t i = 0; i < n; ++i) defect(i, j) *= -pairs.values[as_size(j)];
  const double one = 1;
  scipy_dsymm_("L", "L", &n, &k, &one, a.data(), &n, pairs.vectors.data(), &n, &one, defect.data(),
               &n);
  return column_norms(defect);
}

std::optional<Small> cholesky(Small a) {
  const int n = to_int(a.rows);
  int failed = 0;
  if (n > 0) scipy_dpotrf_("U", &n, a.data(), &n, &failed);
  if (failed > 0) return std::nullopt;
  check("dpotrf", failed);
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = j + 1; i < n; ++i) a(i, j) = 0;
  return a;
}

Small inverse_upper(Small r) {
  const int n = to_int(r.rows);
  int failed = 0;
  if (n > 0) scipy_dtrtri_("U", "N", &n, r.data(), &n, &failed);
  check("dtrtri", failed);
  return r;
}

std::optional<Small> solution(Small a, Small b) {
  const int n = to_int(a.rows), k = to_int(b.cols);
  std::vector<int> pivots(as_size(n));
  int failed = 0;
  if (n > 0) scipy_dgesv_(&n, &k, a.data(), &n, pivots.data(), b.data(), &n, &failed);
  if (failed > 0) return std::nullopt;
  check("dgesv", failed);
  return b;
}

}  // namespace sigmascope
