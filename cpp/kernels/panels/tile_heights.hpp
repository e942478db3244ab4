// SPDX-License-Identifier: BSD-3-Clause
// Heights of panels of TilePanels. A panel that all threads share fills their L2 caches, or has so
// many rows that the sums of z are a small part of the work. A panel of one thread, which passes
// over it twice, fills its L2 cache, unless the blocks fill that by themselves.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/blocks/block.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/simd/isa.hpp"

namespace sigmascope {

inline std::int64_t shared_tile_rows(std::int64_t row_bytes, int threads) {
  constexpr std::int64_t bytes = std::int64_t{2} << 20, wide_bytes = std::int64_t{16} << 20,
                         enough = 128;
  const std::int64_t fitting = std::min<std::int64_t>(bytes * threads / row_bytes, tile_sum);
  return fitting < enough ? std::min(wide_bytes / row_bytes, enough) : fitting;
}

// Most rows of a panel of one thread: the blocks fill its cache.
inline std::int64_t far_tile_rows(std::int64_t row_bytes, std::int64_t most_rows) {
  constexpr std::int64_t far_bytes = std::int64_t{8} << 20;
  return std::min(far_bytes / row_bytes, most_rows);
}

inline constexpr std::int64_t most_own_tile_rows = 256;

// `block_bytes`: bytes of the blocks.
inline std::int64_t own_tile_rows(std::int64_t row_bytes, std::int64_t block_bytes, int parts) {
  constexpr std::int64_t small_bytes = std::int64_t{2} << 20, own_bytes = std::int64_t{512} << 10,
                         far_rows = 128;
  if (block_bytes < small_bytes) return std::min(own_bytes / row_bytes, most_own_tile_rows);
  return far_tile_rows(row_bytes, parts > 1 ? far_rows : most_own_tile_rows);
}

// Whole tiles: as asked, else of the rows that fit.
inline std::int64_t tile_rows(const PanelOptions& options, std::int64_t fitting) {
  constexpr std::int64_t depth = tile_depth;
  return options.height > 0 ? round_up(options.height, depth)
                            : std::max(fitting / depth * depth, depth);
}

}  // namespace sigmascope
