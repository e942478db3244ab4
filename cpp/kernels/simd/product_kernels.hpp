// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that multiplies panels of a matrix with thin blocks. The suffix says what
// is multiplied: f32 and f64; bf16, pairs of bf16 numbers summed in fp32; wide, bf16 numbers of A
// times fp32 numbers, with the bits of f32.
#pragma once

#include <cstdint>

namespace sigmascope {

// The use of the numbers in C before a product.
//   sum_blocks: C += A B. The sum over K is cut into blocks, each from a fresh accumulator, so that
//     errors grow slowly.
//   chain: C continues as one chain of multiply-adds in the order of K, so that cutting K changes
//   no
//     bit.
enum class Accumulate { sum_blocks, chain };

// C (rows x cols, row-major, ldc) from A (element (i, p) at a[i*row_step + p*k_step]) and B (K x
// cols, row-major, ldb). cols must be a multiple of vector_bytes / sizeof(T); rows and K are free.
struct ProductKernels {
  void (*f32)(std::int64_t rows, std::int64_t cols, std::int64_t k, const float* a,
              std::int64_t row_step, std::int64_t k_step, const float* b, std::int64_t ldb,
              float* c, std::int64_t ldc, Accumulate);
  void (*f64)(std::int64_t rows, std::int64_t cols, std::int64_t k, const double* a,
              std::int64_t row_step, std::int64_t k_step, const double* b, std::int64_t ldb,
              double* c, std::int64_t ldc, Accumulate);
  // The same for four columns, with the bits of f64 and sum_blocks: `rows` is a multiple of 8,
  // those of A are `ld` apart, those of B and C are adjacent. Null if a vector has less than 64
  // bytes.
  void (*f64_by_four)(std::int64_t rows, std::int64_t k, const double* a, std::int64_t ld,
                      const double* b, double* c);
  // K is cut into `pairs` words of two numbers; the steps count words.
  void (*bf16)(std::int64_t rows, std::int64_t cols, std::int64_t pairs, const std::uint32_t* a,
               std::int64_t row_step, std::int64_t k_step, const std::uint32_t* b, std::int64_t ldb,
               float* c, std::int64_t ldc, Accumulate);
  // The steps count words of two numbers; k is even.
  void (*wide)(std::int64_t rows, std::int64_t cols, std::int64_t k, const std::uint32_t* a,
               std::int64_t row_step, std::int64_t k_step, const float* b, std::int64_t ldb,
               float* c, std::int64_t ldc, Accumulate);
};

// Columns of P whose sums lie together in Z.
inline constexpr std::int64_t adjoint_tile = 32;

// Z += P^T Y as one chain, in tiles of adjoint_tile columns of P (the last tile may be narrower). Y
// has `width` columns, a multiple of 8 (f64: or 4), and rows `ldy` apart (bf16: pairs of rows).
// Tiles are `stride` numbers apart. The sum of column j of P in its tile and column c of Y is at
// c*adjoint_tile + place:
//   f32, f64: place = j
//   bf16:     place = pair_places[j]
//   wide:     place = wide_places[j]
struct AdjointKernels {
  void (*f32)(const float* p, std::int64_t ld, std::int64_t rows, std::int64_t cols, const float* y,
              std::int64_t ldy, std::int64_t width, float* sums, std::int64_t stride);
  void (*f64)(const double* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
              const double* y, std::int64_t ldy, std::int64_t width, double* sums,
              std::int64_t stride);
  void (*bf16)(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
               const std::uint32_t* y, std::int64_t ldy, std::int64_t width, float* sums,
               std::int64_t stride);
  void (*wide)(const std::uint16_t* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
               const float* y, std::int64_t ldy, std::int64_t width, float* sums,
               std::int64_t stride);
  const std::uint8_t *pair_places, *wide_places;
};

// Blocks of dot_columns columns, or of twice as many, can be multiplied by dot products along the
// rows of A, dot_run words of a row at a time.
inline constexpr std::int64_t dot_columns = 8, dot_run = 256;

// C (rows x width) += A B. B is transposed: the next 16 words of each of eight columns, then those
// that follow. The second eight of 16 columns lie `half` words after the first.
struct DotKernels {
  void (*f32)(std::int64_t rows, std::int64_t k, const float* a, std::int64_t ld, const float* x,
              std::int64_t half, std::int64_t width, float* c);
  void (*bf16)(std::int64_t rows, std::int64_t k, const std::uint16_t* a, std::int64_t ld,
               const std::uint32_t* x, std::int64_t half, std::int64_t width, float* c);
  void (*wide)(std::int64_t rows, std::int64_t k, const std::uint16_t* a, std::int64_t ld,
               const float* x, std::int64_t half, std::int64_t width, float* c);
};

// Whole rows of blocks and of sums.
struct BlockKernels {
  // to += from; from = 0. n fills whole lines of 64 bytes.
  void (*move_f32)(float* from, std::int64_t n, float* to);
  void (*move_f64)(double* from, std::int64_t n, double* to);
  // Rows of a block, `ld` apart, as pairs of rows: word (i / 2, j) at dst[i/2*cols + j] =
  // bf16(factor x) of (i, j) and (i + 1, j). A missing last row is zero. cols is a multiple of 8.
  void (*pack_pairs)(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t cols,
                     float factor, std::uint32_t* dst);
  // Row to[e] - start of y += factor * values[e] * row from[e] of x, one entry of a sparse matrix
  // after the other. Rows have `width` numbers, whole lines of 64 bytes.
  void (*add_entries)(std::int64_t count, const std::uint32_t* from, const std::uint32_t* to,
                      const float* values, float factor, std::int64_t width, const float* x,
                      std::int64_t start, float* y);
};

}  // namespace sigmascope
