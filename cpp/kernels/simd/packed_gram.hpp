// SPDX-License-Identifier: BSD-3-Clause
// A^T A in fp32 or bf16 products, for columns packed into cells of 32 bits: a float, or two bf16
// numbers of consecutive rows. Cells lie in groups of 16 columns, step by step: the 16 cells of
// step 0, of step 1 and so on. A step is one fused multiply-add in fp32, or two by VDPBF16PS (which
// multiplies exactly, adds to nearest even, and takes subnormal numbers for zero). Accumulators
// start afresh every cell_rows rows and are added up in fp64.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

// See GramKernels::narrowest.
Narrow narrowest(const double* x, std::int64_t n) {
  std::uint32_t low = 0;
  std::int64_t wide = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto narrow = static_cast<float>(x[i]);
    low |= __builtin_bit_cast(std::uint32_t, narrow);
    wide |= static_cast<double>(narrow) != x[i];
  }
  if (wide != 0) return Narrow::f64;
#if defined(__AVX512BF16__)
  if ((low & 0xffffu) == 0) return Narrow::bf16;
#endif
  return Narrow::f32;
}

inline std::uint32_t float_bits(double x) {
  return __builtin_bit_cast(std::uint32_t, static_cast<float>(x));
}

// See GramKernels::pack.
void pack_cells(Narrow narrow, std::int64_t cols, std::int64_t rows, const double* x,
                std::int64_t col_step, std::int64_t row_step, std::uint32_t* cells) {
  const std::int64_t steps = cell_steps(narrow, rows);
  for (std::int64_t s = 0; s < steps; ++s) {
    std::uint32_t* to = cells + s * cell_group;
    const std::int64_t row = narrow == Narrow::bf16 ? 2 * s : s;
    const double* from = x + row * row_step;
    const bool two = narrow == Narrow::bf16 && row + 1 < rows;
    for (std::int64_t c = 0; c < cell_group; ++c) to[c] = 0;
    if (narrow == Narrow::f32)
      for (std::int64_t c = 0; c < cols; ++c) to[c] = float_bits(from[c * col_step]);
    else if (two)
      for (std::int64_t c = 0; c < cols; ++c)
        to[c] = float_bits(from[c * col_step]) >> 16 | float_bits(from[c * col_step + row_step]);
    else
      for (std::int64_t c = 0; c < cols; ++c) to[c] = float_bits(from[c * col_step]) >> 16;
  }
}

// Returns the same 32 bits in every lane. `broadcast` would not do: it subtracts zero, and so
// changes bits that look like a signalling NaN.
inline Vector<float> cell_broadcast(const float& cell) {
  typedef std::uint32_t Bits __attribute__((vector_size(vector_bytes)));
  std::uint32_t bits_of_cell;
  __builtin_memcpy(&bits_of_cell, &cell, sizeof cell);
  return reinterpret_cast<Vector<float>>(Bits{} + bits_of_cell);
}

struct MultiplyAdd {
  static Vector<float> step(Vector<float> left, Vector<float> right, Vector<float> sum) {
    return multiply_add(left, right, sum);
  }
};
#if defined(__AVX512BF16__)
struct DotProduct {
  static Vector<float> step(Vector<float> left, Vector<float> right, Vector<float> sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(left),
                            reinterpret_cast<__m512bh>(right));
  }
};
#endif

#if defined(__AVX512F__)
constexpr int cell_left = 8, cell_right = 32;  // 8 x 2 accumulators
#elif defined(__AVX2__)
constexpr int cell_left = 4, cell_right = 16;  // 4 x 2
#else
constexpr int cell_left = 2, cell_right = 16;  // 2 x 4
#endif

// sums (cell_left x cell_right) = the products of cell_left columns and cell_right columns over
// some steps. A bf16 pair moves as the float of the same bits.
template <class Step>
inline void cell_products(std::int64_t steps, const float* left, const float* right,
                          std::int64_t group_step, float* sums) {
  constexpr int width = lanes<float>, vectors = cell_right / width, per_group = cell_group / width;
  Vector<float> sum[cell_left][vectors] = {};
  for (std::int64_t s = 0; s < steps; ++s) {
    Vector<float> x[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      x[v] = load(right + v / per_group * group_step + s * cell_group + v % per_group * width);
#pragma GCC unroll 8
    for (int i = 0; i < cell_left; ++i) {
      const Vector<float> y = cell_broadcast(left[s * cell_group + i]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[i][v] = Step::step(y, x[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < cell_left; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(sums + i * cell_right + v * width, sum[i][v]);
}

template <class Step>
void gram_tile(std::int64_t steps, std::int64_t restart, const CellTile& tile, double* g,
               std::int64_t ld) {
  alignas(64) float sums[cell_left * cell_right];
  const std::int64_t group_step = steps * cell_group;
  for (std::int64_t s = 0; s < steps; s += restart)
    for (std::int64_t r = 0; r < tile.rows; r += cell_right)
      for (std::int64_t c = 0; c < tile.cols; c += cell_left) {
        if (tile.row0 + r + cell_right <= tile.col0 + c) break;  // above the diagonal
        const std::int64_t at = s * cell_group;
        cell_products<Step>(steps - s < restart ? steps - s : restart,
                            tile.left + c / cell_group * group_step + at + c % cell_group,
                            tile.right + r / cell_group * group_step + at, group_step, sums);
        const std::int64_t rows = tile.rows - r < cell_right ? tile.rows - r : cell_right;
        for (std::int64_t i = 0; i < cell_left && c + i < tile.cols; ++i) {
          double* column = g + (c + i) * ld + r;
          const float* sum = sums + i * cell_right;
          if (rows == cell_right)
            for (int e = 0; e < cell_right; ++e) column[e] += static_cast<double>(sum[e]);
          else
            for (std::int64_t e = 0; e < rows; ++e) column[e] += static_cast<double>(sum[e]);
        }
      }
}

// See GramKernels::add_products.
void gram_cells(Narrow narrow, std::int64_t rows, const CellTile& tile, double* g,
                std::int64_t ld) {
  const std::int64_t steps = cell_steps(narrow, rows), restart = cell_steps(narrow, cell_rows);
#if defined(__AVX512BF16__)
  if (narrow == Narrow::bf16) return gram_tile<DotProduct>(steps, restart, tile, g, ld);
#endif
  gram_tile<MultiplyAdd>(steps, restart, tile, g, ld);
}

}  // namespace
}  // namespace sigmascope
