// SPDX-License-Identifier: BSD-3-Clause
// One read of a matrix for products with blocks, by panels: which threads take which rows.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/cpu.hpp"
#include "kernels/panels/chain_sums.hpp"
#include "kernels/panels/panel_product.hpp"
#include "kernels/panels/products.hpp"
#include "matrix/panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// The bytes of a pass that the observer hears of: none, if a pass before it read the same.
enum class ReportedBytes { all, none };

// y += f S x for the sparse remainder S, in its rows from `row` to `end`.
inline void add_remainder(const Isa& isa, const MatrixView& a, const Block<float>& x,
                          std::int64_t row, std::int64_t end, float* y) {
  const Sparse& s = *a.remainder;
  const std::int64_t e = s.first[as_size(row)], count = s.first[as_size(end)] - e;
  isa.blocks.add_entries(count, s.cols.data() + e, s.rows.data() + e, s.values.data() + e,
                         static_cast<float>(a.factor), x.ld, x.data.get(), row, y);
}

// z += f S^T y, in the order of rows.
inline void add_remainder_adjoint(const Isa& isa, const MatrixView& a, const Block<float>& y,
                                  Block<float>& z) {
  const Sparse& s = *a.remainder;
  isa.blocks.add_entries(s.size(), s.rows.data(), s.cols.data(), s.values.data(),
                         static_cast<float>(a.factor), y.ld, y.data.get(), 0, z.data.get());
}

// Rows of y = op(A) x from `row` to `end`, which the panel holds; without x, of the given y.
template <PanelProduct P, class T = typename P::Real>
const T* forward_rows(const Isa& isa, const MatrixView& a, const PassBlocks<T>& blocks, P& product,
                      std::int64_t row, std::int64_t end) {
  if (blocks.x == nullptr) return blocks.given->row(row);
  T* y = product.forward();
  if constexpr (std::is_same_v<T, float>)
    if (a.remainder) add_remainder(isa, a, *blocks.x, row, end, y);
  return y;
}

// Every thread takes whole chains of rows, a few rows at a time. Its own caches hold these for the
// second product, and no thread waits for the others.
template <PanelProduct P, class T = typename P::Real>
void multiply_by_own_panels(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& blocks, int parts,
                            ReportedBytes reported) {
  const std::int64_t ld = blocks.block()->ld;
  const PanelOptions options{
      .width = ld, .parts = parts, .threads = PanelThreads::one, .height = cpu.panel_rows};
  P all(cpu.isa, cpu.pool, a, options);
  const auto x = blocks.x ? all.packed(*blocks.x) : nullptr;
  std::optional<ChainSums<T>> sums;
  if (blocks.z) sums.emplace(all.allocate_sums());
  struct Own {
    ThreadPool pool{1};
    std::optional<P> product;
  };
  std::vector<Own> own(as_size(cpu.pool.threads()));
  std::atomic<std::int64_t> done = 0;
  // Without sums the rows may be cut anywhere.
  const std::int64_t size = blocks.z ? P::chain : all.height();
  cpu.pool.run(chunks(a.rows(), size), [&](std::int64_t part, int worker) {
    try {
      auto& [pool, product] = own[as_size(worker)];
      if (!product) {
        product.emplace(cpu.isa, pool, a, options);
        if (x) product->load_block(x);
        if (sums) product->attach_sums(*sums);
      }
      const std::int64_t start = part * size, end = std::min(start + size, a.rows());
      product->start_at(start);
      for (std::int64_t row = start; row < end; row += product->height()) {
        const Panel panel =
            fetch_panel(*a.matrix, row, std::min(row + product->height(), end), 0, a.cols());
        product->load_panel(panel);
        const T* y = forward_rows<P>(cpu.isa, a, blocks, *product, row, row + panel.rows);
        if (blocks.y) std::copy_n(y, panel.rows * ld, blocks.y->row(row));
        if (blocks.z) product->adjoint(y);
        if (reported == ReportedBytes::all) done += panel.stored_bytes();
      }
      if (worker == 0) cpu.report(done.exchange(0));
    } catch (...) {
      if (sums) sums->cancel();
      throw;
    }
  });
  cpu.report(done.exchange(0));
  own.clear();  // their sums, before there is another
  if (sums) all.write_result(*sums, *blocks.z = Block<T>::to_fill(a.cols(), blocks.block()->cols));
}

// All threads work on one panel after another.
template <PanelProduct P, class T = typename P::Real>
void multiply_by_shared_panels(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& blocks,
                               int parts, ReportedBytes reported) {
  P product(cpu.isa, cpu.pool, a,
            {.width = blocks.block()->ld,
             .parts = parts,
             .threads = PanelThreads::all,
             .height = cpu.panel_rows});
  std::optional<ChainSums<T>> sums;
  if (blocks.x) product.load_block(product.packed(*blocks.x));
  if (blocks.z) {
    sums.emplace(product.allocate_sums());
    product.attach_sums(*sums);
  }
  PanelStream panels(a, product.height());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    const std::int64_t row = a.transposed ? panel.col0 : panel.row0,
                       count = a.transposed ? panel.cols : panel.rows;
    product.load_panel(panel);
    const T* y = forward_rows<P>(cpu.isa, a, blocks, product, row, row + count);
    if (blocks.y) std::copy_n(y, count * blocks.y->ld, blocks.y->row(row));
    if (blocks.z) product.adjoint(y);
    cpu.report(reported == ReportedBytes::all ? panel.stored_bytes() : 0);
  }
  if (!blocks.z) return;
  product.detach_sums();
  product.write_result(*sums, *blocks.z = Block<T>::to_fill(a.cols(), blocks.block()->cols));
}

template <PanelProduct P, class T = typename P::Real>
void multiply_by_panels(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& asked, int parts,
                        ReportedBytes reported = ReportedBytes::all);

// Products with A^T along the rows of A. If both products are wanted, A is read twice: a file can
// hardly be read by columns.
template <PanelProduct P, class T = typename P::Real>
void multiply_along_rows(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& asked, int parts) {
  const MatrixView rows{a.matrix, false, a.factor, a.remainder};
  if (!asked.x)
    return multiply_by_panels<P>(cpu, rows, PassBlocks<T>{.x = asked.given, .y = asked.z}, parts);
  Block<T> own;
  Block<T>& y = asked.y ? *asked.y : own;
  multiply_by_panels<P>(cpu, rows, PassBlocks<T>{.given = asked.x, .z = &y}, parts);
  if (asked.z)
    multiply_by_panels<P>(cpu, rows, PassBlocks<T>{.x = &y, .y = asked.z}, parts,
                          a.matrix->in_memory() ? ReportedBytes::none : ReportedBytes::all);
}

// Products with op(A). A is read along its rows, whichever product comes first, since the elements
// of a column are far from each other. Only a small matrix in memory, which all threads share, may
// be read by columns.
template <PanelProduct P, class T>
void multiply_by_panels(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& asked, int parts,
                        ReportedBytes reported) {
  if (!asked.block()) return;  // nothing to multiply
  const bool own_panels = a.matrix->in_memory() &&
                          (chunks(a.matrix->rows, P::chain) >= cpu.pool.threads() || a.remainder);
  if (a.transposed && (own_panels || !a.matrix->in_memory() || !P::transposes))
    return multiply_along_rows<P>(cpu, a, asked, parts);
  PassBlocks<T> blocks = asked;
  const std::int64_t cols = blocks.block()->cols;
  if (blocks.y && !blocks.y->data) *blocks.y = Block<T>(a.rows(), cols);
  Block<T> products;
  if (a.remainder && blocks.x && blocks.z && !blocks.y)
    blocks.y = &(products = Block<T>(a.rows(), cols));
  if (own_panels) multiply_by_own_panels<P>(cpu, a, blocks, parts, reported);
  else multiply_by_shared_panels<P>(cpu, a, blocks, parts, reported);
  if constexpr (std::is_same_v<T, float>)
    if (a.remainder && blocks.z)
      add_remainder_adjoint(cpu.isa, a, blocks.x ? *blocks.y : *blocks.given, *blocks.z);
}

}  // namespace sigmascope
