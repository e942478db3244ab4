// SPDX-License-Identifier: BSD-3-Clause
// The verbs of CpuBackend by tiles.
#include <type_traits>

#include "kernels/panel_products.hpp"
#include "kernels/panels/tile_panels.hpp"

namespace sigmascope {

template <class T>
void CpuBackend<T>::stream_tiles(const MatrixView& a, const Stages& stages, int parts) {
  if constexpr (std::is_same_v<T, float>) by_panels<TilePanels>(a, stages, parts, true);
}

template void CpuBackend<float>::stream_tiles(const MatrixView&, const Stages&, int);
template void CpuBackend<double>::stream_tiles(const MatrixView&, const Stages&, int);

}  // namespace sigmascope
