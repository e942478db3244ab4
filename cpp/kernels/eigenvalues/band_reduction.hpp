// SPDX-License-Identifier: BSD-3-Clause
// A symmetric matrix to a band of the same eigenvalues: Q^T A Q by block reflectors, Bischof, Lang
// & Sun 2000, "A framework for symmetric band reduction".
//
// A panel of b columns is reduced by the QR factorisation of what lies below the band: Q = I - V T
// V^T. With X = A V T and W = X - V (T^T V^T X) / 2, the rest becomes Q^T A Q = A - V W^T - W V^T.
// Two thirds n^3 flops go into the products A V and as many into the updates. Both meet in one
// sweep over the tiles of A's lower triangle: a tile is copied to where it stays in the cache,
// takes the update of the panel before (A + L R^T, L = [V W], R = -[W V]), is stored, and
// multiplied with this panel's V from both of its sides, which is all that the symmetric product
// needs of it. So A is read and written once per panel.
//
// Real is the type of the products of tiles. With float, A, X and the panels are fp64 all the same,
// and each product is summed in fp32 over at most `tile` terms: twice the speed, and an error like
// that of a Gram matrix in fp32.
//
// Sums over tiles are made in lanes, whose number and tiles the order n fixes: no bit depends on
// the threads.
// Memory beside A: at most 1024 n numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

template <class Real>
class BandReduction {
 public:
  // a: n x n, column-major, its lower triangle is read and overwritten.
  BandReduction(const Isa& isa, ThreadPool& pool, double* a, std::int64_t n);

  // Bytes that it takes in addition to A, at most.
  static std::int64_t bytes(std::int64_t n, int threads) {
    constexpr std::int64_t panels = 9;   // panel_, left_, right_, v_, x_, w_, factor_
    constexpr std::int64_t padding = 4;  // of left_ and right_, in tiles
    return 8 * (n * b * (panels + lanes_for(n)) + 2 * tile * tile * (threads + padding));
  }

  // Fills the band, laid out as for chase_bulge.
  void run(double* band, const std::function<void()>& pulse);

 private:
  static constexpr std::int64_t b = band_width;
  static constexpr std::int64_t k = 2 * b;   // columns of L and R
  static constexpr std::int64_t tile = 192;  // 288 KiB; a multiple of b
  static constexpr std::int64_t most_lanes = 8;

  static std::int64_t lanes_for(std::int64_t m) {
    return std::clamp<std::int64_t>(chunks(m, tile) / 2, 1, most_lanes);
  }
  void load_panel(std::int64_t j);
  void store_band(std::int64_t j, double* band) const;
  void factorise(std::int64_t o);
  void orthogonalise(std::int64_t o);
  void inner(std::int64_t o, const double* x, const double* y);
  void sweep(std::int64_t o);
  void load_tile(std::int64_t i, std::int64_t j, Real* t, Real* scratch);
  void sweep_tile(std::int64_t i, std::int64_t j, Real* t, Real* scratch, double* x);
  void add_product(std::int64_t rows, std::int64_t cols, std::int64_t terms, const Real* left,
                   std::int64_t row_step, std::int64_t k_step, const Real* right, std::int64_t ldr,
                   double* c, std::int64_t ldc, Real* scratch);
  void prepare_update(std::int64_t o);
  // Rows [o, n), in parallel, by the tiles that they lie in.
  void rows(std::int64_t o,
            const std::function<void(std::int64_t i, std::int64_t count, int worker)>& task);
  std::int64_t tile_rows(std::int64_t i) const { return std::min(tile - i % tile, n_ - i); }
  static std::int64_t place(std::int64_t i) { return i / tile * k * tile + i % tile; }

  const Isa& isa_;
  ThreadPool& pool_;
  double* a_;
  std::int64_t n_, ld_;
  bool waiting_ = false;        // A lacks L R^T
  AlignedArray<double> panel_;  // n x b, column-major (ld_)
  // L and R: column c of row i at place(i) + c tile, so that a tile's part is whole.
  AlignedArray<Real> left_, right_;
  AlignedArray<double> v_, x_, w_;  // n x b, row-major
  AlignedArray<double> partial_;    // A V, by lanes
  AlignedArray<Real> tiles_;        // two for each thread
  AlignedArray<Real> factor_;       // V
  alignas(64) std::array<double, b * b> t_{}, s_{}, c_{};
};

extern template class BandReduction<float>;
extern template class BandReduction<double>;

}  // namespace sigmascope
