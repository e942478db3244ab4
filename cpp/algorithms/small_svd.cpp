// SPDX-License-Identifier: BSD-3-Clause
// The SVD of a small matrix: A = Q B P^T by reflections, with B bidiagonal (dgebrd). The vectors of
// B come from divide and conquer (dbdsdc), the values from dqds (dbdsqr).
//
// Divide and conquer deflates values closer than 64 roundings of the largest one, again and again
// in a cluster: its values were off by up to 318 roundings in 250 matrices of a few large values
// over a flat bulk (test_certificates.py), those of dqds by 5. Residuals show what the vectors have
// lost.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "algorithms/lapack_calls.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/sizes.hpp"

extern "C" {
void scipy_dgeqrf_(const int*, const int*, double*, const int*, double*, double*, const int*, int*);
void scipy_dormqr_(const char*, const char*, const int*, const int*, const int*, const double*,
                   const int*, const double*, double*, const int*, double*, const int*, int*);
void scipy_dgebrd_(const int*, const int*, double*, const int*, double*, double*, double*, double*,
                   double*, const int*, int*);
void scipy_dormbr_(const char*, const char*, const char*, const int*, const int*, const int*,
                   const double*, const int*, const double*, double*, const int*, double*,
                   const int*, int*);
void scipy_dbdsqr_(const char*, const int*, const int*, const int*, const int*, double*, double*,
                   double*, const int*, double*, const int*, double*, const int*, double*, int*);
void scipy_dbdsdc_(const char*, const char*, const int*, double*, double*, double*, const int*,
                   double*, const int*, double*, int*, double*, int*, int*);
}

namespace sigmascope {

namespace {

// call(work, lwork) with as much workspace as it asks for.
template <class Call>
void with_workspace(const Call& call) {
  const int query = -1;
  double wanted = 0;
  call(&wanted, &query);
  const int size = std::max(static_cast<int>(wanted), 1);
  Small work(size, 1);
  call(work.data(), &size);
}

// A = Q R with Q as reflections, for a matrix of at least as many rows as columns.
class Reflections {
 public:
  explicit Reflections(Small a) : a_(std::move(a)), tau_(as_size(a_.cols)) {
    const int m = to_int(a_.rows), n = to_int(a_.cols);
    int failed = 0;
    with_workspace([&](double* work, const int* size) {
      scipy_dgeqrf_(&m, &n, a_.data(), &m, tau_.data(), work, size, &failed);
    });
    check("dgeqrf", failed);
  }

  std::int64_t rows() const { return a_.rows; }

  Small r() const {
    Small upper(a_.cols, a_.cols);
    for (std::int64_t j = 0; j < a_.cols; ++j)
      std::copy_n(a_.data() + j * a_.rows, j + 1, upper.data() + j * upper.rows);
    return upper;
  }

  // Q x for x of as many rows as R.
  Small times(const Small& x) const {
    Small product(a_.rows, x.cols);
    product.set_part(0, 0, x);
    const int m = to_int(a_.rows), n = to_int(x.cols), k = to_int(a_.cols);
    int failed = 0;
    with_workspace([&](double* work, const int* size) {
      scipy_dormqr_("L", "N", &m, &n, &k, a_.data(), &m, tau_.data(), product.data(), &m, work,
                    size, &failed);
    });
    check("dormqr", failed);
    return product;
  }

 private:
  Small a_;
  std::vector<double> tau_;
};

// A = Q R of a tall matrix, strip by strip of its rows; the R of all strips are reduced in turn
// (Demmel, Grigori, Hoemmen & Langou 2012). Reflections of a strip stay in the cache: R takes a
// third of the time of dgeqrf for 400,000 x 50, a fifth for 10^6 x 10. Sums run over no more rows
// than a strip has, so that errors do not grow with the number of rows.
class TallQr {
 public:
  explicit TallQr(Small a) : rows_(a.rows), cols_(a.cols) {
    const std::int64_t count = std::max<std::int64_t>(rows_ / strip_rows(cols_), 1);
    if (count == 1) {
      strips_.emplace_back(std::move(a));
      return;
    }
    Small stacked(count * cols_, cols_);
    strips_.reserve(as_size(count));
    for (std::int64_t i = 0; i < count; ++i) {
      strips_.emplace_back(a.part(i * rows_ / count, (i + 1) * rows_ / count, 0, cols_));
      stacked.set_part(i * cols_, 0, strips_.back().r());
    }
    a = Small();
    rest_ = std::make_unique<TallQr>(std::move(stacked));
  }

  // Worth it for matrices so tall that the rest is then square.
  static bool is_worth(const Small& a) { return 6 * a.rows >= 11 * a.cols; }

  Small r() const { return rest_ ? rest_->r() : strips_.front().r(); }

  // Q x for x of as many rows as R.
  Small times(const Small& x) const {
    if (!rest_) return strips_.front().times(x);
    const Small below = rest_->times(x);
    Small product(rows_, x.cols);
    std::int64_t i = 0, row = 0;
    for (const Reflections& strip : strips_) {
      product.set_part(row, 0, strip.times(below.part(i, i + cols_, 0, x.cols)));
      i += cols_, row += strip.rows();
    }
    return product;
  }

 private:
  // A strip's R is at most an eighth of it. Where rows repeat, a strip of 4096 errs by 0.73 of the
  // bound of a value, and one of 1024 by 0.47.
  static std::int64_t strip_rows(std::int64_t cols) {
    return std::max<std::int64_t>(8 * cols, 1024);
  }

  std::int64_t rows_, cols_;
  std::vector<Reflections> strips_;
  std::unique_ptr<TallQr> rest_;  // of the R of the strips
};

// A = Q B P^T, m >= n, with Q and P as reflections.
struct Bidiagonal {
  Small a;
  std::vector<double> diagonal, above, left_tau, right_tau;

  explicit Bidiagonal(Small given)
      : a(std::move(given)),
        diagonal(as_size(a.cols)),
        above(diagonal.size()),
        left_tau(diagonal.size()),
        right_tau(diagonal.size()) {
    const int m = to_int(a.rows), n = to_order(a.cols, a.rows * a.cols);
    int failed = 0;
    with_workspace([&](double* work, const int* size) {
      scipy_dgebrd_(&m, &n, a.data(), &m, diagonal.data(), above.data(), left_tau.data(),
                    right_tau.data(), work, size, &failed);
    });
    check("dgebrd", failed);
  }

  // x = Q x ("Q", not transposed) or x = x P^T ("P", transposed).
  void apply(const char* which, const char* side, const char* transposed,
             const std::vector<double>& tau, Small& x) const {
    const int rows = to_int(x.rows), cols = to_int(x.cols), n = to_int(a.cols), ld = to_int(a.rows);
    int failed = 0;
    with_workspace([&](double* work, const int* size) {
      scipy_dormbr_(which, side, transposed, &rows, &cols, &n, a.data(), &ld, tau.data(), x.data(),
                    &rows, work, size, &failed);
    });
    check("dormbr", failed);
  }
};

std::vector<double> values_of(const Bidiagonal& b) {
  std::vector<double> values = b.diagonal, above = b.above;
  const int n = to_int(b.a.cols), none = 0, one = 1;
  std::vector<double> work(4 * values.size());
  double unused = 0;
  int failed = 0;
  scipy_dbdsqr_("U", &n, &none, &none, &none, values.data(), above.data(), &unused, &one, &unused,
                &one, &unused, &one, work.data(), &failed);
  check("dbdsqr", failed);
  // Of two equal values (dlas2) the second may be rounded to more than the first.
  std::sort(values.rbegin(), values.rend());
  return values;
}

SmallSvd svd_by_bidiagonal(Small a) {
  const std::int64_t m = a.rows, p = a.cols;
  const Bidiagonal b(std::move(a));
  SmallSvd result{Small(m, p), values_of(b), Small()};
  std::vector<double> diagonal = b.diagonal, above = b.above;
  Small left(p, p), right(p, p), work(3 * p * p + 4 * p, 1);
  std::vector<int> iwork(as_size(8 * p));
  const int n = to_order(p, 2 * p * p + 2 * p + 1);  // before the vectors of a merge (dlasd1)
  double unused = 0;
  int unused_index = 0, failed = 0;
  scipy_dbdsdc_("U", "I", &n, diagonal.data(), above.data(), left.data(), &n, right.data(), &n,
                &unused, &unused_index, work.data(), iwork.data(), &failed);
  check("dbdsdc", failed);
  result.u.set_part(0, 0, left);
  b.apply("Q", "L", "N", b.left_tau, result.u);
  b.apply("P", "R", "T", b.right_tau, right);
  result.v = right.transposed();
  return result;
}

// m >= n >= 1
SmallSvd tall_svd(Small a) {
  if (!TallQr::is_worth(a)) return svd_by_bidiagonal(std::move(a));
  const TallQr qr(std::move(a));
  SmallSvd result = svd_by_bidiagonal(qr.r());
  result.u = qr.times(result.u);
  return result;
}

}  // namespace

SmallSvd svd(Small a) {
  if (std::min(a.rows, a.cols) == 0) return {Small(a.rows, 0), {}, Small(a.cols, 0)};
  if (a.rows >= a.cols) return tall_svd(std::move(a));
  SmallSvd result = tall_svd(a.transposed());
  std::swap(result.u, result.v);
  return result;
}

}  // namespace sigmascope
