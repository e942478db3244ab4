// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix with a block from its panels: who takes which. Step is TilePanels,
// Bf16Panels or NumberPanels.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/cpu_backend.hpp"
#include "kernels/panels/chain_sums.hpp"

namespace sigmascope {

// What is beside A: y += f S x, for its rows from `row` to `end`.
inline void add_beside(const Isa& isa, const MatrixView& a, const Block<float>& x, std::int64_t row,
                       std::int64_t end, float* y) {
  const Sparse& s = *a.beside;
  const std::int64_t e = s.first[static_cast<std::size_t>(row)],
                     count = s.first[static_cast<std::size_t>(end)] - e;
  isa.add_entries(count, s.cols.data() + e, s.rows.data() + e, s.values.data() + e,
                  static_cast<float>(a.factor), x.ld, x.data.get(), row, y);
}

// z += f S^T y, in the order of rows.
inline void add_beside_adjoint(const Isa& isa, const MatrixView& a, const Block<float>& y,
                               Block<float>& z) {
  const Sparse& s = *a.beside;
  isa.add_entries(s.size(), s.rows.data(), s.cols.data(), s.values.data(),
                  static_cast<float>(a.factor), y.ld, y.data.get(), 0, z.data.get());
}

// Rows of y = op(A) x from `row` to `end`, which the panel holds; without x, of the y that is
// given.
template <class T, class Step>
const T* image(const Isa& isa, const MatrixView& a, const Block<T>* x, const Block<T>* given,
               Step& step, std::int64_t row, std::int64_t end) {
  if (x == nullptr) return given->row(row);
  T* y = step.forward();
  if constexpr (std::is_same_v<T, float>)
    if (a.beside) add_beside(isa, a, *x, row, end, y);
  return y;
}

// Along A's rows, whichever product comes first, unless all threads are at one small matrix: its
// columns are not near each other. `counted`: whether the observer hears of the bytes.
template <class T>
template <class Step>
void CpuBackend<T>::by_panels(const MatrixView& a, const Stages& asked, int parts, bool counted) {
  if (!asked.block()) return;  // nothing to multiply
  const bool at_hand =
      a.matrix->in_memory() && (chunks(a.matrix->rows, Step::chain) >= pool_.threads() || a.beside);
  if (a.transposed && (at_hand || !a.matrix->in_memory() || !Step::columns))
    return along_rows(a, asked, [&](const MatrixView& rows, const Stages& part, bool first) {
      by_panels<Step>(rows, part, parts, first || !a.matrix->in_memory());
    });
  Stages stages = asked;
  const std::int64_t cols = stages.block()->cols;
  if (stages.y && !stages.y->data) *stages.y = Block(a.rows(), cols);
  Block products;
  if (a.beside && stages.x && stages.z && !stages.y) stages.y = &(products = Block(a.rows(), cols));
  if (at_hand) at_hand_panels<Step>(a, stages, parts, counted);
  else shared_panels<Step>(a, stages, parts, counted);
  if constexpr (std::is_same_v<T, float>)
    if (a.beside && stages.z)
      add_beside_adjoint(isa_, a, stages.x ? *stages.y : *stages.given, *stages.z);
}

// Every thread takes chains of rows, and of each a few rows at a time: its own caches hold them for
// the second product, and nobody waits for the others.
template <class T>
template <class Step>
void CpuBackend<T>::at_hand_panels(const MatrixView& a, const Stages& stages, int parts,
                                   bool counted) {
  const std::int64_t ld = stages.block()->ld;
  Step all(isa_, pool_, a, ld, parts, true, options_.panel_rows);
  const auto x = stages.x ? all.packed(*stages.x) : nullptr;
  std::optional<ChainSums<T>> sums;
  if (stages.z) all.make(sums);
  struct Own {
    ThreadPool pool{1};
    std::optional<Step> step;
  };
  std::vector<Own> own(static_cast<std::size_t>(pool_.threads()));
  std::atomic<std::int64_t> done = 0;
  // Without sums the rows may be cut anywhere.
  const std::int64_t size = stages.z ? Step::chain : all.height();
  pool_.run(chunks(a.rows(), size), [&](std::int64_t part, int worker) {
    try {
      auto& [pool, step] = own[static_cast<std::size_t>(worker)];
      if (!step) {
        step.emplace(isa_, pool, a, ld, parts, true, options_.panel_rows);
        if (x) step->multiply_with(x);
        if (sums) step->sum_in(*sums);
      }
      const std::int64_t start = part * size, end = std::min(start + size, a.rows());
      step->start(start);
      for (std::int64_t row = start; row < end; row += step->height()) {
        const Panel panel =
            fetch_panel(*a.matrix, row, std::min(row + step->height(), end), 0, a.cols());
        step->take(panel);
        const T* y = image<T>(isa_, a, stages.x, stages.given, *step, row, row + panel.rows);
        if (stages.y) std::copy_n(y, panel.rows * ld, stages.y->row(row));
        if (stages.z) step->adjoint(y);
        if (counted) done += panel.stored_bytes();
      }
      if (worker == 0 && options_.observer) options_.observer(done.exchange(0));
    } catch (...) {
      if (sums) sums->give_up();
      throw;
    }
  });
  if (options_.observer) options_.observer(done.exchange(0));
  own.clear();  // their sums, before there is another
  if (sums) all.result(*sums, *stages.z = Block::to_fill(a.cols(), stages.block()->cols));
}

// Panel after panel, all threads at each.
template <class T>
template <class Step>
void CpuBackend<T>::shared_panels(const MatrixView& a, const Stages& stages, int parts,
                                  bool counted) {
  const std::int64_t width = stages.block()->ld;
  Step step(isa_, pool_, a, width, parts, false, options_.panel_rows);
  std::optional<ChainSums<T>> sums;
  if (stages.x) step.multiply_with(step.packed(*stages.x));
  if (stages.z) {
    step.make(sums);
    step.sum_in(*sums);
  }
  PanelStream panels(*a.matrix, a.transposed, step.height());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    const std::int64_t row0 = a.transposed ? panel.col0 : panel.row0,
                       here = a.transposed ? panel.cols : panel.rows;
    step.take(panel);
    const T* y = image<T>(isa_, a, stages.x, stages.given, step, row0, row0 + here);
    if (stages.y) std::copy_n(y, here * stages.y->ld, stages.y->row(row0));
    if (stages.z) step.adjoint(y);
    if (options_.observer) options_.observer(counted ? panel.stored_bytes() : 0);
  }
  if (!stages.z) return;
  step.sum_no_more();
  step.result(*sums, *stages.z = Block::to_fill(a.cols(), stages.block()->cols));
}

}  // namespace sigmascope
