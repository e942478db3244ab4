// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/eigenvalues/band_reduction.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/blocks/lapack.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t line = 16;  // floats in 64 bytes, the widest vector

std::int64_t parts(std::int64_t extent, std::int64_t part) { return (extent + part - 1) / part; }
std::int64_t whole_lines(std::int64_t count) { return parts(count, line) * line; }

template <class T>
AlignedArray<T> zeros(std::int64_t count) {
  auto array = aligned_array<T>(count);
  std::fill_n(array.get(), count, T(0));
  return array;
}

void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine +
                             " failed with info = " + std::to_string(failed));
}

// c_rj = c_jr for r < j: of a square, column-major, the lower triangle is given.
template <class T>
void mirror(T* c, std::int64_t n, std::int64_t ld) {
  constexpr std::int64_t block = 16;  // both sides of the diagonal in the L1 cache
  for (std::int64_t j0 = 0; j0 < n; j0 += block)
    for (std::int64_t r0 = 0; r0 <= j0; r0 += block)
      for (std::int64_t j = j0; j < std::min(j0 + block, n); ++j)
        for (std::int64_t r = r0; r < std::min(r0 + block, j); ++r) c[j * ld + r] = c[r * ld + j];
}

}  // namespace

template <class Real>
BandReduction<Real>::BandReduction(const Isa& isa, ThreadPool& pool, double* a, std::int64_t n)
    : isa_(isa),
      pool_(pool),
      a_(a),
      n_(n),
      // An odd number of lines: columns fall into different cache sets.
      ld_((parts(n + line, line) | 1) * line),
      panel_(zeros<double>(b * ld_)),
      left_(zeros<Real>(parts(n, tile) * tile * k)),
      right_(zeros<Real>(parts(n, tile) * tile * k)),
      v_(zeros<double>(n * b)),
      x_(zeros<double>(n * b)),
      w_(zeros<double>(n * b)),
      partial_(zeros<double>(lanes_for(n) * n * b)),
      tiles_(zeros<Real>(2 * pool.threads() * tile * tile)),
      factor_(zeros<Real>(n * b)) {}

template <class Real>
void BandReduction<Real>::rows(std::int64_t o,
                               const std::function<void(std::int64_t, std::int64_t, int)>& task) {
  const std::int64_t first = o / tile;
  pool_.run(parts(n_, tile) - first, [&](std::int64_t part, int worker) {
    const std::int64_t i = std::max(o, (first + part) * tile);
    task(i, tile_rows(i), worker);
  });
}

template <class Real>
void BandReduction<Real>::run(double* band, const std::function<void()>& pulse) {
  for (std::int64_t j = 0; j < n_; j += b) {
    const std::int64_t o = j + b;  // what is left of A begins at (o, o)
    load_panel(j);
    if (o < n_) factorise(o);
    store_band(j, band);
    if (o >= n_) break;
    sweep(o);
    prepare_update(o);
    pulse();
  }
}

// Columns [j, j + b) of A + L R^T, on and below the diagonal.
template <class Real>
void BandReduction<Real>::load_panel(std::int64_t j) {
  const std::int64_t count = std::min(b, n_ - j);
  rows(j, [&](std::int64_t i, std::int64_t extent, int worker) {
    for (std::int64_t c = 0; c < count; ++c)
      std::copy_n(a_ + (j + c) * n_ + i, extent, panel_.get() + c * ld_ + i);
    if (waiting_)
      add_product(count, extent, k, right_.get() + place(j), 1, tile, left_.get() + place(i), tile,
                  panel_.get() + i, ld_, tiles_.get() + worker * 2 * tile * tile);
  });
}

template <class Real>
void BandReduction<Real>::store_band(std::int64_t j, double* band) const {
  for (std::int64_t c = 0; c < std::min(b, n_ - j); ++c)
    std::copy_n(panel_.get() + c * ld_ + j + c, std::min(b + 1, n_ - j - c),
                band + (j + c) * band_ld);
}

// Rows [o, n) of the panel = Q [R; 0]: V (row-major; columns beyond n - o are zero) and T
// (row-major).
template <class Real>
void BandReduction<Real>::factorise(std::int64_t o) {
  const std::int64_t m = n_ - o, columns = std::min(b, m);
  const int mi = static_cast<int>(m), ki = static_cast<int>(columns), ldi = static_cast<int>(ld_),
            ldt = static_cast<int>(b);
  double* q = panel_.get() + o;
  int failed = 0;
  scipy_dgeqrt3_(&mi, &ki, q, &ldi, s_.data(), &ldt, &failed);
  check("dgeqrt3", failed);
  if (columns < b) {
    const int others = static_cast<int>(b - columns);
    scipy_dgemqrt_("L", "T", &mi, &others, &ki, &ki, q, &ldi, s_.data(), &ldt, q + columns * ld_,
                   &ldi, c_.data(), &failed);
    check("dgemqrt", failed);
  }
  rows(o, [&](std::int64_t first, std::int64_t extent, int) {
    for (std::int64_t i = first; i < first + extent; ++i)
      for (std::int64_t c = 0; c < b; ++c) {
        // A column with tau = 0 has no reflector.
        const bool none = c >= columns || s_[as_size(c * b + c)] == 0;
        const double value = none || i - o < c ? 0.0 : i - o == c ? 1.0 : panel_[c * ld_ + i];
        v_[i * b + c] = factor_[i * b + c] = static_cast<Real>(value);
      }
  });
  t_.fill(0.0);
  if constexpr (sizeof(Real) == sizeof(double)) {
    for (std::int64_t c = 0; c < columns; ++c)
      for (std::int64_t i = 0; i <= c; ++i) t_[as_size(i * b + c)] = s_[as_size(c * b + i)];
  } else {
    orthogonalise(o);
  }
}

// T for V as it was rounded, which keeps Q = I - V T V^T orthogonal: T^-1 is the upper triangle of
// V^T V with half its diagonal, Puglisi 1992, "Modification of the Householder method based on the
// compact WY representation".
template <class Real>
void BandReduction<Real>::orthogonalise(std::int64_t o) {
  inner(o, v_.get(), v_.get());
  for (std::int64_t i = 0; i < b; ++i)
    for (std::int64_t c = i; c < b; ++c) {
      const double value = s_[as_size(i * b + c)];
      t_[as_size(i * b + c)] = c > i ? value : value > 0 ? value / 2 : 1.0;
    }
  const int order = static_cast<int>(b);
  int failed = 0;
  // A row-major upper triangle is a column-major lower one.
  scipy_dtrtri_("L", "N", &order, t_.data(), &order, &failed);
  check("dtrtri", failed);
}

// s_ = x^T y over rows [o, n)
template <class Real>
void BandReduction<Real>::inner(std::int64_t o, const double* x, const double* y) {
  constexpr std::int64_t part = 16;
  s_.fill(0.0);
  pool_.run(b / part, [&](std::int64_t index, int) {
    isa_.product.f64(part, b, n_ - o, x + o * b + index * part, 1, b, y + o * b, b,
                     s_.data() + index * part * b, b, Accumulate::sum_blocks);
  });
}

// A := A + L R^T and X = A V.
template <class Real>
void BandReduction<Real>::sweep(std::int64_t o) {
  const std::int64_t first = o / tile, side = parts(n_, tile), lanes = lanes_for(n_ - o);
  pool_.run(lanes, [&](std::int64_t lane, int worker) {
    double* x = partial_.get() + lane * n_ * b;
    Real* t = tiles_.get() + worker * 2 * tile * tile;
    std::fill_n(x + o * b, (n_ - o) * b, 0.0);
    for (std::int64_t column = first; column < side; ++column) {
      // Lanes are dealt forth and back, so that each gets as many tiles.
      const std::int64_t turn = (column - first) % (2 * lanes);
      if (turn != lane && turn != 2 * lanes - 1 - lane) continue;
      for (std::int64_t row = column; row < side; ++row)
        sweep_tile(std::max(o, row * tile), std::max(o, column * tile), t, t + tile * tile, x);
    }
  });
  rows(o, [&](std::int64_t i, std::int64_t count, int) {
    double* x = x_.get() + i * b;
    std::copy_n(partial_.get() + i * b, count * b, x);
    for (std::int64_t lane = 1; lane < lanes; ++lane) {
      const double* other = partial_.get() + (lane * n_ + i) * b;
      for (std::int64_t e = 0; e < count * b; ++e) x[e] += other[e];
    }
  });
}

// The tile that begins at (i, j), in t: x_i += A_ij v_j and x_j += A_ij^T v_i.
template <class Real>
void BandReduction<Real>::sweep_tile(std::int64_t i, std::int64_t j, Real* t, Real* scratch,
                                     double* x) {
  const std::int64_t height = tile_rows(i), width = tile_rows(j);
  load_tile(i, j, t, scratch);
  if (i == j) mirror(t, width, tile);
  add_product(height, b, width, t, 1, tile, factor_.get() + j * b, b, x + i * b, b, scratch);
  if (i != j)
    add_product(width, b, height, t, tile, 1, factor_.get() + i * b, b, x + j * b, b, scratch);
}

// A_ij := A_ij + L_i R_j^T if that waits, and t := A_ij, column-major; on the diagonal only the
// lower triangle.
template <class Real>
void BandReduction<Real>::load_tile(std::int64_t i, std::int64_t j, Real* t, Real* scratch) {
  const std::int64_t height = tile_rows(i), width = tile_rows(j);
  constexpr bool in_place = sizeof(Real) < sizeof(double);
  for (std::int64_t first = 0; first < width; first += b) {
    const std::int64_t above = i == j ? first : 0, count = std::min(b, width - first);
    double* a = a_ + (j + first) * n_ + i + above;
    Real* to = t + first * tile + above;
    const auto update = [&](double* c, std::int64_t ld) {
      add_product(count, height - above, k, right_.get() + place(j + first), 1, tile,
                  left_.get() + place(i + above), tile, c, ld, scratch);
    };
    if (in_place && waiting_) update(a, n_);
    for (std::int64_t c = 0; c < count; ++c) {
      const std::int64_t below = i == j ? c : 0;
      for (std::int64_t r = below; r < height - above; ++r)
        to[c * tile + r] = static_cast<Real>(a[c * n_ + r]);
    }
    if constexpr (!in_place) {
      if (!waiting_) continue;
      update(to, tile);
      for (std::int64_t c = 0; c < count; ++c) {
        const std::int64_t below = i == j ? c : 0;
        std::copy(to + c * tile + below, to + c * tile + height - above, a + c * n_ + below);
      }
    }
  }
}

// c (rows x cols, row-major) += left (rows x terms, any steps) right (terms x cols, row-major). In
// fp64 what lies up to the next whole line of c is overwritten.
template <class Real>
void BandReduction<Real>::add_product(std::int64_t rows, std::int64_t cols, std::int64_t terms,
                                      const Real* left, std::int64_t row_step, std::int64_t k_step,
                                      const Real* right, std::int64_t ldr, double* c,
                                      std::int64_t ldc, Real* scratch) {
  const auto product = IsaOf<Real>::product(isa_);
  const std::int64_t whole = whole_lines(cols);
  if constexpr (sizeof(Real) == sizeof(double)) {
    product(rows, whole, terms, left, row_step, k_step, right, ldr, c, ldc, Accumulate::sum_blocks);
  } else {
    std::fill_n(scratch, rows * whole, Real(0));
    product(rows, whole, terms, left, row_step, k_step, right, ldr, scratch, whole,
            Accumulate::chain);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t e = 0; e < cols; ++e)
        c[i * ldc + e] += static_cast<double>(scratch[i * whole + e]);
  }
}

// W = X T - V (T^T V^T X T) / 2, and with it L = [V W], R = -[W V].
template <class Real>
void BandReduction<Real>::prepare_update(std::int64_t o) {
  rows(o, [&](std::int64_t i, std::int64_t count, int) {
    std::fill_n(w_.get() + i * b, count * b, 0.0);
    isa_.product.f64(count, b, b, x_.get() + i * b, b, 1, t_.data(), b, w_.get() + i * b, b,
                     Accumulate::sum_blocks);
  });
  inner(o, v_.get(), w_.get());
  c_.fill(0.0);
  isa_.product.f64(b, b, b, t_.data(), 1, b, s_.data(), b, c_.data(), b, Accumulate::sum_blocks);
  for (double& value : c_) value *= -0.5;
  rows(o, [&](std::int64_t first, std::int64_t count, int) {
    const double* v = v_.get() + first * b;
    double* w = w_.get() + first * b;
    Real *left = left_.get() + place(first), *right = right_.get() + place(first);
    isa_.product.f64(count, b, b, v, b, 1, c_.data(), b, w, b, Accumulate::sum_blocks);
    for (std::int64_t i0 = 0; i0 < count; i0 += line)  // in parts that share cache lines
      for (std::int64_t c = 0; c < b; ++c)
        for (std::int64_t i = i0; i < std::min(i0 + line, count); ++i) {
          left[c * tile + i] = static_cast<Real>(v[i * b + c]);
          left[(b + c) * tile + i] = static_cast<Real>(w[i * b + c]);
          right[c * tile + i] = static_cast<Real>(-w[i * b + c]);
          right[(b + c) * tile + i] = static_cast<Real>(-v[i * b + c]);
        }
  });
  waiting_ = true;
}

template class BandReduction<float>;
template class BandReduction<double>;

}  // namespace sigmascope
