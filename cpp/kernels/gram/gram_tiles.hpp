// SPDX-License-Identifier: BSD-3-Clause
// A Gram matrix in tiles of gram_tile columns, from panels of gram_rows rows, and its products by
// tiles of bf16 (Intel AMX).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/blocks/tile_registers.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/sizes.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

inline constexpr std::int64_t gram_rows = 512, gram_tile = 192;

// One panel in fp64: element (k, j), k along the sum, at x[k*row_step + j*col_step].
struct Decoded {
  const double* x;
  std::int64_t rows, row_step, col_step;
};

struct GramTile {
  std::int64_t i, rows, j, cols;
};

// task(tile, worker) for each tile of the lower triangle of order n.
template <class Task>
void each_tile(ThreadPool& pool, std::int64_t n, const Task& task) {
  const std::int64_t side = chunks(n, gram_tile);
  pool.run(side * (side + 1) / 2, [&](std::int64_t index, int worker) {
    std::int64_t row = 0;  // the index-th tile
    while ((row + 1) * (row + 2) / 2 <= index) ++row;
    const std::int64_t i = row * gram_tile, j = (index - row * (row + 1) / 2) * gram_tile;
    task(GramTile{i, std::min(gram_tile, n - i), j, std::min(gram_tile, n - j)}, worker);
  });
}

// A panel's columns in groups of 16 as the operands of tiles, group after group, step after step,
// part after part.
struct GramTiles {
  AlignedArray<std::uint16_t> left, right;

  explicit GramTiles(std::int64_t n)
      : left(aligned_array<std::uint16_t>(size(n))), right(aligned_array<std::uint16_t>(size(n))) {}
  static std::int64_t size(std::int64_t n) {
    return chunks(n, cell_group) * cell_group * gram_rows * tile_parts;
  }
};

// g += the products of a panel, by tiles: numbers of fp32 have three parts, of bf16 one.
inline void add_in_tiles(const Isa& isa, ThreadPool& pool, Narrow narrow, const Decoded& panel,
                         GramTiles& packed, Small& g) {
  const TileKernels& tiles = *isa.tiles;
  const std::int64_t n = g.rows, steps = chunks(panel.rows, tile_depth);
  const int parts = narrow == Narrow::bf16 ? 1 : tile_parts;
  constexpr std::int64_t bytes = 2 * tile_codes;
  const std::int64_t group_codes = steps * parts * tile_codes;
  std::vector<AlignedArray<std::uint32_t>> cells(as_size(pool.threads()));
  pool.run(chunks(n, cell_group), [&](std::int64_t group, int worker) {
    auto& own = cells[as_size(worker)];
    if (!own) own = aligned_array<std::uint32_t>(gram_rows * cell_group);
    const std::int64_t j = group * cell_group;
    isa.gram.pack(Narrow::f32, std::min(cell_group, n - j), panel.rows,
                  panel.x + j * panel.col_step, panel.col_step, panel.row_step, own.get());
    const auto* numbers = reinterpret_cast<const float*>(own.get());
    for (std::int64_t s = 0; s < steps; ++s) {
      const std::int64_t row = s * tile_depth,
                         rows = std::min<std::int64_t>(tile_depth, panel.rows - row),
                         at = group * group_codes + s * parts * tile_codes;
      tiles.pack_left(numbers + row * cell_group, cell_group, rows, 1.0f, parts,
                      packed.left.get() + at);
      tiles.pack_right(numbers + row * cell_group, cell_group, rows, 1.0f, parts,
                       packed.right.get() + at);
    }
  });
  const auto operand = [&](const AlignedArray<std::uint16_t>& codes, std::int64_t column) {
    return TileOperand{
        .data = reinterpret_cast<const std::byte*>(codes.get() + column / cell_group * group_codes),
        .stride = 2 * tile_depth,
        .tile = 2 * group_codes,
        .step = parts * bytes,
        .part = bytes,
        .parts = parts};
  };
  std::vector<AlignedArray<float>> sums(as_size(pool.threads()));
  each_tile(pool, n, [&](const GramTile& t, int worker) {
    auto& sum = sums[as_size(worker)];
    if (!sum) sum = aligned_array<float>(gram_tile * gram_tile);
    std::fill_n(sum.get(), gram_tile * gram_tile, 0.0f);
    const TileRegisters ready(tiles);
    tiles.multiply(chunks(t.cols, tile_side), chunks(t.rows, tile_side), steps,
                   operand(packed.left, t.j), operand(packed.right, t.i), BlockSide::left,
                   {sum.get(), gram_tile, tile_side * gram_tile, tile_side}, Accumulate::chain);
    for (std::int64_t j = 0; j < t.cols; ++j) {
      double* column = &g(t.i, t.j + j);
      const float* from = sum.get() + j * gram_tile;
      for (std::int64_t i = 0; i < t.rows; ++i) column[i] += static_cast<double>(from[i]);
    }
  });
}

}  // namespace sigmascope
