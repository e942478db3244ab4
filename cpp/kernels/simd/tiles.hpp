// SPDX-License-Identifier: BSD-3-Clause
// Products by tiles (Intel AMX): 16 x 16 sums of fp32 from 16 x 32 and 32 x 16 numbers of bf16, at
// 16 times the rate of fp32 multiply-adds. See TileKernels.
#pragma once

#include <cstdint>

#include "kernels/simd/isa.hpp"
#include "kernels/simd/tile_parts.hpp"
#include "kernels/simd/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AMX_BF16__)

// Tile registers are named by literals. Sums of R x S tiles: 0 to 3, row after row; the others pass
// through 4 to 7.
struct TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

template <int TILE>
inline void load_tile(const void* from, std::int64_t stride) {
  if constexpr (TILE == 0) _tile_loadd(0, from, stride);
  if constexpr (TILE == 1) _tile_loadd(1, from, stride);
  if constexpr (TILE == 2) _tile_loadd(2, from, stride);
  if constexpr (TILE == 3) _tile_loadd(3, from, stride);
  if constexpr (TILE == 4) _tile_loadd(4, from, stride);
  if constexpr (TILE == 5) _tile_loadd(5, from, stride);
  if constexpr (TILE == 6) _tile_loadd(6, from, stride);
  if constexpr (TILE == 7) _tile_loadd(7, from, stride);
}
template <int TILE>
inline void store_tile(void* to, std::int64_t stride) {
  if constexpr (TILE == 0) _tile_stored(0, to, stride);
  if constexpr (TILE == 1) _tile_stored(1, to, stride);
  if constexpr (TILE == 2) _tile_stored(2, to, stride);
  if constexpr (TILE == 3) _tile_stored(3, to, stride);
}
// sum += left right, for the registers in use.
template <int SUM, int LEFT, int RIGHT>
inline void multiply_tile() {
#define SIGMASCOPE_TILE(sum, left, right) \
  if constexpr (SUM == sum && LEFT == left && RIGHT == right) _tile_dpbf16ps(sum, left, right)
#define SIGMASCOPE_TILES(sum) \
  SIGMASCOPE_TILE(sum, 4, 5); \
  SIGMASCOPE_TILE(sum, 4, 6); \
  SIGMASCOPE_TILE(sum, 4, 7); \
  SIGMASCOPE_TILE(sum, 5, 4); \
  SIGMASCOPE_TILE(sum, 5, 6); \
  SIGMASCOPE_TILE(sum, 5, 7); \
  SIGMASCOPE_TILE(sum, 6, 4); \
  SIGMASCOPE_TILE(sum, 7, 4)
  SIGMASCOPE_TILES(0);
  SIGMASCOPE_TILES(1);
  SIGMASCOPE_TILES(2);
  SIGMASCOPE_TILES(3);
#undef SIGMASCOPE_TILES
#undef SIGMASCOPE_TILE
}

// Products of part p of A and part q of a block, for p + q less than the number of a block's parts.
// Other products are as small as the rounding of a number to its parts. They are summed in the
// order of p, then of q, on whichever side A is, so that the bits are the same.
struct PartProducts {
  struct One {
    std::int64_t left, right;  // bytes to the parts
    bool new_left, new_right;
  };
  One products[tile_parts * (tile_parts + 1) / 2];
  int count = 0;

  PartProducts(const TileOperand& left, const TileOperand& right, BlockSide side) {
    const bool block_left = side == BlockSide::left;
    const TileOperand &a = block_left ? right : left, &block = block_left ? left : right;
    int last = -1;
    for (int p = 0; p < a.parts; ++p)
      for (int q = 0; q < block.parts && p + q < block.parts; ++q) {
        const bool new_p = q == 0, new_q = q != last;
        products[count++] = block_left ? One{q * block.part, p * a.part, new_q, new_p}
                                       : One{p * a.part, q * block.part, new_p, new_q};
        last = q;
      }
  }
};

template <int TILES, class Task>
inline void each_tile_of(const Task& task) {
  task.template operator()<0>();
  if constexpr (TILES > 1) task.template operator()<1>();
  if constexpr (TILES > 2) task.template operator()<2>();
  if constexpr (TILES > 3) task.template operator()<3>();
}

// Four sums in a row: the tiles of A are loaded one by one, the parts of the block stay.
template <BlockSide SIDE>
inline void one_step_of_four(const std::byte* a, const TileOperand& of_a, const std::byte* block,
                             const TileOperand& of_block) {
  const int parts = of_block.parts;
  load_tile<5>(block, of_block.stride);
  if (parts > 1) load_tile<6>(block + of_block.part, of_block.stride);
  if (parts > 2) load_tile<7>(block + 2 * of_block.part, of_block.stride);
  for (int p = 0; p < of_a.parts; ++p)
    each_tile_of<4>([&]<int I>() {
      load_tile<4>(a + I * of_a.tile + p * of_a.part, of_a.stride);
      multiply_tile<I, SIDE == BlockSide::left ? 5 : 4, SIDE == BlockSide::left ? 4 : 5>();
      if (parts > 1 && p + 1 < parts)
        multiply_tile<I, SIDE == BlockSide::left ? 6 : 4, SIDE == BlockSide::left ? 4 : 6>();
      if (parts > 2 && p + 2 < parts)
        multiply_tile<I, SIDE == BlockSide::left ? 7 : 4, SIDE == BlockSide::left ? 4 : 7>();
    });
}

// sums (R x S tiles) += the products of `steps` steps, as one chain. The processor adds up those of
// one step and parts by themselves before they meet the sum.
template <int R, int S>
inline void tile_block(std::int64_t steps, const TileOperand& left, const TileOperand& right,
                       const PartProducts& parts, const TileSums& sums) {
  const auto at = [&](int tile) {
    return sums.data + tile / S * sums.below + tile % S * sums.beside;
  };
  each_tile_of<R * S>([&]<int TILE>() { load_tile<TILE>(at(TILE), 4 * sums.stride); });
  for (std::int64_t s = 0; s < steps; ++s) {
    const std::byte *l = left.data + s * left.step, *r = right.data + s * right.step;
    if constexpr (R == 4) one_step_of_four<BlockSide::right>(l, left, r, right);
    else if constexpr (S == 4) one_step_of_four<BlockSide::left>(r, right, l, left);
    else
      for (int product = 0; product < parts.count; ++product) {
        const PartProducts::One& one = parts.products[product];
        if (one.new_left) {
          load_tile<4>(l + one.left, left.stride);
          if constexpr (R == 2) load_tile<5>(l + one.left + left.tile, left.stride);
        }
        if (one.new_right) {
          load_tile<6>(r + one.right, right.stride);
          if constexpr (S == 2) load_tile<7>(r + one.right + right.tile, right.stride);
        }
        multiply_tile<0, 4, 6>();
        if constexpr (S == 2) multiply_tile<1, 4, 7>();
        if constexpr (R == 2) multiply_tile<S, 5, 6>();
        if constexpr (R == 2 && S == 2) multiply_tile<3, 5, 7>();
      }
  }
  each_tile_of<R * S>([&]<int TILE>() { store_tile<TILE>(at(TILE), 4 * sums.stride); });
}

void configure() {
  static constexpr TileConfig config;
  _tile_loadconfig(&config);
}
void release() { _tile_release(); }

// Sums that follow each other along rows of A before the next rows. Short runs of far rows cost
// more than reading the block's operand, of so many tiles a sum, again from L2.
inline std::int64_t sums_of_a_run(const TileOperand& a, const TileOperand& block,
                                  std::int64_t tiles) {
  constexpr std::int64_t held = std::int64_t{32} << 10, far_bytes = std::int64_t{400} << 10,
                         far_stride = std::int64_t{16} << 10, longest = 4;
  const std::int64_t bytes = tiles * block.step;
  if (a.parts > 1 || a.stride < far_stride || bytes <= held) return 1;
  const std::int64_t fitting = far_bytes / bytes;
  return fitting < 1 ? 1 : fitting > longest ? longest : fitting;
}

// See TileKernels::multiply.
void multiply_tiles(std::int64_t rows, std::int64_t cols, std::int64_t steps,
                    const TileOperand& left, const TileOperand& right, BlockSide side,
                    const TileSums& c, Accumulate mode) {
  const PartProducts parts(left, right, side);
  const bool block_left = side == BlockSide::left;
  const bool chain = mode == Accumulate::chain;
  alignas(64) float fresh[4 * tile_side * tile_side];
  const std::int64_t most = chain ? steps : tile_sum / tile_depth;
  const std::int64_t run = most * (block_left ? 1 : sums_of_a_run(left, right, most * cols));
  for (std::int64_t first = 0; first < steps; first += run) {
    const std::int64_t stop = steps - first < run ? steps : first + run;
    const auto sums = [&]<int R, int S>(std::int64_t i, std::int64_t j) {
      const TileSums there{c.data + i * c.below + j * c.beside, c.stride, c.below, c.beside};
      for (std::int64_t s = first; s < stop; s += most) {
        const std::int64_t length = stop - s < most ? stop - s : most;
        TileOperand l = left, r = right;
        l.data += i * left.tile + s * left.step;
        r.data += j * right.tile + s * right.step;
        if (chain) {
          tile_block<R, S>(length, l, r, parts, there);
          continue;
        }
        for (int e = 0; e < 256 * R * S; e += 16) store(fresh + e, Vector<float>{});
        tile_block<R, S>(length, l, r, parts, {fresh, 16, 256 * S, 256});
        for (int row = 0; row < 16 * R * S; ++row) {
          const int tile = row / 16;
          float* sum = there.data + tile / S * c.below + tile % S * c.beside + row % 16 * c.stride;
          store(sum, load(sum) + load(fresh + 16 * row));
        }
      }
    };
    for (std::int64_t i = 0; i < rows;) {
      const std::int64_t below = cols == 1 && rows - i >= 4 && !block_left ? 4
                                 : rows - i >= 2                           ? 2
                                                                           : 1;
      for (std::int64_t j = 0; j < cols;) {
        const std::int64_t beside = below == 1 && cols - j >= 4 && block_left ? 4
                                    : cols - j >= 2                           ? 2
                                                                              : 1;
        if (below == 4) sums.template operator()<4, 1>(i, j);
        else if (below == 2 && beside == 2) sums.template operator()<2, 2>(i, j);
        else if (below == 2) sums.template operator()<2, 1>(i, j);
        else if (beside == 4) sums.template operator()<1, 4>(i, j);
        else if (beside == 2) sums.template operator()<1, 2>(i, j);
        else sums.template operator()<1, 1>(i, j);
        j += beside;
      }
      i += below;
    }
  }
}

constexpr TileKernels own_tiles{split,     split_sum, pack_right, pack_left,     pair_rows,
                                transpose, configure, release,    multiply_tiles};
constexpr const TileKernels* tiles = &own_tiles;
#else
constexpr const TileKernels* tiles = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
