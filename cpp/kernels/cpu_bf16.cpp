// SPDX-License-Identifier: BSD-3-Clause
// Products with A and the blocks rounded to bf16, summed in fp32: twice the rate of fp32 where the processor has the
// dot product (AVX-512 BF16), half the traffic between the cores' caches everywhere.
//
// What may be rounded. Rounding moves A by E with |E| about 2^-9 |A|_F / sqrt(n), and a block likewise. A Krylov
// step only chooses the next directions, so it may (block_krylov.hpp, "steering"); values, vectors and residuals are
// then read from fp32 products. A block split into bf16 hi + lo parts would be exact to 2^-17, but takes two dot
// products for each fp32 multiply-add: measured 220 against 200 GF/s, not worth a third kind of number. Where the
// processor has tiles (Intel AMX) all products are theirs, those of two parts too: tile_panels.hpp.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/bf16_panels.hpp"
#include "kernels/cpu_backend.hpp"
#include "kernels/rounded_copy.hpp"

namespace sigmascope {

// One of the two products, every sum in the order that it has where the matrix is read by columns.
template <class T>
void CpuBackend<T>::rounded_along_rows(const MatrixView& a, const Stages& stages) {
  if constexpr (std::is_same_v<T, float>) {
    const Block& block = stages.x ? *stages.x : *stages.given;
    Bf16Panels step(isa_, pool_, a, block.ld, options_.panel_rows);
    if (stages.x) step.multiply_with(block);
    Block sums = stages.x ? Block() : Block(a.cols(), block.cols);
    PanelStream panels(*a.matrix, false, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      if (stages.x) step.forward(panel, stages.y->row(panel.row0), Accumulate::chain);
      else step.adjoint_in_chains(panel, block.row(panel.row0), sums, *stages.z);
      observe(panel);
    }
  }
}

template <class T>
Block<T> CpuBackend<T>::steer(const MatrixView& a, const Block& x) {
  if constexpr (std::is_same_v<T, double>) {
    return gram_step(a, x, nullptr);
  } else if (isa_.tiles) {
    Block z(a.cols(), x.cols);
    stream_tiles(a, {.x = &x, .given = nullptr, .y = nullptr, .z = &z}, 1);
    return z;
  } else {
    Block z(a.cols(), x.cols);
    if (a.transposed && !a.matrix->in_memory()) {
      along_rows(a, {.x = &x, .given = nullptr, .y = nullptr, .z = &z},
                 [&](const auto& rows, const Stages& part, bool) { rounded_along_rows(rows, part); });
      return z;
    }
    Bf16Panels step(isa_, pool_, a, x.ld, options_.panel_rows);
    step.multiply_with(x);
    Block y(step.height(), x.cols);
    PanelStream panels(*a.matrix, a.transposed, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      std::fill_n(y.data.get(), y.rows * y.ld, 0.0f);
      step.forward(panel, y.data.get());
      step.adjoint(panel, y.data.get(), z.data.get());
      observe(panel);
    }
    step.finish(z.data.get());
    return z;
  }
}

template <class T>
Block<T> CpuBackend<T>::multiply_bf16(const MatrixView& a, const Block& x) {
  if constexpr (std::is_same_v<T, double>) {
    return multiply(a, x);
  } else if (isa_.tiles) {
    Block y(a.rows(), x.cols);
    stream_tiles(a, {.x = &x, .given = nullptr, .y = &y, .z = nullptr}, 1);
    return y;
  } else {
    Bf16Panels step(isa_, pool_, a, x.ld, options_.panel_rows);
    step.multiply_with(x);
    Block y(a.rows(), x.cols);
    PanelStream panels(*a.matrix, a.transposed, step.height());
    for (std::int64_t index = 0; index < panels.count(); ++index) {
      const Panel panel = panels.next();
      step.forward(panel, y.row(a.transposed ? panel.col0 : panel.row0));
      observe(panel);
    }
    return y;
  }
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
      decode_bf16(isa_, panel, i, std::min(i + row_chunk, panel.rows), 0, a.cols, 1.0, copy.row(panel.row0 + i),
                  copy.ld, scratch[static_cast<std::size_t>(worker)]);
    });
    observe(panel);
  }
  return copy.matrix();
}

template Matrix CpuBackend<float>::rounded(const Matrix&);
template Matrix CpuBackend<double>::rounded(const Matrix&);
template void CpuBackend<float>::rounded_along_rows(const MatrixView&, const Stages&);
template void CpuBackend<double>::rounded_along_rows(const MatrixView&, const Stages&);
template Block<float> CpuBackend<float>::steer(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::steer(const MatrixView&, const Block&);
template Block<float> CpuBackend<float>::multiply_bf16(const MatrixView&, const Block&);
template Block<double> CpuBackend<double>::multiply_bf16(const MatrixView&, const Block&);

}  // namespace sigmascope
