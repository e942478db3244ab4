// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/panels/products.hpp"

#include "kernels/panels/bf16_panels.hpp"
#include "kernels/panels/number_panels.hpp"
#include "kernels/panels/panel_products.hpp"
#include "kernels/panels/tile_panels.hpp"

namespace sigmascope {

template <class T>
void multiply_numbers(Cpu& cpu, const MatrixView& a, const PassBlocks<T>& blocks,
                      ForwardSums sums) {
  if (sums == ForwardSums::fastest)
    multiply_by_panels<NumberPanels<T, ForwardSums::fastest>>(cpu, a, blocks, tile_parts);
  else multiply_by_panels<NumberPanels<T, ForwardSums::as_adjoint>>(cpu, a, blocks, tile_parts);
}

template void multiply_numbers<float>(Cpu&, const MatrixView&, const PassBlocks<float>&,
                                      ForwardSums);
template void multiply_numbers<double>(Cpu&, const MatrixView&, const PassBlocks<double>&,
                                       ForwardSums);

void multiply_bf16(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks) {
  multiply_by_panels<Bf16Panels>(cpu, a, blocks, 1);
}

void multiply_tiles(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks, int parts) {
  multiply_by_panels<TilePanels>(cpu, a, blocks, parts);
}

}  // namespace sigmascope
