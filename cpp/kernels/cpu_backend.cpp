// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/cpu_backend.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/decode_panel.hpp"
#include "kernels/gaussian.hpp"
#include "kernels/lapack.hpp"
#include "kernels/tridiagonal.hpp"

namespace sigmascope {

namespace {

// Rows of Z = sum over panel rows are summed in chains of this many, each added to the total: the error of a sum then
// grows with 256 + m/256, not m, and the cut lies in the matrix, not in the panel, so that no bit depends on the panel.
constexpr std::int64_t chain_rows = 256;
constexpr std::int64_t panel_bytes = std::int64_t{9} << 20;  // decoded; stays in the L3 cache
constexpr std::int64_t most_rows = 960;                      // of a panel
constexpr std::int64_t first_chunk = 64;                     // rows per task: 256 are shared evenly
constexpr std::int64_t second_chunk = 192;
constexpr std::int64_t decode_chunk = 256;  // stored rows of a panel of columns

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
Block<T> CpuBackend<T>::gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t column0) {
  Block x(rows, cols);
  pool_.run(chunks(rows, 64), [&](std::int64_t chunk, int) {
    for (std::int64_t i = chunk * 64; i < std::min(rows, chunk * 64 + 64); ++i)
      for (std::int64_t h = column0 / 2; h <= (column0 + cols - 1) / 2; ++h) {
        const auto pair = gaussian_pair(seed, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(h));
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
Small CpuBackend<T>::inner(const Block& x, const Block& y) {
  constexpr std::int64_t part = 1024, run = 64;
  const auto product = IsaOf<T>::product(isa_);
  const std::int64_t parts = chunks(x.rows, part), size = x.cols * y.ld;
  Small partial(size, parts);
  pool_.run(parts, [&](std::int64_t p, int) {
    auto sums = aligned_array<T>(size);
    double* total = partial.data() + p * size;
    for (std::int64_t i = p * part; i < std::min(x.rows, (p + 1) * part); i += run) {
      std::fill_n(sums.get(), size, T(0));
      product(x.cols, y.ld, std::min(run, x.rows - i), x.row(i), 1, x.ld, y.row(i), y.ld, sums.get(), y.ld,
              Accumulate::chain);
      for (std::int64_t e = 0; e < size; ++e) total[e] += static_cast<double>(sums[e]);
    }
  });
  Small result(x.cols, y.cols);
  for (std::int64_t p = 0; p < parts; ++p)
    for (std::int64_t i = 0; i < x.cols; ++i)
      for (std::int64_t j = 0; j < y.cols; ++j) result(i, j) += partial(i * y.ld + j, p);
  return result;
}

template <class T>
void CpuBackend<T>::combine(Block& y, const Block& x, const Small& c) {
  auto right = aligned_array<T>(x.cols * y.ld);
  std::fill_n(right.get(), x.cols * y.ld, T(0));
  for (std::int64_t j = 0; j < c.cols; ++j)
    for (std::int64_t i = 0; i < c.rows; ++i) right[i * y.ld + j] = static_cast<T>(c(i, j));
  const auto product = IsaOf<T>::product(isa_);
  constexpr std::int64_t chunk = 240;
  pool_.run(chunks(y.rows, chunk), [&](std::int64_t part, int) {
    const std::int64_t i = part * chunk;
    product(std::min(chunk, y.rows - i), y.ld, x.cols, x.row(i), x.ld, 1, right.get(), y.ld, y.row(i), y.ld,
            Accumulate::chain);
  });
}

template <class T>
std::int64_t CpuBackend<T>::panel_height(const MatrixView& a, std::int64_t block) const {
  if (options_.panel_rows > 0) return options_.panel_rows;
  const std::int64_t row_bytes = std::max<std::int64_t>(a.cols() + block, 1) * static_cast<std::int64_t>(sizeof(T));
  const bool at_hand = !a.transposed && a.matrix->in_memory();  // whole rows, which are not read: the fewer, the nearer
  const std::int64_t most = at_hand ? std::min(chain_rows * pool_.threads(), most_rows) : most_rows;
  const std::int64_t fitting = std::clamp<std::int64_t>(panel_bytes / row_bytes, 1, most),
                     turn = first_chunk * pool_.threads();
  const std::int64_t whole = fitting < chain_rows ? turn : chain_rows;
  return fitting < whole ? fitting : fitting / whole * whole;
}

// Rows per task of a panel: every thread has as many.
template <class T>
std::int64_t CpuBackend<T>::panel_chunk(std::int64_t height) const {
  return std::min(first_chunk, chunks(height, pool_.threads()));
}

template <class T>
void CpuBackend<T>::stream(const MatrixView& a, const Stages& stages, int parts) {
  if (std::is_same_v<T, float> && isa_.tiles) return stream_tiles(a, stages, parts);
  const bool by_columns = a.transposed;
  if (by_columns && !a.matrix->in_memory())
    return along_rows(a, stages, [&](const MatrixView& rows, const Stages& part, bool) { stream(rows, part, parts); });
  const std::int64_t rows = a.rows(), cols = a.cols();
  const std::int64_t ld_block = (stages.x ? stages.x : stages.given)->ld;
  const std::int64_t height = std::min(panel_height(a, ld_block), std::max<std::int64_t>(rows, 1));
  const std::int64_t ld = spread<T>(by_columns ? height : cols);
  const auto product = IsaOf<T>::product(isa_);
  auto decoded = aligned_array<T>(ld * (by_columns ? cols : height));
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool_.threads()));
  Block own_y = stages.x && !stages.y ? Block(height, stages.x->cols) : Block();
  Block chain = stages.z ? Block(cols, stages.z->cols) : Block();

  PanelStream panels(*a.matrix, by_columns, height);
  std::int64_t row0 = 0;
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    const std::int64_t here = by_columns ? panel.cols : panel.rows;
    T* y_rows = stages.y ? stages.y->row(row0) : own_y.data.get();
    // Whole stored rows at a time: a chunk's columns alone would be a line or two of each.
    if (by_columns)
      pool_.run(chunks(panel.rows, decode_chunk), [&](std::int64_t chunk, int worker) {
        const std::int64_t i = chunk * decode_chunk, end = std::min(i + decode_chunk, panel.rows);
        decode_panel(isa_, panel, i, end, 0, here, a.factor, decoded.get() + i * ld, ld,
                     scratch[static_cast<std::size_t>(worker)]);
      });
    const std::int64_t size = panel_chunk(here);
    pool_.run(by_columns && !stages.x ? 0 : chunks(here, size), [&](std::int64_t chunk, int worker) {
      const std::int64_t i = chunk * size, count = std::min(size, here - i);
      T* first = decoded.get() + (by_columns ? i : i * ld);
      if (!by_columns)
        decode_panel(isa_, panel, i, i + count, 0, panel.cols, a.factor, first, ld,
                     scratch[static_cast<std::size_t>(worker)]);
      if (!stages.x) return;
      std::fill_n(y_rows + i * ld_block, count * ld_block, T(0));
      product(count, ld_block, cols, first, by_columns ? 1 : ld, by_columns ? ld : 1, stages.x->data.get(), ld_block,
              y_rows + i * ld_block, ld_block, Accumulate::sum_blocks);
    });
    if (stages.z) {
      const T* y = stages.x ? y_rows : stages.given->row(row0);
      pool_.run(chunks(cols, second_chunk), [&](std::int64_t chunk, int) {
        const std::int64_t j = chunk * second_chunk, count = std::min(second_chunk, cols - j);
        const T* first = decoded.get() + (by_columns ? j * ld : j);
        for (std::int64_t i = 0; i < here;) {
          const std::int64_t run = std::min(here - i, chain_rows - (row0 + i) % chain_rows);
          if (run == chain_rows) {  // a whole chain at once: the same sums
            product(count, ld_block, run, first + i * (by_columns ? 1 : ld), by_columns ? ld : 1, by_columns ? 1 : ld,
                    y + i * ld_block, ld_block, stages.z->row(j), ld_block, Accumulate::sum_blocks);
            i += run;
            continue;
          }
          product(count, ld_block, run, first + i * (by_columns ? 1 : ld), by_columns ? ld : 1, by_columns ? 1 : ld,
                  y + i * ld_block, ld_block, chain.row(j), ld_block, Accumulate::chain);
          i += run;
          if ((row0 + i) % chain_rows == 0 || row0 + i == rows)
            for (std::int64_t e = 0; e < count * ld_block; ++e) {
              stages.z->row(j)[e] += chain.row(j)[e];
              chain.row(j)[e] = T(0);
            }
        }
      });
    }
    row0 += here;
    observe(panel);
  }
}

template <class T>
Block<T> CpuBackend<T>::multiply(const MatrixView& a, const Block& x, int parts) {
  Block y(a.rows(), x.cols);
  stream(a, {.x = &x, .given = nullptr, .y = &y, .z = nullptr}, parts);
  return y;
}

template <class T>
Block<T> CpuBackend<T>::multiply_adjoint(const MatrixView& a, const Block& y, int parts) {
  Block z(a.cols(), y.cols);
  stream(a, {.x = nullptr, .given = &y, .y = nullptr, .z = &z}, parts);
  return z;
}

template <class T>
Block<T> CpuBackend<T>::gram_step(const MatrixView& a, const Block& x, Block* y, int parts) {
  Block z(a.cols(), x.cols);
  if (y != nullptr) *y = Block(a.rows(), x.cols);
  stream(a, {.x = &x, .given = nullptr, .y = y, .z = &z}, parts);
  return z;
}

template <class T>
std::vector<double> CpuBackend<T>::eigvalsh(Small& a, bool fast) {
  return symmetric_eigenvalues(isa_, pool_, a, fast, [this] {
    if (options_.observer) options_.observer(0);
  });
}

template <class T>
void CpuBackend<T>::decode(const Matrix& a, std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1,
                           T* out) {
  const Panel panel = fetch_panel(a, i0, i1, j0, j1);
  const std::int64_t ld = j1 - j0;
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool_.threads()));
  pool_.run(chunks(panel.rows, first_chunk), [&](std::int64_t chunk, int worker) {
    const std::int64_t i = chunk * first_chunk;
    decode_panel(isa_, panel, i, std::min(i + first_chunk, panel.rows), 0, panel.cols, 1.0, out + i * ld, ld,
                 scratch[static_cast<std::size_t>(worker)]);
  });
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace sigmascope
