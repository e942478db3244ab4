// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/blocks/dense.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 64;  // rows per task

}  // namespace

Small dense(Cpu& cpu, const MatrixView& a) {
  const Matrix& stored = *a.matrix;
  Small all(a.rows(), a.cols());
  PanelStream panels(stored, row_chunk * cpu.pool.threads());
  std::vector<std::vector<std::byte>> scratch(as_size(cpu.pool.threads()));
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    cpu.pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t first = chunk * row_chunk, end = std::min(first + row_chunk, panel.rows),
                         ld = stored.cols;
      auto& bytes = scratch[as_size(worker)];
      if (a.transposed)  // a row of the panel is a column
        return decode_panel(cpu.isa, panel, first, end, 0, ld, a.factor,
                            &all(0, panel.row0 + first), ld, bytes);
      auto rows = aligned_array<double>((end - first) * ld);
      decode_panel(cpu.isa, panel, first, end, 0, ld, a.factor, rows.get(), ld, bytes);
      for (std::int64_t j = 0; j < ld; ++j)
        for (std::int64_t i = first; i < end; ++i)
          all(panel.row0 + i, j) = rows[(i - first) * ld + j];
    });
    cpu.report(panel.stored_bytes());
  }
  return all;
}

std::int64_t dense_bytes(const PassLayout& layout) {
  const std::int64_t m = layout.longer(),
                     height = std::min(row_chunk * layout.threads, layout.shorter());
  return 8 * m * (layout.shorter() + height) + layout.stored_panels(height, m, layout.shorter());
}

template <class T>
void decode_block(Cpu& cpu, const Matrix& a, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                  std::int64_t j1, T* out) {
  const Panel panel = fetch_panel(a, i0, i1, j0, j1);
  const std::int64_t ld = j1 - j0;
  std::vector<std::vector<std::byte>> scratch(as_size(cpu.pool.threads()));
  cpu.pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
    const std::int64_t i = chunk * row_chunk;
    decode_panel(cpu.isa, panel, i, std::min(i + row_chunk, panel.rows), 0, panel.cols, 1.0,
                 out + i * ld, ld, scratch[as_size(worker)]);
  });
}

template void decode_block(Cpu&, const Matrix&, std::int64_t, std::int64_t, std::int64_t,
                           std::int64_t, float*);
template void decode_block(Cpu&, const Matrix&, std::int64_t, std::int64_t, std::int64_t,
                           std::int64_t, double*);

}  // namespace sigmascope
