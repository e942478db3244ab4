// SPDX-License-Identifier: BSD-3-Clause
// The interface of NumberPanels, Bf16Panels and TilePanels: products of op(A) (m x n) with blocks,
// panel after panel of its rows.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/panel.hpp"

namespace sigmascope {

// The threads that work on one panel: one, while others work on other panels, or all.
enum class PanelThreads { one, all };

struct PanelOptions {
  std::int64_t width = 0;  // numbers in a row of the blocks, with what pads it
  int parts = tile_parts;  // most parts of bf16 of each number, in products by tiles
  PanelThreads threads = PanelThreads::all;
  std::int64_t height = 0;  // rows of a panel; 0: chosen
};

template <class P>
concept PanelProduct =
    std::constructible_from<P, const Isa&, ThreadPool&, const MatrixView&, const PanelOptions&> &&
    requires(P& product, const P& layout, const Block<typename P::Real>& x,
             ChainSums<typename P::Real>& sums, const Panel& panel, std::int64_t row,
             const typename P::Real* y, Block<typename P::Real>& z) {
      // True if op(A) may be A^T; else A^T is multiplied along the rows of A.
      { P::transposes } -> std::convertible_to<bool>;
      // Rows of op(A) whose products for z form one chain of sums.
      { P::chain } -> std::convertible_to<std::int64_t>;
      // Most rows of op(A) in a panel.
      { layout.height() } -> std::same_as<std::int64_t>;
      // x as `forward` takes it; threads share it, and x must outlive it.
      product.load_block(layout.packed(x));
      // The sums that `adjoint` adds to.
      { layout.allocate_sums() } -> std::same_as<ChainSums<typename P::Real>>;
      product.attach_sums(sums);
      product.detach_sums();
      // The next panel begins at this row of op(A), with a new chain.
      product.start_at(row);
      // The numbers of the next panel, for both products; the panel must outlive them.
      product.load_panel(panel);
      // y = (rows of op(A) in the panel) x
      { product.forward() } -> std::same_as<typename P::Real*>;
      // z += (rows of op(A) in the panel)^T y, in the attached sums
      product.adjoint(y);
      layout.write_result(sums, z);
    };

// Rows of a panel that all threads work on, for products of A's rows: as many bytes as make the
// sums of the transposed product a small part of the work.
inline std::int64_t shared_panel_rows(std::int64_t row_bytes, int threads, std::int64_t bytes,
                                      std::int64_t most_rows) {
  const std::int64_t step = std::int64_t{64} * threads;
  return std::clamp<std::int64_t>(bytes / (row_bytes * step), 1,
                                  std::max<std::int64_t>(most_rows / step, 1)) *
         step;
}

// Rows of a panel that one thread passes over twice: its L2 cache holds those of most matrices.
inline std::int64_t own_panel_rows(std::int64_t width) { return width <= 64 ? 64 : 128; }

}  // namespace sigmascope
