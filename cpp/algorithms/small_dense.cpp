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
void scipy_dsytrd_(const char*, const int*, double*, const int*, double*, double*, double*, double*,
                   const int*, int*);
void scipy_dsterf_(const int*, double*, double*, int*);
void scipy_dstein_(const int*, const double*, const double*, const int*, const double*, const int*,
                   const int*, double*, const int*, double*, int*, int*, int*);
void scipy_dstedc_(const char*, const int*, double*, double*, double*, const int*, double*,
                   const int*, int*, const int*, int*);
void scipy_dormtr_(const char*, const char*, const char*, const int*, const int*, const double*,
                   const int*, const double*, double*, const int*, double*, const int*, int*);
void scipy_dgesv_(const int*, const int*, double*, const int*, int*, double*, const int*, int*);
void scipy_dpotrf_(const char*, const int*, double*, const int*, int*);
void scipy_dtrtri_(const char*, const char*, const int*, double*, const int*, int*);
}

namespace sigmascope {

namespace {

Small gemm(const char* transa, const Small& a, const Small& b, std::int64_t m, std::int64_t k) {
  Small c(m, b.cols);
  if (m == 0 || b.cols == 0 || k == 0) return c;
  const int mi = to_int(m), n = to_int(b.cols), ki = to_int(k), lda = to_int(a.rows),
            ldb = to_int(b.rows);
  const double one = 1, zero = 0;
  scipy_dgemm_(transa, "N", &mi, &n, &ki, &one, a.data(), &lda, b.data(), &ldb, &zero, c.data(),
               &mi);
  return c;
}

}  // namespace

Small matmul(const Small& a, const Small& b) { return gemm("N", a, b, a.rows, a.cols); }
Small matmul_adjoint(const Small& a, const Small& b) { return gemm("T", a, b, a.cols, a.rows); }

Small gram_of(const Small& a) {
  Small square(a.cols, a.cols);
  const int n = to_int(a.cols), k = to_int(a.rows);
  if (n == 0 || k == 0) return square;
  const double one = 1, zero = 0;
  scipy_dsyrk_("U", "T", &n, &k, &one, a.data(), &k, &zero, square.data(), &n);
  return square;
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
  const int n = to_int(a.rows);
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

// The k largest eigenpairs by inverse iteration, if it finds orthonormal vectors of all of them.
std::optional<EigenPairs> by_inverse_iteration(const Tridiagonalized& t, std::int64_t k) {
  const int n = t.order(), count = to_int(k);
  std::vector<double> all = t.diagonal, below = t.below;
  int failed = 0;
  scipy_dsterf_(&n, all.data(), below.data(), &failed);
  check("dsterf", failed);
  const std::vector<double> ascending(all.end() - count, all.end());
  const std::vector<int> one_block(as_size(n), 1), its_end(as_size(n), n);
  Small found(n, k), work(5 * std::int64_t{n}, 1);
  std::vector<int> iwork(as_size(n)), late(as_size(k));
  scipy_dstein_(&n, t.diagonal.data(), t.below.data(), &count, ascending.data(), one_block.data(),
                its_end.data(), found.data(), &n, work.data(), iwork.data(), late.data(), &failed);
  if (failed != 0) return std::nullopt;
  EigenPairs result{{ascending.rbegin(), ascending.rend()}, Small(n, k)};
  for (std::int64_t j = 0; j < k; ++j) std::copy_n(&found(0, k - 1 - j), n, &result.vectors(0, j));
  // Vectors of different clusters are orthogonal up to roundings over the distance of these.
  constexpr double nearly = 1e-8;
  const Small square = gram_of(result.vectors);
  for (std::int64_t j = 0; j < k; ++j)
    for (std::int64_t i = 0; i <= j; ++i)
      if (!(std::abs(square(i, j) - (i == j ? 1.0 : 0.0)) <= nearly)) return std::nullopt;
  result.vectors = matmul(result.vectors, inverse_upper(*cholesky(square)));
  const double allowed = 64 * 0x1p-53 * std::max(std::abs(all.front()), std::abs(all.back()));
  for (std::int64_t j = 0; j < k; ++j) {
    double square_sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      double defect = (t.diagonal[as_size(i)] - result.values[as_size(j)]) * result.vectors(i, j);
      if (i > 0) defect += t.below[as_size(i - 1)] * result.vectors(i - 1, j);
      if (i + 1 < n) defect += t.below[as_size(i)] * result.vectors(i + 1, j);
      square_sum += defect * defect;
    }
    if (!(std::sqrt(square_sum) <= allowed)) return std::nullopt;
  }
  t.apply_reflections("L", result.vectors);
  return result;
}

}  // namespace

EigenPairs top_eigenpairs(Small matrix, std::int64_t k) {
  constexpr std::int64_t few = 5;  // of so many values: measured, below
  Tridiagonalized t(std::move(matrix));
  if (k > 0 && few * k <= t.order())
    if (auto found = by_inverse_iteration(t, k)) return std::move(*found);
  return Diagonalized(std::move(t)).top(k);
}

EigenRows Diagonalized::rows(std::int64_t first, std::int64_t last) const {
  const std::int64_t n = order_, wanted = first + last;
  EigenRows result{std::vector<double>(values_.rbegin(), values_.rend()), Small(first, n),
                   Small(last, n)};
  if (n == 0 || wanted == 0) return result;
  Small chosen(wanted, n);
  for (std::int64_t i = 0; i < first; ++i) chosen(i, i) = 1;
  for (std::int64_t i = 0; i < last; ++i) chosen(first + i, n - last + i) = 1;
  tridiagonal_.apply_reflections("R", chosen);
  const Small selected = matmul(chosen, z_);
  for (std::int64_t j = 0; j < n; ++j) {
    const double* column = selected.data() + (n - 1 - j) * wanted;
    std::copy_n(column, first, result.first.data() + j * first);
    std::copy_n(column + first, last, result.last.data() + j * last);
  }
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
