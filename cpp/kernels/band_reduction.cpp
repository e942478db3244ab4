// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/band_reduction.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/lapack.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t line = 8;  // numbers in 64 bytes, the widest vector

std::int64_t whole_lines(std::int64_t count) { return (count + line - 1) / line * line; }
std::int64_t parts(std::int64_t extent, std::int64_t part) { return (extent + part - 1) / part; }

AlignedArray<double> zeros(std::int64_t count) {
  auto array = aligned_array<double>(count);
  std::fill_n(array.get(), count, 0.0);
  return array;
}

void check(const char* routine, int failed) {
  if (failed != 0)
    throw std::runtime_error(std::string("LAPACK ") + routine + " failed with info = " + std::to_string(failed));
}

// c_rj = c_jr for r < j: of a square, column-major, the lower triangle is given.
void mirror(double* c, std::int64_t n, std::int64_t ld) {
  constexpr std::int64_t block = 16;  // both sides of the diagonal in the L1 cache
  for (std::int64_t j0 = 0; j0 < n; j0 += block)
    for (std::int64_t r0 = 0; r0 <= j0; r0 += block)
      for (std::int64_t j = j0; j < std::min(j0 + block, n); ++j)
        for (std::int64_t r = r0; r < std::min(r0 + block, j); ++r) c[j * ld + r] = c[r * ld + j];
}

}  // namespace

BandReduction::BandReduction(const Isa& isa, ThreadPool& pool, double* a, std::int64_t n)
    : isa_(isa),
      pool_(pool),
      a_(a),
      n_(n),
      ld_((parts(n + line, line) | 1) * line),  // an odd number of lines: columns fall into different cache sets
      panel_(zeros(b * ld_)),
      left_(zeros(parts(n, tile) * tile * k)),
      right_(zeros(parts(n, tile) * tile * k)),
      v_(zeros(n * b)),
      x_(zeros(n * b)),
      w_(zeros(n * b)),
      partial_(zeros(lanes_for(n) * n * b)),
      tiles_(zeros(pool.threads() * tile * tile)) {}

std::int64_t BandReduction::lanes_for(std::int64_t m) const {
  return std::clamp<std::int64_t>(parts(m, tile) / 2, 1, most_lanes);
}

void BandReduction::rows(std::int64_t o, const std::function<void(std::int64_t, std::int64_t)>& task) {
  const std::int64_t first = o / tile;
  pool_.run(parts(n_, tile) - first, [&](std::int64_t part, int) {
    const std::int64_t i = std::max(o, (first + part) * tile);
    task(i, tile_rows(i));
  });
}

void BandReduction::run(double* band, const std::function<void()>& pulse) {
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
void BandReduction::load_panel(std::int64_t j) {
  const std::int64_t count = std::min(b, n_ - j);
  rows(j, [&](std::int64_t i, std::int64_t extent) {
    for (std::int64_t c = 0; c < count; ++c) std::copy_n(a_ + (j + c) * n_ + i, extent, panel_.get() + c * ld_ + i);
    if (waiting_)
      isa_.product_f64(count, whole_lines(extent), k, right_.get() + place(j), 1, tile, left_.get() + place(i), tile,
                       panel_.get() + i, ld_, Accumulate::sum_blocks);
  });
}

void BandReduction::store_band(std::int64_t j, double* band) const {
  for (std::int64_t c = 0; c < std::min(b, n_ - j); ++c)
    std::copy_n(panel_.get() + c * ld_ + j + c, std::min(b + 1, n_ - j - c), band + (j + c) * band_ld);
}

// Rows [o, n) of the panel = Q [R; 0]: V (row-major; columns beyond n - o are zero) and T (row-major).
void BandReduction::factorise(std::int64_t o) {
  const std::int64_t m = n_ - o, columns = std::min(b, m);
  const int mi = static_cast<int>(m), ki = static_cast<int>(columns), ldi = static_cast<int>(ld_),
            ldt = static_cast<int>(b);
  double* q = panel_.get() + o;
  int failed = 0;
  scipy_dgeqrt3_(&mi, &ki, q, &ldi, s_.data(), &ldt, &failed);
  check("dgeqrt3", failed);
  if (columns < b) {
    const int others = static_cast<int>(b - columns);
    scipy_dgemqrt_("L", "T", &mi, &others, &ki, &ki, q, &ldi, s_.data(), &ldt, q + columns * ld_, &ldi, c_.data(),
                   &failed);
    check("dgemqrt", failed);
  }
  t_.fill(0.0);
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t i = 0; i <= c; ++i)
      t_[static_cast<std::size_t>(i * b + c)] = s_[static_cast<std::size_t>(c * b + i)];
  rows(o, [&](std::int64_t first, std::int64_t extent) {
    for (std::int64_t i = first; i < first + extent; ++i)
      for (std::int64_t c = 0; c < b; ++c)
        v_[i * b + c] = c >= columns || i - o < c ? 0.0 : i - o == c ? 1.0 : panel_[c * ld_ + i];
  });
}

// A := A + L R^T and X = A V.
void BandReduction::sweep(std::int64_t o) {
  const std::int64_t first = o / tile, side = parts(n_, tile), lanes = lanes_for(n_ - o);
  pool_.run(lanes, [&](std::int64_t lane, int worker) {
    double* x = partial_.get() + lane * n_ * b;
    double* t = tiles_.get() + worker * tile * tile;
    std::fill_n(x + o * b, (n_ - o) * b, 0.0);
    for (std::int64_t column = first; column < side; ++column) {
      const std::int64_t turn = (column - first) % (2 * lanes);  // forth and back: every lane has as many tiles
      if (turn != lane && turn != 2 * lanes - 1 - lane) continue;
      for (std::int64_t row = column; row < side; ++row)
        sweep_tile(std::max(o, row * tile), std::max(o, column * tile), t, x);
    }
  });
  rows(o, [&](std::int64_t i, std::int64_t count) {
    double* x = x_.get() + i * b;
    std::copy_n(partial_.get() + i * b, count * b, x);
    for (std::int64_t lane = 1; lane < lanes; ++lane) {
      const double* other = partial_.get() + (lane * n_ + i) * b;
      for (std::int64_t e = 0; e < count * b; ++e) x[e] += other[e];
    }
  });
}

// The tile that begins at (i, j), in t: x_i += A_ij v_j and x_j += A_ij^T v_i.
void BandReduction::sweep_tile(std::int64_t i, std::int64_t j, double* t, double* x) {
  const std::int64_t height = tile_rows(i), width = tile_rows(j);
  double* a = a_ + j * n_ + i;
  const auto below = [&](std::int64_t c) { return i == j ? c : 0; };  // the first row of column c that is stored
  for (std::int64_t c = 0; c < width; ++c)
    std::copy(a + c * n_ + below(c), a + c * n_ + height, t + c * tile + below(c));
  if (waiting_) {
    update_tile(i, j, t);
    for (std::int64_t c = 0; c < width; ++c)
      std::copy(t + c * tile + below(c), t + c * tile + height, a + c * n_ + below(c));
  }
  if (i == j) mirror(t, width, tile);
  isa_.product_f64(height, b, width, t, 1, tile, v_.get() + j * b, b, x + i * b, b, Accumulate::sum_blocks);
  if (i != j) isa_.product_f64(width, b, height, t, tile, 1, v_.get() + i * b, b, x + j * b, b, Accumulate::sum_blocks);
}

void BandReduction::update_tile(std::int64_t i, std::int64_t j, double* t) {
  const std::int64_t height = tile_rows(i), width = tile_rows(j);
  for (std::int64_t c = 0; c < width; c += b) {  // on the diagonal, little of what lies above it
    const std::int64_t above = i == j ? c : 0;
    isa_.product_f64(std::min(b, width - c), whole_lines(height - above), k, right_.get() + place(j + c), 1, tile,
                     left_.get() + place(i + above), tile, t + c * tile + above, tile, Accumulate::sum_blocks);
  }
}

// W = X T - V (T^T V^T X T) / 2, and with it L = [V W], R = -[W V].
void BandReduction::prepare_update(std::int64_t o) {
  rows(o, [&](std::int64_t i, std::int64_t count) {
    std::fill_n(w_.get() + i * b, count * b, 0.0);
    isa_.product_f64(count, b, b, x_.get() + i * b, b, 1, t_.data(), b, w_.get() + i * b, b, Accumulate::sum_blocks);
  });
  constexpr std::int64_t part = 16;
  s_.fill(0.0);
  pool_.run(b / part, [&](std::int64_t index, int) {
    isa_.product_f64(part, b, n_ - o, v_.get() + o * b + index * part, 1, b, w_.get() + o * b, b,
                     s_.data() + index * part * b, b, Accumulate::sum_blocks);
  });
  c_.fill(0.0);
  isa_.product_f64(b, b, b, t_.data(), 1, b, s_.data(), b, c_.data(), b, Accumulate::sum_blocks);
  for (double& value : c_) value *= -0.5;
  rows(o, [&](std::int64_t first, std::int64_t count) {
    const double* v = v_.get() + first * b;
    double *w = w_.get() + first * b, *left = left_.get() + place(first), *right = right_.get() + place(first);
    isa_.product_f64(count, b, b, v, b, 1, c_.data(), b, w, b, Accumulate::sum_blocks);
    for (std::int64_t i0 = 0; i0 < count; i0 += line)  // turned in parts that share cache lines
      for (std::int64_t c = 0; c < b; ++c)
        for (std::int64_t i = i0; i < std::min(i0 + line, count); ++i) {
          left[c * tile + i] = v[i * b + c];
          left[(b + c) * tile + i] = w[i * b + c];
          right[c * tile + i] = -w[i * b + c];
          right[(b + c) * tile + i] = -v[i * b + c];
        }
  });
  waiting_ = true;
}

}  // namespace sigmascope
