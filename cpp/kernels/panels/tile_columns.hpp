// SPDX-License-Identifier: BSD-3-Clause
// Products with the columns of a panel by tiles. A tile takes rows in pairs: columns are paired
// strip after strip, in a buffer of each thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/blocks/tile_registers.hpp"
#include "kernels/panels/tile_panels.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// C^T += B^T P, transposed, for `cols` columns and, from row i0, `rows` rows of the panel. Every
// tile_sum rows are one chain, which continues the sums in C. finish(j, end, chain) follows for
// columns whose chain has ended, while the caches hold them.
template <class Finish>
void TilePanels::add_columns(std::int64_t i0, std::int64_t rows, std::int64_t cols,
                             const PackedBlock& b, float* c, std::int64_t chunk,
                             const Finish& finish) {
  const std::int64_t steps = round_up(rows, depth) / depth, all = round_up(cols, depth);
  constexpr std::int64_t across = strip / edge, bytes = 2 * tile_codes,
                         fresh = tile_sum / tile_depth;
  const std::int64_t step_bytes = parts_ * across * bytes, most = strip_bytes / step_bytes;
  static_assert(strip_bytes >= tile_parts * across * bytes);
  const std::int64_t together = steps > 1 ? strips_ * strip : strip;
  pool_.run(chunks(all, chunk), [&](std::int64_t index, int worker) {
    AlignedArray<std::uint16_t>& paired = paired_[as_size(worker)];
    if (!paired) paired = aligned_array<std::uint16_t>(strips_ * strip_bytes / 2);
    const auto strip_of = [&](std::int64_t j) {
      return paired.get() + j / strip * strip_bytes / 2;
    };
    TileOperand right{.data = nullptr,
                      .stride = 2 * depth,
                      .tile = bytes,
                      .step = step_bytes,
                      .part = across * bytes,
                      .parts = parts_};
    const TileRegisters ready(tiles_);
    const std::int64_t end = std::min(index * chunk + chunk, all);
    for (std::int64_t first = index * chunk; first < end; first += together) {
      const std::int64_t stop = std::min(first + together, end);
      const auto each_strip = [&](const auto& task) {
        for (std::int64_t j = first; j < stop; j += strip) task(j, std::min(strip, stop - j));
      };
      for (std::int64_t s0 = 0, length = 0; s0 < steps; s0 += length) {
        length = std::min(most, std::min(steps - s0, fresh - s0 % fresh));
        for (std::int64_t s = 0; s < length; ++s)
          for (int q = 0; q < parts_; ++q)
            each_strip([&](std::int64_t j, std::int64_t count) {
              tiles_.pair_rows(
                  codes_ + (i0 + (s0 + s) * depth) * ld_ + j + q * part_stride_, ld_, count / edge,
                  strip_of(j - first) + (s * parts_ + q) * across * tile_codes, tile_codes);
            });
        TileOperand left = b.operand(steps);
        left.data += s0 * left.step;
        each_strip([&](std::int64_t j, std::int64_t count) {
          right.data = reinterpret_cast<const std::byte*>(strip_of(j - first));
          tiles_.multiply(width_ / edge, count / edge, length, left, right, BlockSide::left,
                          {c + j * width_, edge, edge * edge, edge * width_}, Accumulate::chain);
        });
        if ((s0 + length) % fresh == 0 || s0 + length == steps)
          each_strip([&](std::int64_t j, std::int64_t count) { finish(j, j + count, s0 / fresh); });
      }
    }
  });
}

}  // namespace sigmascope
