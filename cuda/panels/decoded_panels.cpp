// SPDX-License-Identifier: BSD-3-Clause
#include "panels/decoded_panels.hpp"

#include <algorithm>

#include "kernels/decode.hpp"
#include "kernels/tensor_products.hpp"
#include "panels/bf16_numbers.hpp"
#include "panels/panel_bytes.hpp"

namespace sigmascope::device {

StoredPanels& DecodedPanels::panels_of(const MatrixView& view) {
  const std::int64_t height = panel_height(view.cols(), cpu_.panel_rows);
  const bool stays = view.matrix->stored_bytes() <= most_stored_;
  StoredPanels* const by_rows = view.transposed && stays && view.matrix->device() == on_host
                                    ? &panels_of({view.matrix})
                                    : nullptr;
  auto& panels = panels_[{view.matrix, view.transposed}];
  if (!panels) panels = std::make_unique<StoredPanels>(device_, view, height, stays, by_rows);
  return *panels;
}

void DecodedPanels::forget(const Matrix& matrix) {
  device_.settle();
  panels_.erase({&matrix, false}), panels_.erase({&matrix, true});
  bf16_parts_.erase(&matrix);
}

template <class T>
const T* DecodedPanels::decoded(const StoredPanel& panel, double factor, Workspace<T>& workspace) {
  if (workspace.numbers.size() < panel.rows * panel.cols)
    workspace.numbers = device_.block<T>(panel.rows, panel.cols);
  const Decoding decoding{panel.pieces, panel.covered_once, panel.rows, panel.cols, factor};
  if (const std::int64_t wanted = decoding.template workspace<T>(); workspace.sums.size() < wanted)
    workspace.sums = device_.block<double>(wanted, 1);
  check(decode(decoding, workspace.numbers.data(), workspace.sums.data(), device_.compute.handle()),
        "decoding");
  return workspace.numbers.data();
}

template <class T>
void DecodedPanels::each(const MatrixView& view,
                         const std::function<void(const DecodedPanel<T>&)>& act) {
  Workspace<T> workspace;
  panels_of(view).pass([&](const StoredPanel& panel) {
    act({panel.row0, panel.rows, panel.col0, panel.cols, decoded(panel, view.factor, workspace),
         panel});
    cpu_.report(panel.stored_bytes);
  });
}

void DecodedPanels::each_in_bf16(const MatrixView& view, int parts,
                                 const std::function<void(const Bf16Panel&)>& act) {
  Workspace<float> workspace;
  DeviceBlock<std::uint16_t> codes;
  const auto in_bf16 = [&](const StoredPanel& panel) -> Bf16Panel {
    if (view.factor == 1 && is_aligned_bf16(panel))
      return {panel.row0,
              panel.rows,
              panel.cols,
              panel.pieces[0].row_stride / 2,
              reinterpret_cast<const std::uint16_t*>(panel.pieces[0].data),
              nullptr};
    const std::int64_t step = (panel.cols + codes_at_once - 1) / codes_at_once * codes_at_once;
    const std::int64_t size = panel.rows * step;
    if (codes.size() < parts * size) codes = device_.block<std::uint16_t>(parts * size, 1);
    std::uint16_t* rest = parts == 2 ? codes.data() + size : nullptr;
    const float* numbers = decoded(panel, view.factor, workspace);
    check(to_bf16({numbers, panel.rows, panel.cols}, {codes.data(), rest, step},
                  device_.compute.handle()),
          "rounding");
    return {panel.row0, panel.rows, panel.cols, step, codes.data(), rest};
  };
  panels_of(view).pass(
      [&](const StoredPanel& panel) {
        act(in_bf16(panel));
        cpu_.report(panel.stored_bytes);
      },
      view.factor == 1);
}

int DecodedPanels::bf16_parts(const MatrixView& view) {
  if (!is_power_of_two(view.factor)) return 0;
  const auto parts = bf16_parts_.find(view.matrix);
  if (parts != bf16_parts_.end()) return parts->second;
  return bf16_parts_.emplace(view.matrix, device::bf16_parts(*view.matrix)).first->second;
}

template void DecodedPanels::each(const MatrixView&,
                                  const std::function<void(const DecodedPanel<float>&)>&);
template void DecodedPanels::each(const MatrixView&,
                                  const std::function<void(const DecodedPanel<double>&)>&);

}  // namespace sigmascope::device
