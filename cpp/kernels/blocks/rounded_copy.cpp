// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/blocks/rounded_copy.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/blocks/decode_panel.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 64;  // rows per task

// True if the bytes of a matrix can be multiplied: bf16, pairs along whole rows, nothing to scale.
bool is_plain_bf16(const Matrix& a) {
  if (!is_one_of_bf16(a)) return false;
  const Tile& t = a.tiles.front();
  return t.bytes.data() != nullptr && t.row_stride % 4 == 0 && a.cols % 2 == 0 &&
         reinterpret_cast<std::uintptr_t>(t.bytes.data() + t.origin) % 4 == 0;
}

}  // namespace

Matrix rounded(Cpu& cpu, const Matrix& a) {
  if (is_plain_bf16(a)) return a;
  const RoundedCopy copy(a.rows, a.cols);
  std::vector<DecodeScratch> scratch(as_size(cpu.pool.threads()));
  PanelStream panels(a, row_chunk * cpu.pool.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    cpu.pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * row_chunk;
      decode_bf16(cpu.isa, panel, i, std::min(i + row_chunk, panel.rows), 0, a.cols, 1.0,
                  copy.row(panel.row0 + i), copy.ld, scratch[as_size(worker)]);
    });
    cpu.report(panel.stored_bytes());
  }
  return copy.matrix();
}

}  // namespace sigmascope
