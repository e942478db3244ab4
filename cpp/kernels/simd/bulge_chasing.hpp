// SPDX-License-Identifier: BSD-3-Clause
// One step of the reduction of a symmetric band matrix to tridiagonal form by Householder
// reflectors of the band's width. Sweep s annihilates column s below its subdiagonal; the bulge
// that this makes is chased down the band, one block per step: Bischof, Lang & Sun 2000, "A
// framework for symmetric band reduction"; kernels as by Haidar, Ltaief & Dongarra 2011. Each step
// works on two blocks of band_width x band_width that lie in the L1 and L2 cache.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

typedef std::int64_t Lanes __attribute__((vector_size(vector_bytes)));
#if defined(__AVX512F__)
constexpr Lanes lane_index{0, 1, 2, 3, 4, 5, 6, 7};
#elif defined(__AVX2__)
constexpr Lanes lane_index{0, 1, 2, 3};
#else
constexpr Lanes lane_index{0, 1};
#endif

constexpr int per_vector = lanes<double>;
constexpr int block_vectors = band_width / per_vector;  // in a column of a block
// Vectors of a column that are worked on at a time.
constexpr int registers = vector_bytes == 64 ? 4 : 2;

// x with zeros before lane `first`.
inline Vector<double> from_lane(Vector<double> x, int first) {
  return reinterpret_cast<Vector<double>>(reinterpret_cast<Lanes>(x) & (lane_index >= first));
}

// The sum of the lanes, by halves: in every lane.
template <int STRIDE = per_vector / 2>
inline Vector<double> lane_sum(Vector<double> x) {
  const Vector<double> folded = x + shuffled(x, x, lane_index ^ STRIDE);
  if constexpr (STRIDE == 1) return folded;
  else return lane_sum<STRIDE / 2>(folded);
}

// Lane i of the result is the sum of the lanes of x[i]; overwrites x.
template <int STRIDE = 1>
inline Vector<double> lane_sums(Vector<double>* x) {
  if constexpr (STRIDE == per_vector) {
    return x[0];
  } else {
    // Lanes that the second operand fills.
    const Lanes right = -((lane_index & STRIDE) != 0) * per_vector;
#pragma GCC unroll 8
    for (int i = 0; i < per_vector; i += 2 * STRIDE)
      x[i] = shuffled(x[i], x[i + STRIDE], lane_index + right) +
             shuffled(x[i], x[i + STRIDE], (lane_index ^ STRIDE) + right);
    return lane_sums<2 * STRIDE>(x);
  }
}

// The reflector I - tau v v^T, v[0] = 1, that takes x to (beta, 0, ...); x is overwritten by that.
// Returns tau.
inline double reflector(double* x, double* v) {
  Vector<double> part[block_vectors], squares{};
#pragma GCC unroll 32
  for (int i = 0; i < block_vectors; ++i) {
    part[i] = load(x + i * per_vector);
    const Vector<double> below = i == 0 ? from_lane(part[i], 1) : part[i];
    squares = multiply_add(below, below, squares);
  }
  const double rest = lane_sum(squares)[0], alpha = x[0];
  const double norm = __builtin_sqrt(alpha * alpha + rest), beta = alpha > 0 ? -norm : norm;
  const double scale = rest > 0 ? 1 / (alpha - beta) : 0.0;
#pragma GCC unroll 32
  for (int i = 0; i < block_vectors; ++i) {
    store(v + i * per_vector, part[i] * scale);
    if (rest > 0) store(x + i * per_vector, Vector<double>{});
  }
  v[0] = 1;
  if (!(rest > 0)) return 0;
  x[0] = beta;
  return (beta - alpha) / beta;
}

// Columns [J per_vector, ...) of the lower triangle of D, PARTS vectors from part I on: y_I += D
// v_J and sums += D^T v_I.
template <int PARTS>
inline void symmetric_strip(const double* column, std::int64_t ld, int part, const double* v,
                            const Vector<double>* vj, double* y, Vector<double>* sums) {
  Vector<double> vi[PARTS], yi[PARTS];
#pragma GCC unroll 4
  for (int i = 0; i < PARTS; ++i) {
    vi[i] = load(v + (part + i) * per_vector);
    yi[i] = load(y + (part + i) * per_vector);
  }
#pragma GCC unroll 8
  for (int j = 0; j < per_vector; ++j)
#pragma GCC unroll 4
    for (int i = 0; i < PARTS; ++i) {
      const Vector<double> d = load(column + j * ld + (part + i) * per_vector);
      yi[i] = multiply_add(d, vj[j], yi[i]);
      sums[j] = multiply_add(d, vi[i], sums[j]);
    }
#pragma GCC unroll 4
  for (int i = 0; i < PARTS; ++i) store(y + (part + i) * per_vector, yi[i]);
}

// y = D v for the symmetric D of which the lower triangle is stored.
inline void symmetric_product(const double* d, std::int64_t ld, const double* v, double* y) {
  for (int i = 0; i < band_width; ++i) y[i] = 0;
  for (int part = 0; part < block_vectors; ++part) {
    const double* column = d + part * per_vector * ld;
    Vector<double> vj[per_vector], sums[per_vector], own = load(y + part * per_vector);
    const Vector<double> here = load(v + part * per_vector);
#pragma GCC unroll 8
    for (int j = 0; j < per_vector; ++j) {
      vj[j] = broadcast(v[part * per_vector + j]);
      const Vector<double> diagonal = from_lane(load(column + j * ld + part * per_vector), j);
      own = multiply_add(diagonal, vj[j], own);
      sums[j] = from_lane(diagonal, j + 1) * here;
    }
    store(y + part * per_vector, own);
    int next = part + 1;
    for (; next + registers <= block_vectors; next += registers)
      symmetric_strip<registers>(column, ld, next, v, vj, y, sums);
    for (; next < block_vectors; ++next) symmetric_strip<1>(column, ld, next, v, vj, y, sums);
    store(y + part * per_vector, load(y + part * per_vector) + lane_sums(sums));
  }
}

// PARTS vectors of columns [J per_vector, ...): D -= v w^T + w v^T.
template <int PARTS>
inline void rank_two_strip(double* column, std::int64_t ld, int part, const double* v,
                           const double* w, const double* vj, const double* wj) {
  Vector<double> vi[PARTS], wi[PARTS];
#pragma GCC unroll 4
  for (int i = 0; i < PARTS; ++i) {
    vi[i] = load(v + (part + i) * per_vector);
    wi[i] = load(w + (part + i) * per_vector);
  }
#pragma GCC unroll 8
  for (int j = 0; j < per_vector; ++j) {
    const Vector<double> right_v = broadcast(-vj[j]), right_w = broadcast(-wj[j]);
#pragma GCC unroll 4
    for (int i = 0; i < PARTS; ++i) {
      double* at = column + j * ld + (part + i) * per_vector;
      store(at, multiply_add(wi[i], right_v, multiply_add(vi[i], right_w, load(at))));
    }
  }
}

// D := H D H with H = I - tau v v^T, on the lower triangle: D - v w^T - w v^T, w = y - (tau y^T v /
// 2) v, y = tau D v. What a vector holds above the diagonal falls into the gap between the stored
// columns.
inline void reflect_symmetric(double* d, std::int64_t ld, const double* v, double tau) {
  alignas(64) double w[band_width];
  symmetric_product(d, ld, v, w);
  Vector<double> dot{};
  for (int i = 0; i < block_vectors; ++i)
    dot = multiply_add(load(w + i * per_vector), load(v + i * per_vector), dot);
  const Vector<double> along = broadcast(-0.5 * tau * tau * lane_sum(dot)[0]),
                       scale = broadcast(tau);
  for (int i = 0; i < block_vectors; ++i)
    store(w + i * per_vector,
          multiply_add(along, load(v + i * per_vector), load(w + i * per_vector) * scale));
  for (int part = 0; part < block_vectors; ++part) {
    double* column = d + part * per_vector * ld;
    const double *vj = v + part * per_vector, *wj = w + part * per_vector;
#pragma GCC unroll 8
    for (int j = 0; j < per_vector; ++j) {
      double* at = column + j * ld + part * per_vector;
      const Vector<double> old = from_lane(load(at), j);
      store(at, multiply_add(load(wj), broadcast(-vj[j]),
                             multiply_add(load(vj), broadcast(-wj[j]), old)));
    }
    int next = part + 1;
    for (; next + registers <= block_vectors; next += registers)
      rank_two_strip<registers>(column, ld, next, v, w, vj, wj);
    for (; next < block_vectors; ++next) rank_two_strip<1>(column, ld, next, v, w, vj, wj);
  }
}

// x = -tau B v
inline void minus_product(const double* b, std::int64_t ld, const double* v, double tau,
                          double* x) {
  constexpr int rows = block_vectors < 8 ? block_vectors : 8;
  for (int part = 0; part < block_vectors; part += rows) {
    Vector<double> sum[rows] = {};
    for (int j = 0; j < band_width; ++j) {
      const Vector<double> vj = broadcast(v[j]);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i)
        sum[i] = multiply_add(load(b + j * ld + (part + i) * per_vector), vj, sum[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) store(x + (part + i) * per_vector, sum[i] * -tau);
  }
}

// B := H' B H: H = I - tau v v^T from the right fills B, the new H' annihilates its first column
// again. v and tau become those of H'.
inline void reflect_below(double* b, std::int64_t ld, double* v, double& tau) {
  alignas(64) double x[band_width], next[band_width];
  minus_product(b, ld, v, tau, x);
  for (int i = 0; i < block_vectors; ++i)
    store(b + i * per_vector,
          multiply_add(load(x + i * per_vector), broadcast(v[0]), load(b + i * per_vector)));
  const double next_tau = reflector(b, next);
  for (int j = 1; j < band_width; ++j) {
    double* column = b + j * ld;
    const Vector<double> vj = broadcast(v[j]);
    Vector<double> part[block_vectors], dot[2] = {};
#pragma GCC unroll 32
    for (int i = 0; i < block_vectors; ++i) {
      part[i] = multiply_add(load(x + i * per_vector), vj, load(column + i * per_vector));
      dot[i % 2] = multiply_add(part[i], load(next + i * per_vector), dot[i % 2]);
    }
    const Vector<double> along = lane_sum(dot[0] + dot[1]) * -next_tau;
#pragma GCC unroll 32
    for (int i = 0; i < block_vectors; ++i)
      store(column + i * per_vector, multiply_add(along, load(next + i * per_vector), part[i]));
  }
  for (int i = 0; i < block_vectors; ++i) store(v + i * per_vector, load(next + i * per_vector));
  tau = next_tau;
}

// See EigenvalueKernels::chase_bulge.
bool chase(double* band, std::int64_t n, std::int64_t sweep, std::int64_t step, double* v,
           double* tau) {
  constexpr std::int64_t ld = band_ld - 1;  // from a column of a block to the next, at the same row
  const std::int64_t row = sweep + 1 + step * band_width;
  if (step == 0) *tau = reflector(band + sweep * band_ld + 1, v);
  reflect_symmetric(band + row * band_ld, ld, v, *tau);
  if (row + band_width >= n) return false;
  reflect_below(band + row * band_ld + band_width, ld, v, *tau);
  return true;
}

}  // namespace
}  // namespace sigmascope
