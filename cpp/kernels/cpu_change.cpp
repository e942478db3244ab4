// SPDX-License-Identifier: BSD-3-Clause
// What one matrix has more than another, entry by entry, against what it had: in fp64, where the difference of two
// numbers of any format but fp64 is as good as exact. Products are summed in chains of a stretch of a row, stretches
// in their order, rows in theirs: no bit depends on threads or panels.
#include <algorithm>

#include "kernels/cpu_backend.hpp"
#include "kernels/element_pass.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t decoded_rows = 4;  // at a time, of both matrices: they stay in the L2 cache

struct Decoded {
  std::vector<double> before, after;
  std::vector<std::byte> scratch;
};

void add(ChangeSums& to, const ChangeSums& more) {
  to.before2 += more.before2;
  to.change2 += more.change2;
  to.product += more.product;
}

ChangeSums change_of(const double* before, const double* after, std::int64_t n) {
  constexpr int chains = 8;
  double before2[chains] = {}, change2[chains] = {}, product[chains] = {};
  const auto look = [&](std::int64_t j, int c) {
    const double w = before[j], d = after[j] - w;
    before2[c] += w * w;
    change2[c] += d * d;
    product[c] += w * d;
  };
  const std::int64_t whole = n / chains * chains;
  for (std::int64_t j = 0; j < whole; j += chains)
    for (int c = 0; c < chains; ++c) look(j + c, c);
  for (std::int64_t j = whole; j < n; ++j) look(j, static_cast<int>(j - whole));
  ChangeSums sums;
  for (int c = 0; c < chains; ++c) add(sums, {before2[c], change2[c], product[c]});
  return sums;
}

}  // namespace

template <class T>
ChangeSums CpuBackend<T>::change(const Matrix& before, const Matrix& after) {
  ChangeSums result;
  std::int64_t height =
      std::min(rows_at_a_time(before, options_.panel_rows), rows_at_a_time(after, options_.panel_rows));
  if (options_.panel_rows == 0) height = std::max<std::int64_t>(height / 2, 1);  // both at once
  const std::int64_t across = parts(before.cols, stretch_length);
  std::vector<ChangeSums> found(static_cast<std::size_t>(height * across));  // by row, then by stretch
  std::vector<Decoded> buffers(static_cast<std::size_t>(pool_.threads()));
  PanelStream old(before, false, height), fresh(after, false, height);
  for (std::int64_t index = 0; index < old.count(); ++index) {
    const Panel was = old.next(), is = fresh.next();
    pool_.run(parts(was.rows, decoded_rows) * across, [&](std::int64_t part, int worker) {
      Decoded& buffer = buffers[static_cast<std::size_t>(worker)];
      buffer.before.resize(static_cast<std::size_t>(decoded_rows * stretch_length));
      buffer.after.resize(buffer.before.size());
      const std::int64_t i = part / across * decoded_rows, end = std::min(i + decoded_rows, was.rows);
      const std::int64_t j = part % across * stretch_length, n = std::min(stretch_length, was.cols - j);
      decode_panel(isa_, was, i, end, j, j + n, 1.0, buffer.before.data(), n, buffer.scratch);
      decode_panel(isa_, is, i, end, j, j + n, 1.0, buffer.after.data(), n, buffer.scratch);
      for (std::int64_t row = i; row < end; ++row)
        found[static_cast<std::size_t>(row * across + part % across)] =
            change_of(buffer.before.data() + (row - i) * n, buffer.after.data() + (row - i) * n, n);
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
  return result;
}

template ChangeSums CpuBackend<float>::change(const Matrix&, const Matrix&);
template ChangeSums CpuBackend<double>::change(const Matrix&, const Matrix&);

}  // namespace sigmascope
