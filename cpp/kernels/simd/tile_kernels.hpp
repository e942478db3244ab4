// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that multiplies by tiles: sums of 16 x 16 numbers of fp32, from steps of 32
// terms that are numbers of bf16. A number of fp32 is the sum of three bf16 parts (Henry, Tang &
// Heinecke 2019), and 1, 3, 5 or 6 products of parts are a product of fp32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd/product_kernels.hpp"

namespace sigmascope {

inline constexpr int tile_side = 16, tile_depth = 32, tile_codes = tile_side * tile_depth,
                     tile_parts = 3;
inline constexpr int tile_sum = 512;  // terms of a fresh sum

// Addresses of tiles, in bytes: rows of a tile are `stride` apart. `tile`, `step` and `part` lead
// to the next tile, step of terms, and part.
struct TileOperand {
  const std::byte* data;
  std::int64_t stride, tile, step, part;
  int parts;
};

// Addresses of sums, in numbers: rows of a tile are `stride` apart. `below` leads to the next tile
// of the same columns, `beside` to the next tile of the same rows.
struct TileSums {
  float* data;
  std::int64_t stride, below, beside;
};

// A row of bf16 numbers, at any address, times a factor. The bytes `ahead` of it are prefetched.
struct Summand {
  const std::byte* codes;
  std::int64_t ahead;
  float factor;
};

// The operand of a product that is a block; the other one is A.
enum class BlockSide : bool { left, right };

struct TileKernels {
  // Part q < parts of src[0..n) at dst + q*stride, with zeros up to whole depths. Returns how many
  // parts are not zero.
  int (*split)(const float* src, std::int64_t n, int parts, std::uint16_t* dst,
               std::int64_t stride);
  // The same of a sum, added up in its order as decode_f32 does.
  int (*split_sum)(const Summand* summands, int count, std::int64_t n, int parts,
                   std::uint16_t* dst, std::int64_t stride);
  // One step of 16 columns of a block at x, times factor: its parts one after another, as tiles of
  // a right operand (pairs of terms) or, transposed, of a left one. Rows from `rows` on are zero.
  void (*pack_right)(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
                     std::uint16_t* out);
  void (*pack_left)(const float* x, std::int64_t ld, std::int64_t rows, float factor, int parts,
                    std::uint16_t* out);
  // One step of codes, 16 * tiles columns of them (tiles is even), as tiles of a right operand that
  // are `stride` apart.
  void (*pair_rows)(const std::uint16_t* x, std::int64_t ld, std::int64_t tiles, std::uint16_t* out,
                    std::int64_t stride);
  void (*transpose)(const float* x, std::int64_t ld, float* out, std::int64_t ld_out);  // 16 x 16
  void (*configure)();  // the registers of this thread for `multiply`, until `release`
  void (*release)();
  // C (rows x cols tiles) += left right over so many steps, in sums of tile_sum terms or as one
  // chain.
  void (*multiply)(std::int64_t rows, std::int64_t cols, std::int64_t steps,
                   const TileOperand& left, const TileOperand& right, BlockSide block,
                   const TileSums& c, Accumulate);
};

}  // namespace sigmascope
