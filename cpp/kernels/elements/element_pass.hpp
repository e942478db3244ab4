// SPDX-License-Identifier: BSD-3-Clause
// One pass over the stored codes of a matrix. It is cut into parts at places that the matrix fixes:
// rows into stretches, columns into groups of rows. A part is the work of one thread, and the
// results of the parts are joined in their order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/cpu.hpp"
#include "kernels/blocks/pass_layout.hpp"
#include "kernels/elements/element_codes.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Bytes of what is found in the stretches of a row.
inline std::int64_t found_bytes(std::int64_t cols) {
  return chunks(cols, stretch_length) * static_cast<std::int64_t>(sizeof(Stretch));
}

// Rows of a panel: as asked; else whole groups of rows, if a panel and its results fit in the bytes
// below. Reads of 8 MiB in order keep a disk at its steadiest.
inline std::int64_t rows_at_a_time(std::int64_t all_rows, double row_bytes, bool files,
                                   std::int64_t asked) {
  constexpr std::int64_t bytes_in_memory = std::int64_t{32} << 20,
                         bytes_in_files = std::int64_t{8} << 20;
  const std::int64_t most = std::max<std::int64_t>(all_rows, 1);
  if (asked > 0) return std::min(asked, most);
  const auto rows = static_cast<std::int64_t>(
      static_cast<double>(files ? bytes_in_files : bytes_in_memory) / row_bytes);
  return std::clamp<std::int64_t>(rows < group_rows ? rows : rows / group_rows * group_rows, 1,
                                  most);
}
inline std::int64_t rows_at_a_time(const Matrix& a, std::int64_t asked) {
  const std::int64_t stored = a.stored_bytes() / std::max<std::int64_t>(a.rows, 1);
  return rows_at_a_time(
      a.rows, static_cast<double>(std::max<std::int64_t>(stored, 1) + found_bytes(a.cols)),
      !a.in_memory(), asked);
}

// Bytes that a pass over the elements takes in addition to its results, whatever it looks for.
inline std::int64_t element_pass_bytes(const PassLayout& layout) {
  constexpr std::int64_t buffers = std::int64_t{3} << 19;  // of each thread: CodeBuffers
  constexpr std::int64_t counts = std::int64_t{8} << 16;   // one for each code of 16 bits
  const std::int64_t result_bytes = found_bytes(layout.cols);
  const double row_bytes =
      static_cast<double>(layout.cols) * layout.element_bytes + static_cast<double>(result_bytes);
  const std::int64_t rows = rows_at_a_time(layout.rows, row_bytes, layout.files, layout.panel_rows);
  const std::int64_t column_sums = (rows / group_rows + 3) * layout.cols * 8;
  const std::int64_t codes = layout.element_bytes <= 2 ? counts * (layout.threads + 1) : 0;
  return layout.stored_panels(rows, layout.cols) + rows * result_bytes + column_sums + codes +
         buffers * layout.threads;
}

// Panels of `height` rows, one after another: look(panel, codes, i, j, n, worker) in parallel for
// every run of rows of codes from row i of the panel in columns [j, j + n) of one stretch; then
// join(panel).
template <class Look, class Join>
void pass_over(const Matrix& a, std::int64_t height, Cpu& cpu, const Look& look, const Join& join) {
  std::vector<CodeBuffers> buffers(as_size(cpu.pool.threads()));
  const std::int64_t across = chunks(a.cols, stretch_length);
  PanelStream panels(a, height);
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    const std::int64_t first = panel.row0 / group_rows,
                       groups = chunks(panel.row0 + panel.rows, group_rows) - first;
    cpu.pool.run(groups * across, [&](std::int64_t part, int worker) {
      const std::int64_t start = (first + part / across) * group_rows - panel.row0;
      const std::int64_t end = std::min(start + group_rows, panel.rows);
      const std::int64_t j = part % across * stretch_length,
                         n = std::min(stretch_length, panel.cols - j);
      for (std::int64_t i = std::max<std::int64_t>(start, 0); i < end;) {
        const ElementCodes codes =
            element_codes(cpu.isa, panel, i, end - i, j, n, buffers[as_size(worker)]);
        look(panel, codes, i, j, n, worker);
        i += codes.rows;
      }
    });
    join(panel);
  }
}

}  // namespace sigmascope
