// SPDX-License-Identifier: BSD-3-Clause
// Products with A and the blocks rounded to bf16, summed in fp32: twice the rate of fp32 where the
// processor has the dot product (AVX-512 BF16), half the traffic to and from memory everywhere.
//
// What may be rounded. Rounding moves A by E with |E| about 2^-9 |A|_F / sqrt(n), and a block
// likewise. A Krylov step only chooses the next directions, so it may (steering.hpp); values,
// vectors and residuals are then read from fp32 products. A block split into bf16 hi + lo parts
// would be exact to 2^-17 if all of A were numbers of bf16, but takes two dot products for each
// fp32 multiply-add: a step takes as long, not worth a third kind of number. Where the processor
// has tiles (Intel AMX) all products are theirs, those of two parts too: tile_panels.hpp.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/blocks/rounded_copy.hpp"
#include "kernels/panel_products.hpp"
#include "kernels/panels/bf16_panels.hpp"

namespace sigmascope {

template <class T>
void CpuBackend<T>::stream_bf16(const MatrixView& a, const Stages& stages, int parts) {
  if constexpr (std::is_same_v<T, float>) by_panels<Bf16Panels>(a, stages, parts, true);
}

template <class T>
Block<T> CpuBackend<T>::steer(const MatrixView& a, const Block& x) {
  if (std::is_same_v<T, double>) return gram_step(a, x, nullptr);
  Block z;
  const Stages stages{.x = &x, .given = nullptr, .y = nullptr, .z = &z};
  isa_.tiles ? stream_tiles(a, stages, 1) : stream_bf16(a, stages, 1);
  return z;
}

template <class T>
Block<T> CpuBackend<T>::multiply_bf16(const MatrixView& a, const Block& x) {
  if (std::is_same_v<T, double>) return multiply(a, x);
  Block y;
  const Stages stages{.x = &x, .given = nullptr, .y = &y, .z = nullptr};
  isa_.tiles ? stream_tiles(a, stages, 1) : stream_bf16(a, stages, 1);
  return y;
}

template <class T>
Matrix CpuBackend<T>::rounded(const Matrix& a) {
  if (is_plain_bf16(a)) return a;
  const RoundedCopy copy(a.rows, a.cols);
  std::vector<DecodeScratch> scratch(static_cast<std::size_t>(pool_.threads()));
  PanelStream panels(a, false, row_chunk * pool_.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool_.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * row_chunk;
      decode_bf16(isa_, panel, i, std::min(i + row_chunk, panel.rows), 0, a.cols, 1.0,
                  copy.row(panel.row0 + i), copy.ld, scratch[static_cast<std::size_t>(worker)]);
    });
    observe(panel);
  }
  return copy.matrix();
}

template Matrix CpuBackend<float>::rounded(const Matrix&);
template Matrix CpuBackend<double>::rounded(const Matrix&);
template void CpuBackend<float>::stream_bf16(const MatrixView&, const Stages&, int);
template void CpuBackend<double>::stream_bf16(const MatrixView&, const Stages&, int);
template Block<float> CpuBackend<float>::steer(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::steer(const MatrixView&, const Block&);
template Block<float> CpuBackend<float>::multiply_bf16(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::multiply_bf16(const MatrixView&, const Block&);

}  // namespace sigmascope
