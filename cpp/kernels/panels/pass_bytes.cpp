// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/panels/pass_bytes.hpp"

#include <algorithm>
#include <initializer_list>

#include "kernels/panels/bf16_panels.hpp"
#include "kernels/panels/number_panels.hpp"
#include "kernels/panels/tile_heights.hpp"
#include "kernels/panels/tile_panels.hpp"

namespace sigmascope {

namespace {

// Panels of the lines that a matrix is stored in: `count` of them at once, of `height` lines each.
struct LinePanels {
  std::int64_t lines, length, count, height;
};

// Those of products along the lines, in Panels::panel_rows. Every thread has a panel where a matrix
// in memory has chains enough, else all of them share one.
template <class Panels>
LinePanels line_panels(const PassLayout& layout, std::int64_t ld) {
  LinePanels panels{layout.longer(), layout.shorter(), layout.threads, 0};
  if (layout.wide) std::swap(panels.lines, panels.length);
  const bool shared = layout.files || chunks(panels.lines, Panels::chain) < layout.threads;
  if (shared) panels.count = 1;
  const PanelOptions options{.width = ld,
                             .threads = shared ? PanelThreads::all : PanelThreads::one,
                             .height = layout.panel_rows};
  const std::int64_t height = Panels::panel_rows(options, panels.length, layout.threads);
  panels.height = std::min(height, panels.lines) + 1;
  return panels;
}

// Numbers of the sums of one adjoint product, and of those that longer sums take (ChainSums).
std::int64_t strip_sums(const LinePanels& panels, std::int64_t ld) {
  return (panels.length + adjoint_tile) * ld;
}
template <class Panels>
std::int64_t group_sums(const LinePanels& panels, std::int64_t ld) {
  using Sums = ChainSums<typename Panels::Real>;
  return Sums::more_sums(panels.lines, Panels::chain) * strip_sums(panels, ld);
}

// Numbers of the sums of all threads' tasks over a line: of a group, and of each level
// (TermBlocks).
std::int64_t task_sums(const LinePanels& panels, std::int64_t numbers, int threads) {
  return (1 + tree_levels(panels.length)) * numbers * threads;
}

// Words of a block of so few columns as DotOperand.
std::int64_t dot_words(const LinePanels& panels, std::int64_t ld, std::int64_t more) {
  return ld <= 2 * dot_columns ? (panels.length + more) * ld : 0;
}

}  // namespace

template <class T>
std::int64_t number_pass_bytes(const PassLayout& layout, std::int64_t columns,
                               PassProducts products) {
  using Panels = NumberPanels<T, ForwardSums::fastest>;
  constexpr std::int64_t size = sizeof(T);
  const bool both = products == PassProducts::both;
  const std::int64_t ld = Block<T>::padded(columns);
  const LinePanels panels = line_panels<Panels>(layout, ld);
  const std::int64_t each = panels.height * (spread<T>(panels.length) + 2 * ld);
  // A x of a wide matrix, before it is multiplied with A^T.
  const std::int64_t between = layout.wide && both ? layout.longer() * ld : 0;
  const std::int64_t dots = size == 4 && both ? dot_words(panels, ld, 16) : 0;
  const std::int64_t tasks = task_sums(panels, Panels::row_chunk * ld, layout.threads);
  const std::int64_t numbers = between + dots + tasks + group_sums<Panels>(panels, ld) +
                               panels.count * (each + strip_sums(panels, ld));
  return size * numbers + layout.stored_panels(panels.height, panels.length, panels.lines);
}

template std::int64_t number_pass_bytes<float>(const PassLayout&, std::int64_t, PassProducts);
template std::int64_t number_pass_bytes<double>(const PassLayout&, std::int64_t, PassProducts);

std::int64_t bf16_pass_bytes(const PassLayout& layout, std::int64_t columns) {
  const std::int64_t ld = Block<float>::padded(columns);
  const LinePanels panels = line_panels<Bf16Panels>(layout, ld);
  const std::int64_t codes =
      panels.count * panels.height * (spread<std::uint16_t>(panels.length) + ld) +
      (panels.length + 2) * ld + dot_words(panels, ld, 32);
  const std::int64_t between = layout.wide ? layout.longer() * ld : 0;
  const std::int64_t tasks = tree_levels(panels.length) > 0
                                 ? task_sums(panels, Bf16Panels::row_chunk * ld, layout.threads)
                                 : 0;
  const std::int64_t numbers = between + tasks + group_sums<Bf16Panels>(panels, ld) +
                               panels.count * (panels.height * ld + strip_sums(panels, ld));
  return 2 * codes + 4 * numbers + layout.stored_panels(panels.height, panels.length, panels.lines);
}

std::int64_t tile_pass_bytes(const PassLayout& layout, std::int64_t columns,
                             PassProducts products) {
  const std::int64_t ld = Block<float>::padded(columns);
  const bool turned = layout.files && layout.wide;
  // A matrix in memory is read along lines of either side: count with the longer ones.
  const std::int64_t lines = layout.files && !layout.wide ? layout.longer() : layout.shorter(),
                     length = layout.files && !layout.wide ? layout.shorter() : layout.longer();
  const std::int64_t across = round_up(length, tile_depth) + tile_side;
  const std::int64_t count = layout.files ? 1 : layout.threads;
  const PanelOptions options{.width = ld, .height = layout.panel_rows};
  std::int64_t codes = 0, tallest = 0, strips = 1;  // of a panel
  for (const int parts : {1, 2, 3}) {
    if (layout.element_bytes > 2 && parts < tile_parts) continue;
    const std::int64_t row_bytes = 2 * parts * across,
                       fitting = layout.files ? shared_tile_rows(row_bytes, layout.threads)
                                              : far_tile_rows(row_bytes, most_own_tile_rows);
    const std::int64_t rows = std::min(tile_rows(options, fitting), round_up(lines, tile_depth));
    codes = std::max(codes, parts * std::max(rows * spread<std::uint16_t>(across),
                                             across * spread<std::uint16_t>(rows)));
    tallest = std::max(tallest, rows);
    strips = std::max(strips, TilePanels::strips_at_a_time(row_bytes * rows, parts));
  }
  // Sums of the threads, of all of them, and those that longer sums take.
  const std::int64_t more = ChainSums<float>::more_sums(lines, TilePanels::chain);
  const std::int64_t sums = products == PassProducts::both ? 1 + count + more : 1;
  const std::int64_t operand = across * tile_parts, given = tallest * tile_parts;  // codes
  // y of a panel, and its transposed sums with what pads these: of a chain, and longer ones.
  const std::int64_t products_of_panel =
      tallest * (3 + ChainSums<float>::more_sums(length, TilePanels::chain));
  const std::int64_t tasks =
      length > ChainSums<float>::group * TilePanels::chain
          ? (1 + tree_levels(length)) * TilePanels::row_chunk * layout.threads
          : 0;
  const std::int64_t numbers =
      sums * across + count * products_of_panel + tasks + (turned ? layout.longer() : 0);
  return 2 * (count * codes + (operand + count * given) * ld) + 4 * numbers * ld +
         TilePanels::strip_bytes * strips * layout.threads +
         layout.stored_panels(std::min(tallest, lines), length, lines);
}

}  // namespace sigmascope
