// SPDX-License-Identifier: BSD-3-Clause
// What one matrix has more than another, entry by entry, against what it had. Products are summed
// in chains of a stretch of a row, stretches in their order, rows in theirs: no bit depends on
// threads or panels.
#include <algorithm>

#include "kernels/cpu_backend.hpp"
#include "kernels/elements/element_pass.hpp"

namespace sigmascope {

namespace {

// Rows of both matrices at a time: decoded, they stay in the L2 cache.
constexpr std::int64_t few_rows = 4;

void add(ChangeSums& to, const ChangeSums& more) {
  to.before2 += more.before2;
  to.after2 += more.after2;
  to.change2 += more.change2;
  to.product += more.product;
  to.before_units2 += more.before_units2;
  to.after_units2 += more.after_units2;
  to.units += more.units;
}

// Rows [i, i + rows) of the panel in columns [j, j + n) as numbers of fp64.
ElementCodes decoded(const Isa& isa, const Panel& panel, std::int64_t i, std::int64_t rows,
                     std::int64_t j, std::int64_t n, CodeBuffers& buffers) {
  buffers.decoded.resize(static_cast<std::size_t>(rows * n));
  decode_panel(isa, panel, i, i + rows, j, j + n, 1.0, buffers.decoded.data(), n, buffers.scratch);
  return {DType::f64, reinterpret_cast<const std::byte*>(buffers.decoded.data()), n * 8, rows};
}

}  // namespace

template <class T>
ChangeSums CpuBackend<T>::change(const Matrix& before, const Matrix& after, Digest& digest_before,
                                 Digest& digest_after) {
  ChangeSums result;
  std::int64_t height = std::min(rows_at_a_time(before, options_.panel_rows),
                                 rows_at_a_time(after, options_.panel_rows));
  if (options_.panel_rows == 0) height = std::max<std::int64_t>(height / 2, 1);  // both at once
  const std::int64_t across = parts(before.cols, stretch_length);
  // By row, then by stretch.
  std::vector<ChangeSums> found(static_cast<std::size_t>(height * across));
  struct Both {
    CodeBuffers before, after;
  };
  const BlockPlace place{0, 0, before.rows >= before.cols};
  std::vector<Digester> old_digests(static_cast<std::size_t>(pool_.threads()),
                                    Digester(isa_, place, before.has_f64())),
      fresh_digests(static_cast<std::size_t>(pool_.threads()),
                    Digester(isa_, place, after.has_f64()));
  std::vector<Both> buffers(static_cast<std::size_t>(pool_.threads()));
  PanelStream old(before, false, height), fresh(after, false, height);
  for (std::int64_t index = 0; index < old.count(); ++index) {
    const Panel was = old.next(), is = fresh.next();
    pool_.run(parts(was.rows, few_rows) * across, [&](std::int64_t part, int worker) {
      Both& buffer = buffers[static_cast<std::size_t>(worker)];
      const std::int64_t end = std::min(part / across * few_rows + few_rows, was.rows);
      const std::int64_t j = part % across * stretch_length,
                         n = std::min(stretch_length, was.cols - j);
      for (std::int64_t i = part / across * few_rows; i < end;) {
        ElementCodes w = element_codes(isa_, was, i, end - i, j, n, buffer.before);
        ElementCodes next = element_codes(isa_, is, i, w.rows, j, n, buffer.after);
        w.rows = next.rows;
        if (w.dtype != next.dtype) {
          w = decoded(isa_, was, i, w.rows, j, n, buffer.before);
          next = decoded(isa_, is, i, w.rows, j, n, buffer.after);
        }
        for (std::int64_t r = 0; r < w.rows; ++r) {
          const std::byte *was_row = w.data + r * w.stride, *is_row = next.data + r * next.stride;
          found[static_cast<std::size_t>((i + r) * across + part % across)] =
              isa_.change(w.dtype, was_row, is_row, n);
          old_digests[static_cast<std::size_t>(worker)].add(w.dtype, was_row, was.row0 + i + r, j,
                                                            n);
          fresh_digests[static_cast<std::size_t>(worker)].add(next.dtype, is_row, is.row0 + i + r,
                                                              j, n);
        }
        i += w.rows;
      }
    });
    for (std::int64_t row = 0; row < was.rows; ++row) {
      ChangeSums sums;
      for (std::int64_t part = 0; part < across; ++part)
        add(sums, found[static_cast<std::size_t>(row * across + part)]);
      add(result, sums);
    }
    observe(was);
    observe(is);
  }
  digest_before = sum_of(old_digests);
  digest_after = sum_of(fresh_digests);
  return result;
}

template ChangeSums CpuBackend<float>::change(const Matrix&, const Matrix&, Digest&, Digest&);
template ChangeSums CpuBackend<double>::change(const Matrix&, const Matrix&, Digest&, Digest&);

}  // namespace sigmascope
