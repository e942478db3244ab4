// SPDX-License-Identifier: BSD-3-Clause
// Products by tiles (Intel AMX): 16 x 16 sums of fp32 from 16 x 32 and 32 x 16 numbers of bf16, 16 times the rate of
// fp32 multiply-adds. See TileKernels in isa.hpp. For isa.cpp alone: everything has internal linkage.
#pragma once

#include <cstdint>

#include "kernels/isa.hpp"
#include "kernels/tile_parts.hpp"
#include "kernels/vector.hpp"

namespace sigmascope {
namespace {

#if defined(__AMX_BF16__)

// Tile registers are named by literals. Sums of R x S tiles: 0 to 3, row after row; the others pass through 4 to 7.
struct TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

template <int TILE>
inline void zero_tile() {
  if constexpr (TILE == 0) _tile_zero(0);
  if constexpr (TILE == 1) _tile_zero(1);
  if constexpr (TILE == 2) _tile_zero(2);
  if constexpr (TILE == 3) _tile_zero(3);
}
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
// sum += left right, for the registers in use: left in 4 or 5, right in 6 or 7.
template <int SUM, int LEFT, int RIGHT>
inline void multiply_tile() {
  static_assert(LEFT == 4 || LEFT == 5);
  static_assert(RIGHT == 6 || RIGHT == 7);
#define SIGMASCOPE_TILE(sum, left, right) \
  if constexpr (SUM == sum && LEFT == left && RIGHT == right) _tile_dpbf16ps(sum, left, right)
#define SIGMASCOPE_TILES(sum) \
  SIGMASCOPE_TILE(sum, 4, 6); \
  SIGMASCOPE_TILE(sum, 4, 7); \
  SIGMASCOPE_TILE(sum, 5, 6); \
  SIGMASCOPE_TILE(sum, 5, 7)
  SIGMASCOPE_TILES(0);
  SIGMASCOPE_TILES(1);
  SIGMASCOPE_TILES(2);
  SIGMASCOPE_TILES(3);
#undef SIGMASCOPE_TILES
#undef SIGMASCOPE_TILE
}

// The products of parts that matter together, p + q < tile_parts, in the order of the block's parts whichever side it
// is on: the same bits.
struct PartProducts {
  struct One {
    std::int64_t left, right;  // bytes to the parts
    bool new_left, new_right;
  };
  One products[tile_parts * tile_parts];
  int count = 0;

  PartProducts(const TileOperand& left, const TileOperand& right, bool block_left) {
    const TileOperand &block = block_left ? left : right, &panel = block_left ? right : left;
    int last_p = -1, last_q = -1;
    for (int q = 0; q < block.parts; ++q)
      for (int p = 0; p < panel.parts && p + q < tile_parts; ++p) {
        const bool new_p = p != last_p, new_q = q != last_q;
        products[count++] = block_left ? One{q * block.part, p * panel.part, new_q, new_p}
                                       : One{p * panel.part, q * block.part, new_p, new_q};
        last_p = p, last_q = q;
      }
  }
};

// C (R x S tiles) += the products of `steps` steps. The processor adds up those of one step and parts by themselves
// before they meet the sum.
template <int R, int S>
inline void tile_block(std::int64_t steps, const TileOperand& left, const TileOperand& right, const PartProducts& parts,
                       float* c, std::int64_t ldc, Accumulate mode) {
  const bool chain = mode == Accumulate::chain;
  const auto at = [&](int tile) { return c + tile / S * 16 * ldc + tile % S * 16; };
  const auto begin = [&]<int TILE>() {
    if constexpr (TILE < R * S) {
      if (chain) load_tile<TILE>(at(TILE), 4 * ldc);
      else zero_tile<TILE>();
    }
  };
  begin.template operator()<0>();
  begin.template operator()<1>();
  begin.template operator()<2>();
  begin.template operator()<3>();
  for (std::int64_t s = 0; s < steps; ++s)
    for (int product = 0; product < parts.count; ++product) {
      const PartProducts::One& one = parts.products[product];
      const std::byte *l = left.data + s * left.step + one.left, *r = right.data + s * right.step + one.right;
      if constexpr (R == 2 && S == 2) {
        if (one.new_left) {
          load_tile<4>(l, left.stride);
          load_tile<5>(l + left.tile, left.stride);
        }
        if (one.new_right) {
          load_tile<6>(r, right.stride);
          load_tile<7>(r + right.tile, right.stride);
        }
        multiply_tile<0, 4, 6>();
        multiply_tile<1, 4, 7>();
        multiply_tile<2, 5, 6>();
        multiply_tile<3, 5, 7>();
      } else if constexpr (R == 1) {
        if (one.new_left) load_tile<4>(l, left.stride);
        const auto column = [&]<int J>() {
          if constexpr (J < S) {
            load_tile<6 + J % 2>(r + J * right.tile, right.stride);
            multiply_tile<J, 4, 6 + J % 2>();
          }
        };
        column.template operator()<0>();
        column.template operator()<1>();
        column.template operator()<2>();
        column.template operator()<3>();
      } else {
        static_assert(S == 1);
        if (one.new_right) load_tile<6>(r, right.stride);
        const auto row = [&]<int I>() {
          if constexpr (I < R) {
            load_tile<4 + I % 2>(l + I * left.tile, left.stride);
            multiply_tile<I, 4 + I % 2, 6>();
          }
        };
        row.template operator()<0>();
        row.template operator()<1>();
        row.template operator()<2>();
        row.template operator()<3>();
      }
    }
  alignas(64) float sums[R * S][16 * 16];
  const auto end = [&]<int TILE>() {
    if constexpr (TILE < R * S) {
      if (chain) store_tile<TILE>(at(TILE), 4 * ldc);
      else store_tile<TILE>(sums[TILE], 64);
    }
  };
  end.template operator()<0>();
  end.template operator()<1>();
  end.template operator()<2>();
  end.template operator()<3>();
  if (chain) return;
  for (int tile = 0; tile < R * S; ++tile)
    for (int i = 0; i < 16; ++i) store(at(tile) + i * ldc, load(at(tile) + i * ldc) + load(sums[tile] + 16 * i));
}

// See TileKernels::multiply.
void multiply_tiles(std::int64_t rows, std::int64_t cols, std::int64_t steps, const TileOperand& left,
                    const TileOperand& right, bool block_left, float* c, std::int64_t ldc, Accumulate mode) {
  static constexpr TileConfig config;
  _tile_loadconfig(&config);
  const PartProducts parts(left, right, block_left);
  const std::int64_t most = mode == Accumulate::chain ? steps : tile_sum / tile_depth;
  for (std::int64_t s = 0; s < steps; s += most) {
    const std::int64_t length = steps - s < most ? steps - s : most;
    const auto block = [&]<int R, int S>(std::int64_t i, std::int64_t j) {
      TileOperand l = left, r = right;
      l.data += i * left.tile + s * left.step;
      r.data += j * right.tile + s * right.step;
      tile_block<R, S>(length, l, r, parts, c + i * 16 * ldc + j * 16, ldc, mode);
    };
    for (std::int64_t i = 0; i < rows;) {
      const std::int64_t below = cols == 1 && rows - i >= 4 ? 4 : rows - i >= 2 ? 2 : 1;
      for (std::int64_t j = 0; j < cols;) {
        const std::int64_t beside = below == 1 && cols - j >= 4 ? 4 : cols - j >= 2 ? 2 : 1;
        if (below == 4) block.template operator()<4, 1>(i, j);
        else if (below == 2 && beside == 2) block.template operator()<2, 2>(i, j);
        else if (below == 2) block.template operator()<2, 1>(i, j);
        else if (beside == 4) block.template operator()<1, 4>(i, j);
        else if (beside == 2) block.template operator()<1, 2>(i, j);
        else block.template operator()<1, 1>(i, j);
        j += beside;
      }
      i += below;
    }
  }
  _tile_release();
}

constexpr TileKernels own_tiles{split, pack_right, pack_left, pair_rows, transpose, multiply_tiles};
constexpr const TileKernels* tiles = &own_tiles;
#else
constexpr const TileKernels* tiles = nullptr;
#endif

}  // namespace
}  // namespace sigmascope
