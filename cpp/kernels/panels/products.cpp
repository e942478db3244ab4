// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/panels/products.hpp"

#include "kernels/panels/bf16_panels.hpp"
#include "kernels/panels/number_panels.hpp"
#include "kernels/panels/panel_products.hpp"
#include "kernels/panels/tile_panels.hpp"

namespace sigmascope {

void multiply_numbers(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks,
                      ForwardSums sums) {
  if (sums == ForwardSums::fastest)
    multiply_by_panels<NumberPanels<float, ForwardSums::fastest>>(cpu, a, blocks, tile_parts);
  else multiply_by_panels<NumberPanels<float, ForwardSums::as_adjoint>>(cpu, a, blocks, tile_parts);
}

void multiply_numbers(Cpu& cpu, const MatrixView& a, const PassBlocks<double>& blocks,
                      ForwardSums) {
  multiply_by_panels<NumberPanels<double, ForwardSums::as_adjoint>>(cpu, a, blocks, tile_parts);
}

void multiply_bf16(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks) {
  multiply_by_panels<Bf16Panels>(cpu, a, blocks, 1);
}

void multiply_tiles(Cpu& cpu, const MatrixView& a, const PassBlocks<float>& blocks, int parts) {
  multiply_by_panels<TilePanels>(cpu, a, blocks, parts);
}

}  // namespace sigmascope
