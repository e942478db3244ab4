// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/cpu_backend.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/gaussian.hpp"
#include "kernels/blocks/lapack.hpp"
#include "kernels/eigenvalues/tridiagonal.hpp"
#include "kernels/panel_products.hpp"
#include "kernels/panels/number_panels.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t decode_chunk = 64;  // rows per task

}  // namespace

template <class T>
CpuBackend<T>::CpuBackend(CpuOptions options)
    : options_(std::move(options)), isa_(best_isa()), pool_(std::max(options_.threads, 1)) {
  scipy_openblas_set_num_threads(1);
}

template <class T>
Block<T> CpuBackend<T>::zeros(std::int64_t rows, std::int64_t cols) {
  return Block(rows, cols);
}

template <class T>
Block<T> CpuBackend<T>::gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                                 std::int64_t column0) {
  Block x(rows, cols);
  pool_.run(chunks(rows, 64), [&](std::int64_t chunk, int) {
    for (std::int64_t i = chunk * 64; i < std::min(rows, chunk * 64 + 64); ++i)
      for (std::int64_t h = column0 / 2; h <= (column0 + cols - 1) / 2; ++h) {
        const auto pair =
            gaussian_pair(seed, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(h));
        for (std::int64_t e = 0; e < 2; ++e) {
          const std::int64_t j = 2 * h + e - column0;
          if (j >= 0 && j < cols) x.row(i)[j] = static_cast<T>(pair[static_cast<std::size_t>(e)]);
        }
      }
  });
  return x;
}

template <class T>
Small CpuBackend<T>::to_host(const Block& x) {
  Small host(x.rows, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) host(i, j) = static_cast<double>(x.row(i)[j]);
  return host;
}

template <class T>
Block<T> CpuBackend<T>::from_host(const Small& x) {
  Block block(x.rows, x.cols);
  for (std::int64_t j = 0; j < x.cols; ++j)
    for (std::int64_t i = 0; i < x.rows; ++i) block.row(i)[j] = static_cast<T>(x(i, j));
  return block;
}

template <class T>
Small CpuBackend<T>::inner(std::span<const Block> xs, const Block& y) {
  // Of y, what the L1 cache holds meets some blocks; of these no more than `krylov_need`
  // (memory.py) has room to sum.
  constexpr std::int64_t part = 1024, run = 64, together = 48;
  const auto product = IsaOf<T>::product(isa_.of<T>(y.ld));
  const std::int64_t parts = chunks(y.rows, part);
  std::int64_t all = 0, first = 0;
  for (const Block& x : xs) all += x.cols;
  Small result(all, y.cols);
  while (!xs.empty()) {
    std::int64_t cols = xs.front().cols, widest = cols;
    std::size_t count = 1;
    for (; count < xs.size() && cols + xs[count].cols <= together; ++count)
      cols += xs[count].cols, widest = std::max(widest, xs[count].cols);
    const auto some = xs.first(count);
    Small partial(cols * y.ld, parts);
    pool_.run(parts, [&](std::int64_t p, int) {
      auto sums = aligned_array<T>(widest * y.ld);
      for (std::int64_t i = p * part; i < std::min(y.rows, (p + 1) * part); i += run) {
        double* total = partial.data() + p * cols * y.ld;
        for (const Block& x : some) {
          const std::int64_t size = x.cols * y.ld;
          std::fill_n(sums.get(), size, T(0));
          product(x.cols, y.ld, std::min(run, y.rows - i), x.row(i), 1, x.ld, y.row(i), y.ld,
                  sums.get(), y.ld, Accumulate::chain);
          for (std::int64_t e = 0; e < size; ++e) *total++ += static_cast<double>(sums[e]);
        }
      }
    });
    for (std::int64_t p = 0; p < parts; ++p)
      for (std::int64_t i = 0; i < cols; ++i)
        for (std::int64_t j = 0; j < y.cols; ++j) result(first + i, j) += partial(i * y.ld + j, p);
    first += cols;
    xs = xs.subspan(count);
  }
  return result;
}

template <class T>
void CpuBackend<T>::combine(Block& y, std::span<const Block> xs, const Small& c) {
  auto right = aligned_array<T>(c.rows * y.ld);
  std::fill_n(right.get(), c.rows * y.ld, T(0));
  for (std::int64_t j = 0; j < c.cols; ++j)
    for (std::int64_t i = 0; i < c.rows; ++i) right[i * y.ld + j] = static_cast<T>(c(i, j));
  const auto product = IsaOf<T>::product(isa_.of<T>(y.ld));
  constexpr std::int64_t chunk = 240;
  pool_.run(chunks(y.rows, chunk), [&](std::int64_t part, int) {
    const std::int64_t i = part * chunk;
    const T* factors = right.get();
    for (const Block& x : xs) {
      product(std::min(chunk, y.rows - i), y.ld, x.cols, x.row(i), x.ld, 1, factors, y.ld, y.row(i),
              y.ld, Accumulate::chain);
      factors += x.cols * y.ld;
    }
  });
}

template <class T>
void CpuBackend<T>::stream(const MatrixView& a, const Stages& stages, int parts, bool step) {
  if constexpr (std::is_same_v<T, float>) {
    if (isa_.tiles) return stream_tiles(a, stages, parts);
    if (step) return by_panels<NumberPanels<T, true>>(a, stages, parts, true);
  }
  by_panels<NumberPanels<T, false>>(a, stages, parts, true);
}

template <class T>
Block<T> CpuBackend<T>::multiply(const MatrixView& a, const Block& x, int parts) {
  Block y;
  stream(a, {.x = &x, .given = nullptr, .y = &y, .z = nullptr}, parts, false);
  return y;
}

template <class T>
Block<T> CpuBackend<T>::multiply_adjoint(const MatrixView& a, const Block& y, int parts) {
  Block z;
  stream(a, {.x = nullptr, .given = &y, .y = nullptr, .z = &z}, parts, false);
  return z;
}

template <class T>
Block<T> CpuBackend<T>::gram_step(const MatrixView& a, const Block& x, Block* y, int parts) {
  Block z;
  if (y != nullptr) *y = Block();
  stream(a, {.x = &x, .given = nullptr, .y = y, .z = &z}, parts, true);
  return z;
}

template <class T>
Small CpuBackend<T>::dense(const MatrixView& a) {
  const Matrix& stored = *a.matrix;
  Small all(a.rows(), a.cols());
  PanelStream panels(stored, false, decode_chunk * pool_.threads());
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool_.threads()));
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool_.run(chunks(panel.rows, decode_chunk), [&](std::int64_t chunk, int worker) {
      const std::int64_t first = chunk * decode_chunk,
                         end = std::min(first + decode_chunk, panel.rows), ld = stored.cols;
      auto& bytes = scratch[static_cast<std::size_t>(worker)];
      if (a.transposed)  // a row of the panel is a column
        return decode_panel(isa_, panel, first, end, 0, ld, a.factor, &all(0, panel.row0 + first),
                            ld, bytes);
      auto rows = aligned_array<double>((end - first) * ld);
      decode_panel(isa_, panel, first, end, 0, ld, a.factor, rows.get(), ld, bytes);
      for (std::int64_t j = 0; j < ld; ++j)
        for (std::int64_t i = first; i < end; ++i)
          all(panel.row0 + i, j) = rows[(i - first) * ld + j];
    });
    observe(panel);
  }
  return all;
}

template <class T>
std::vector<double> CpuBackend<T>::eigvalsh(Small& a, bool fast) {
  return symmetric_eigenvalues(isa_, pool_, a, fast, [this] {
    if (options_.observer) options_.observer(0);
  });
}

template <class T>
void CpuBackend<T>::decode(const Matrix& a, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                           std::int64_t j1, T* out) {
  const Panel panel = fetch_panel(a, i0, i1, j0, j1);
  const std::int64_t ld = j1 - j0;
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool_.threads()));
  pool_.run(chunks(panel.rows, decode_chunk), [&](std::int64_t chunk, int worker) {
    const std::int64_t i = chunk * decode_chunk;
    decode_panel(isa_, panel, i, std::min(i + decode_chunk, panel.rows), 0, panel.cols, 1.0,
                 out + i * ld, ld, scratch[static_cast<std::size_t>(worker)]);
  });
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace sigmascope
