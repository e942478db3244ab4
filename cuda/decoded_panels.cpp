// SPDX-License-Identifier: BSD-3-Clause
#include "decoded_panels.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/decode.hpp"
#include "kernels/products.hpp"
#include "kernels/verbs.hpp"

namespace sigmascope::device {

StoredPanels& DecodedPanels::panels_of(const MatrixView& view) {
  // Whole chains. The panel is at most 32 MiB of fp64 numbers, but for very long rows.
  constexpr std::int64_t most = std::int64_t{4} << 20;
  const std::int64_t asked =
      cpu_.panel_rows > 0 ? cpu_.panel_rows : most / std::max<std::int64_t>(view.cols(), 1);
  const std::int64_t height = std::max(asked / product_chain, std::int64_t{1}) * product_chain;
  auto& found = panels_[{view.matrix, view.transposed}];
  if (!found)
    found = std::make_unique<StoredPanels>(device_, view, height,
                                           view.matrix->stored_bytes() <= options_.stored_bytes);
  return *found;
}

void DecodedPanels::forget(const Matrix& matrix) {
  device_.settle();
  panels_.erase({&matrix, false}), panels_.erase({&matrix, true});
}

template <class T>
void DecodedPanels::each(const MatrixView& view, Numbers numbers,
                         const std::function<void(const DecodedPanel<T>&)>& act) {
  DeviceBlock<T> decoded;
  DeviceBlock<double> scratch;
  panels_of(view).pass([&](const StoredPanel& panel) {
    if (decoded.size() < panel.rows * panel.cols)
      decoded = device_.block<T>(panel.rows, panel.cols);
    const Decoding decoding{panel.pieces, panel.covered_once, panel.rows, panel.cols, view.factor};
    if (const std::int64_t wanted = decoding.template workspace<T>(); scratch.size() < wanted)
      scratch = device_.block<double>(wanted, 1);
    check(decode(decoding, decoded.data(), scratch.data(), device_.compute.handle()), "decoding");
    if constexpr (std::is_same_v<T, float>)
      if (numbers == Numbers::bf16)
        check(round_bf16(decoded.data(), panel.rows * panel.cols, decoded.data(),
                         device_.compute.handle()),
              "rounding");
    act({panel.row0, panel.rows, panel.col0, panel.cols, decoded.data()});
    cpu_.report(panel.stored_bytes);
  });
}

template void DecodedPanels::each(const MatrixView&, Numbers,
                                  const std::function<void(const DecodedPanel<float>&)>&);
template void DecodedPanels::each(const MatrixView&, Numbers,
                                  const std::function<void(const DecodedPanel<double>&)>&);

}  // namespace sigmascope::device
