// SPDX-License-Identifier: BSD-3-Clause
// The table of kernels that one instruction set supplies, and the interface of this folder: all
// other rooms include no other header of it. The best table that the processor runs is chosen once.
//
// kernels/simd is the only folder that is compiled once per instruction set. isa.cpp includes all
// its kernels, and CMakeLists.txt compiles isa.cpp with the flags of each set. Only the table has
// external linkage. Everything else has internal linkage, and no kernel uses an inline function of
// the standard library: the linker keeps one copy of such a function for the whole program, and
// that could be a copy with instructions that the processor does not have. dispatch.cpp, which
// chooses the table, is compiled once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matrix/dtype.hpp"

namespace sigmascope {

// How a product treats what is in C.
//   sum_blocks: C += A B, the sum over K cut into blocks, each from a fresh accumulator (bounded
//   error growth)
//   chain:      C continues as one chain of multiply-adds in the order of K, so that cutting K
//   changes no bit
enum class Accumulate { sum_blocks, chain };

// Rows are cut into stretches at multiples of this many columns: where sums start anew, and what
// kernels work on.
inline constexpr std::int64_t stretch_length = 4096;

// Statistics of one stretch of numbers; nonfinite ones are counted and left out.
struct Stretch {
  double count, mean, m2, m3, m4;  // central sums
  double sum_squares, minimum, maximum;
  // Smallest magnitude of the nonzero numbers of an fp64 matrix. It is infinite for other formats,
  // whose squares fp64 holds.
  double least;
  std::int64_t zeros, nans, infinities, first_nonfinite;  // -1: none
};

// What an algorithm must know of a stretch before it starts.
struct Survey {
  double sum_squares, largest;  // largest magnitude
  std::int64_t nans, infinities, first_nonfinite;
};

// Sums mod 2^64 over entries: of words times keys, and of the keys of zeros. See fingerprint.hpp.
struct Digest {
  std::uint64_t sum = 0, zeros = 0;
};

// Sums over the entries w of one matrix and d = w' - w, what another of its shape has more.
struct ChangeSums {
  double before2 = 0.0;  // w w
  double after2 = 0.0;   // w' w'
  double change2 = 0.0;  // d d
  double product = 0.0;  // w d
  // 2^2e of the exponents e of w and of w', by which rounding to a format of 16 bits errs; three
  // quarters at powers of two, below which the next number is half as far. Of so many entries, of
  // such formats.
  double before_units2 = 0.0, after_units2 = 0.0;
  std::int64_t units = 0;
};

// A symmetric band matrix on its way to tridiagonal form: element (i, j), i >= j, at band[j*band_ld
// + i - j]. While reflectors are applied the band is twice as wide; the gap after each column takes
// what vectors write beside it.
inline constexpr int band_width = 64;
inline constexpr int band_ld = 2 * band_width + 9;

// The narrowest of these formats that holds a set of numbers exactly.
enum class Narrow : std::uint8_t { bf16, f32, f64 };

// For Gram matrices in fp32 and bf16, columns are packed into cells of 32 bits, in groups of 16:
// see packed_gram.hpp.
inline constexpr std::int64_t cell_group = 16;
inline constexpr std::int64_t cell_rows = 128;  // summed in fp32, then in fp64; even
inline constexpr std::int64_t cell_steps(Narrow narrow, std::int64_t rows) {
  return narrow == Narrow::bf16 ? (rows + 1) / 2 : rows;
}

// A tile of a Gram matrix: rows [row0, row0 + rows) of it from the cells `right`, its columns from
// the cells `left`.
struct CellTile {
  std::int64_t row0, rows, col0, cols;
  const float *right, *left;
};

// Products by tiles: sums of 16 x 16 numbers of fp32, from steps of 32 terms that are numbers of
// bf16. A number of fp32 is the sum of three of bf16 (Henry, Tang & Heinecke 2019), and 1, 3, 5 or
// 6 products of parts are a product of fp32.
inline constexpr int tile_side = 16, tile_depth = 32, tile_codes = tile_side * tile_depth,
                     tile_parts = 3;
inline constexpr int tile_sum = 512;  // terms of a fresh sum

// A block of so many columns, or of twice as many, is multiplied as dot products along the rows of
// a matrix, so many words of a row at a time. Turned, it has the next 16 words of each of eight
// columns, then those that follow.
inline constexpr std::int64_t dot_columns = 8, dot_run = 256;

// Columns of a panel whose sums lie together in a transposed product.
inline constexpr std::int64_t adjoint_tile = 32;

// Where tiles lie, in bytes: rows of a tile `stride` apart; the next tile, step of terms, and part.
struct TileOperand {
  const std::byte* data;
  std::int64_t stride, tile, step, part;
  int parts;
};

// Where sums lie, in numbers: rows of a tile `stride` apart; the next tile of the same columns, and
// of the same rows.
struct TileSums {
  float* data;
  std::int64_t stride, below, beside;
};

// A row of bf16 numbers, at any address, times a factor. What lies `ahead` bytes further is fetched
// meanwhile.
struct Summand {
  const std::byte* codes;
  std::int64_t ahead;
  float factor;
};

struct TileKernels {
  // dst + q*apart, q < parts: src[0..n) in parts, n rounded up to whole depths with zeros. How many
  // are not zero.
  int (*split)(const float* src, std::int64_t n, int parts, std::uint16_t* dst, std::int64_t apart);
  // The same of a sum, added up in its order as decode_f32 does.
  int (*split_sum)(const Summand* summands, int count, std::int64_t n, int parts,
                   std::uint16_t* dst, std::int64_t apart);
  // One step of 16 columns of a block at x, of which `rows` are there, times factor: its parts one
  // after another, as tiles of a right operand (pairs of terms) or, turned, of a left one.
  void (*pack_right)(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
                     std::uint16_t* out);
  void (*pack_left)(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
                    std::uint16_t* out);
  // One step of codes, `tiles` (even) times 16 columns of them, as tiles of a right operand that
  // lie `apart`.
  void (*pair_rows)(const std::uint16_t* x, std::int64_t ld, std::int64_t tiles, std::uint16_t* out,
                    std::int64_t apart);
  void (*transpose)(const float* x, std::int64_t ld, float* out, std::int64_t ld_out);  // 16 x 16
  void (*configure)();  // the registers of this thread for `multiply`, until `release`
  void (*release)();
  // C (rows x cols tiles) += left right over so many steps, in sums of tile_sum terms or as one
  // chain. One of them is a block, the other A.
  void (*multiply)(std::int64_t rows, std::int64_t cols, std::int64_t steps,
                   const TileOperand& left, const TileOperand& right, bool block_left,
                   const TileSums& c, Accumulate);
};

// C (rows x width) += A B, B turned; of 16 columns the second eight `half` words after the first.
// Words are of fp32, or pairs of bf16; wide: bf16 in A, fp32 in B, and the bits of f32.
struct DotKernels {
  void (*f32)(std::int64_t rows, std::int64_t k, const float* a, std::int64_t ld, const float* x,
              std::int64_t half, std::int64_t width, float* c);
  void (*bf16)(std::int64_t rows, std::int64_t k, const std::uint16_t* a, std::int64_t ld,
               const std::uint32_t* x, std::int64_t half, std::int64_t width, float* c);
  void (*wide)(std::int64_t rows, std::int64_t k, const std::uint16_t* a, std::int64_t ld,
               const float* x, std::int64_t half, std::int64_t width, float* c);
};

struct Isa {
  const char* name;
  int vector_bytes;
  // product_bf16 is an instruction of the processor, twice as fast as product_f32.
  bool dot_bf16;
  const TileKernels* tiles;  // null if the processor has none
  const DotKernels* dots;    // null if a vector has less than 64 bytes
  const Isa* half;           // the set of vectors of 32 bytes, if these have 64

  // Whose vectors rows of so many numbers of a block are whole.
  template <class T>
  const Isa& of(std::int64_t numbers) const {
    return numbers * static_cast<std::int64_t>(sizeof(T)) % vector_bytes == 0 ? *this : *half;
  }

  // dst[0..n) = or += factor * decoded src[0..n); src is contiguous.
  void (*decode_f32)(DType, const void* src, std::int64_t n, float factor, bool add, float* dst);
  void (*decode_f64)(DType, const void* src, std::int64_t n, double factor, bool add, double* dst);

  // C (rows x cols, row-major, ldc) from A (element (i, p) at a[i*row_step + p*k_step]) and B (K x
  // cols, row-major, ldb). cols must be a multiple of vector_bytes / sizeof(T); rows and K are
  // free.
  void (*product_f32)(std::int64_t rows, std::int64_t cols, std::int64_t k, const float* a,
                      std::int64_t row_step, std::int64_t k_step, const float* b, std::int64_t ldb,
                      float* c, std::int64_t ldc, Accumulate);
  void (*product_f64)(std::int64_t rows, std::int64_t cols, std::int64_t k, const double* a,
                      std::int64_t row_step, std::int64_t k_step, const double* b, std::int64_t ldb,
                      double* c, std::int64_t ldc, Accumulate);

  // The same from bf16 numbers in pairs of K, summed in fp32: `pairs` words of two; the steps count
  // words.
  void (*product_bf16)(std::int64_t rows, std::int64_t cols, std::int64_t pairs,
                       const std::uint32_t* a, std::int64_t row_step, std::int64_t k_step,
                       const std::uint32_t* b, std::int64_t ldb, float* c, std::int64_t ldc,
                       Accumulate);
  // The same as product_f32, bit by bit, from bf16 numbers in A: `row_step` and `k_step` count
  // words of two, k is even.
  void (*product_wide)(std::int64_t rows, std::int64_t cols, std::int64_t k, const std::uint32_t* a,
                       std::int64_t row_step, std::int64_t k_step, const float* b, std::int64_t ldb,
                       float* c, std::int64_t ldc, Accumulate);
  // (P^T Y)^T += for a Y of `width` columns, a multiple of 8, rows of Y `ldy` apart (bf16: pairs of
  // rows): for adjoint_tile columns of P after another, the last may be fewer, sums `apart`: that
  // of column c of Y and j of P at c*adjoint_tile + j (bf16: + pair_places[j], wide: +
  // wide_places[j]). As one chain. Wide: bf16 times fp32, the bits of fp32.
  void (*adjoint_f32)(const float* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
                      const float* y, std::int64_t ldy, std::int64_t width, float* sums,
                      std::int64_t apart);
  void (*adjoint_f64)(const double* p, std::int64_t ld, std::int64_t rows, std::int64_t cols,
                      const double* y, std::int64_t ldy, std::int64_t width, double* sums,
                      std::int64_t apart);
  void (*adjoint_bf16)(const std::uint16_t* p, std::int64_t ld, std::int64_t rows,
                       std::int64_t cols, const std::uint32_t* y, std::int64_t ldy,
                       std::int64_t width, float* sums, std::int64_t apart);
  void (*adjoint_wide)(const std::uint16_t* p, std::int64_t ld, std::int64_t rows,
                       std::int64_t cols, const float* y, std::int64_t ldy, std::int64_t width,
                       float* sums, std::int64_t apart);
  const std::uint8_t *pair_places, *wide_places;
  // to += from; from = 0. n fills whole lines of 64 bytes.
  void (*move_f64)(double* from, std::int64_t n, double* to);
  void (*move_f32)(float* from, std::int64_t n, float* to);
  // dst = bf16(factor src)
  void (*round_bf16)(const float* src, std::int64_t n, float factor, std::uint16_t* dst);
  // Rows of a block, `ld` apart, as pairs of rows, a missing one zero: word (i / 2, j) at
  // dst[i/2*cols + j] = bf16(factor x) of (i, j) and (i + 1, j). cols is a multiple of 8.
  void (*pack_pairs)(const float* x, std::int64_t ld, std::int64_t rows, std::int64_t cols,
                     float factor, std::uint32_t* dst);
  // Row to[e] - start of y += factor * values[e] * row from[e] of x, one entry after the other;
  // rows of `width` numbers, whole lines of 64 bytes.
  void (*add_entries)(std::int64_t count, const std::uint32_t* from, const std::uint32_t* to,
                      const float* values, float factor, std::int64_t width, const float* x,
                      std::int64_t start, float* y);

  // Of stretches of n codes (0 < n <= stretch_length) that lie `stride` bytes apart, one per row:
  // statistics of each; columns[0..n) += x^2 row after row, the finite ones. Equal numbers give
  // equal bits, whatever the dtype.
  void (*stretches)(DType, const void* codes, std::int64_t stride, std::int64_t rows,
                    std::int64_t n, double* columns, Stretch* out);
  // What lies `ahead` bytes further is fetched meanwhile.
  void (*survey)(DType, const void* codes, std::int64_t n, std::int64_t ahead, Survey*);
  // Sums over one stretch of two rows.
  ChangeSums (*change)(DType, const void* before, const void* after, std::int64_t n);

  // Adds n codes of a stretch whose keys are keys[j] xor other. `whole`: all bits of fp64, else
  // those of fp32 nearest.
  void (*digest)(DType, const void* codes, std::int64_t n, const std::uint32_t* keys,
                 std::uint32_t other, bool whole, Digest* to);
  // Of n places on the longer or the shorter side of a matrix.
  void (*digest_keys)(std::int64_t first, std::int64_t n, bool longer, std::uint32_t* keys);

  // bf16 only where there are dot products for it.
  Narrow (*narrowest)(const double* x, std::int64_t n);
  // One group of cells of up to 16 columns: element (row, col) at x[row*row_step + col*col_step],
  // which `narrow` holds.
  void (*pack_cells)(Narrow narrow, std::int64_t cols, std::int64_t rows, const double* x,
                     std::int64_t col_step, std::int64_t row_step, std::uint32_t* cells);
  // g (column-major, ld; its lower triangle) += the products of the tile's columns over so many
  // rows.
  void (*gram_cells)(Narrow narrow, std::int64_t rows, const CellTile& tile, double* g,
                     std::int64_t ld);

  // One step of one sweep of the reduction of a band to tridiagonal form; v (band_width, aligned)
  // and tau go from step to step of a sweep. False: it was the last. Zeros must follow the band: 2
  // band_width columns.
  bool (*chase)(double* band, std::int64_t n, std::int64_t sweep, std::int64_t step, double* v,
                double* tau);
  // How many eigenvalues of a symmetric tridiagonal matrix lie below each x; `squares` of the
  // elements beside the diagonal. `count` is a multiple of 8. Pivots below `least` are -least.
  void (*counts_below)(std::int64_t n, const double* diagonal, const double* squares, double least,
                       std::int64_t count, const double* x, double* counts);
};

// Overridden for tests by the environment variable SIGMASCOPE_ISA (scalar, avx2, avx512,
// avx512bf16, amx).
const Isa& best_isa();

template <class T>
struct IsaOf;
template <>
struct IsaOf<float> {
  static auto decode(const Isa& isa) { return isa.decode_f32; }
  static auto product(const Isa& isa) { return isa.product_f32; }
  static auto adjoint(const Isa& isa) { return isa.adjoint_f32; }
  static auto move(const Isa& isa) { return isa.move_f32; }
};
template <>
struct IsaOf<double> {
  static auto decode(const Isa& isa) { return isa.decode_f64; }
  static auto product(const Isa& isa) { return isa.product_f64; }
  static auto adjoint(const Isa& isa) { return isa.adjoint_f64; }
  static auto move(const Isa& isa) { return isa.move_f64; }
};

}  // namespace sigmascope
