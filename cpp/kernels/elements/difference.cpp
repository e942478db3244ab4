// SPDX-License-Identifier: BSD-3-Clause
// Products are summed in chains of a stretch of a row, stretches in their order, rows in theirs,
// with what each addition loses: no bit depends on threads or panels.
#include "kernels/elements/difference.hpp"

#include <algorithm>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/elements/element_pass.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

// Rows of both matrices that are processed at a time: decoded, they fit in the L2 cache.
constexpr std::int64_t few_rows = 4;

// Rows [i, i + rows) of the panel in columns [j, j + n) as numbers of fp64.
ElementCodes decoded(const Isa& isa, const Panel& panel, std::int64_t i, std::int64_t rows,
                     std::int64_t j, std::int64_t n, CodeBuffers& buffers) {
  buffers.decoded.resize(as_size(rows * n));
  decode_panel(isa, panel, i, i + rows, j, j + n, 1.0, buffers.decoded.data(), n, buffers.scratch);
  return {DType::f64, reinterpret_cast<const std::byte*>(buffers.decoded.data()), n * 8, rows};
}

struct BothBuffers {
  CodeBuffers before, after;
};

// The same rows of both matrices, in one dtype.
struct BothCodes {
  ElementCodes before, after;
};

// Elements of columns [j, j + n) from row i of the panels on: as many of at most `most` rows as
// have one layout in both.
BothCodes both_codes(const Isa& isa, const Panel& before, const Panel& after, std::int64_t i,
                     std::int64_t most, std::int64_t j, std::int64_t n, BothBuffers& buffers) {
  BothCodes codes;
  codes.before = element_codes(isa, before, i, most, j, n, buffers.before);
  codes.after = element_codes(isa, after, i, codes.before.rows, j, n, buffers.after);
  codes.before.rows = codes.after.rows;
  if (codes.before.dtype == codes.after.dtype) return codes;
  return {decoded(isa, before, i, codes.after.rows, j, n, buffers.before),
          decoded(isa, after, i, codes.after.rows, j, n, buffers.after)};
}

std::int64_t rows_of_both(const Cpu& cpu, const Matrix& before, const Matrix& after) {
  const std::int64_t height =
      std::min(rows_at_a_time(before, cpu.panel_rows), rows_at_a_time(after, cpu.panel_rows));
  return cpu.panel_rows > 0 ? height : std::max<std::int64_t>(height / 2, 1);  // both are in memory
}

}  // namespace

ElementDifference difference(Cpu& cpu, const Matrix& before, const Matrix& after) {
  ElementDifference result;
  ChangeTotal total;
  const std::int64_t height = rows_of_both(cpu, before, after);
  const std::int64_t across = chunks(before.cols, stretch_length);
  // By row, then by stretch.
  std::vector<ChangeSums> sums_of_parts(as_size(height * across));
  const BlockPlace place{0, 0, before.rows >= before.cols};
  const auto threads = as_size(cpu.pool.threads());
  std::vector<Digester> digests_before(threads, Digester(cpu.isa, place, before.has_f64())),
      digests_after(threads, Digester(cpu.isa, place, after.has_f64()));
  std::vector<BothBuffers> buffers(threads);
  PanelStream panels_before(before, height), panels_after(after, height);
  for (std::int64_t index = 0; index < panels_before.count(); ++index) {
    const auto waiting = [&] {
      try {
        cpu.report(0);
      } catch (...) {  // both threads that read ahead are joined
        before.stop_reading();
        after.stop_reading();
        throw;
      }
    };
    const Panel was = panels_before.next(waiting), is = panels_after.next(waiting);
    cpu.pool.run(chunks(was.rows, few_rows) * across, [&](std::int64_t part, int worker) {
      const auto own = as_size(worker);
      const std::int64_t end = std::min(part / across * few_rows + few_rows, was.rows);
      const std::int64_t j = part % across * stretch_length,
                         n = std::min(stretch_length, was.cols - j);
      for (std::int64_t i = part / across * few_rows; i < end;) {
        const auto [w, next] = both_codes(cpu.isa, was, is, i, end - i, j, n, buffers[own]);
        for (std::int64_t r = 0; r < w.rows; ++r) {
          const std::byte *was_row = w.data + r * w.stride, *is_row = next.data + r * next.stride;
          sums_of_parts[as_size((i + r) * across + part % across)] =
              cpu.isa.elements.difference(w.dtype, was_row, is_row, n);
          digests_before[own].add(w.dtype, was_row, was.row0 + i + r, j, n);
          digests_after[own].add(next.dtype, is_row, is.row0 + i + r, j, n);
        }
        i += w.rows;
      }
    });
    for (std::int64_t row = 0; row < was.rows; ++row) {
      ChangeSums sums;
      for (std::int64_t part = 0; part < across; ++part)
        add(sums, sums_of_parts[as_size(row * across + part)]);
      add(total, sums);
    }
    cpu.report(was.stored_bytes());
    cpu.report(is.stored_bytes());
  }
  result.sums = sum_of(total);
  result.before = sum_of(digests_before);
  result.after = sum_of(digests_after);
  return result;
}

}  // namespace sigmascope
