// SPDX-License-Identifier: BSD-3-Clause
// A sum of tiles, such as the difference of two checkpoints, added up once for many products. The numbers are those
// that every product would add up for itself, so that no bit changes.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/cpu_backend.hpp"
#include "kernels/decode_panel.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 32;  // rows per task
constexpr int most_kept = 2;            // parts of bf16, which take as much memory as fp32

// Every row of the matrix, decoded: use(i, numbers, worker); while goes_on(panel) after each panel.
template <class T, class Use, class GoesOn>
void each_row(const Matrix& a, const Isa& isa, ThreadPool& pool, const Use& use, const GoesOn& goes_on) {
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pool.threads()));
  std::vector<std::vector<T>> numbers(scratch.size(), std::vector<T>(static_cast<std::size_t>(a.cols)));
  PanelStream panels(a, false, row_chunk * pool.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      const auto w = static_cast<std::size_t>(worker);
      for (std::int64_t i = chunk * row_chunk; i < std::min(panel.rows, (chunk + 1) * row_chunk); ++i) {
        decode_panel(isa, panel, i, i + 1, 0, panel.cols, 1.0, numbers[w].data(), panel.cols, scratch[w]);
        use(panel.row0 + i, numbers[w].data(), w);
      }
    });
    if (!goes_on(panel)) return;
  }
}

template <class Element>
Tile tile_of(const std::shared_ptr<Element[]>& memory, std::int64_t offset, std::int64_t rows, std::int64_t cols,
             DType dtype, std::int64_t ld) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  Tile tile;
  tile.bytes = Bytes::in_memory(reinterpret_cast<const std::byte*>(memory.get() + offset),
                                static_cast<std::uint64_t>(size * rows * ld), memory);
  tile.dtype = dtype;
  tile.rows = rows, tile.cols = cols;
  tile.row_stride = size * ld, tile.col_stride = size;
  return tile;
}

// `count` rows of codes, at most row_chunk, as columns: one cache line for each.
void turn(const std::uint16_t* rows, std::int64_t ld, std::int64_t count, std::int64_t cols, std::uint16_t* to,
          std::int64_t ld_to) {
  constexpr std::int64_t tile = 32;
  for (std::int64_t j0 = 0; j0 < cols; j0 += tile)
    for (std::int64_t j = j0; j < std::min(cols, j0 + tile); ++j)
      for (std::int64_t i = 0; i < count; ++i) to[j * ld_to + i] = rows[i * ld + j];
}

}  // namespace

// As the numbers of bf16 that products by tiles want (tile_panels.hpp); nothing if a number takes more than two.
template <class T>
std::optional<Matrix> CpuBackend<T>::gathered_parts(const Matrix& a, bool turned) {
  const std::int64_t rows = turned ? a.cols : a.rows, cols = turned ? a.rows : a.cols;
  const std::int64_t ld = spread<std::uint16_t>(cols), size = rows * ld, row = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes = aligned_array<std::uint16_t>(most_kept * size);
  // Of a row; of a chunk of rows, part after part, if they are to be turned.
  const std::int64_t held = turned ? row_chunk : 1;
  std::vector<std::vector<std::uint16_t>> parts(
      static_cast<std::size_t>(pool_.threads()),
      std::vector<std::uint16_t>(static_cast<std::size_t>(tile_parts * held * row)));
  std::vector<int> most(parts.size(), 1);
  std::atomic<bool> more = false;
  const auto split = [&](std::int64_t i, const float* numbers, std::size_t worker) {
    if (more) return;
    std::uint16_t* own = parts[worker].data();
    const int found = isa_.tiles->split(numbers, a.cols, tile_parts, own + i % held * row, held * row);
    more = more || found > most_kept;
    most[worker] = std::max(most[worker], found);
    const std::int64_t count = i % held + 1;
    if (count < held && i + 1 < a.rows) return;
    for (int q = 0; q < most_kept; ++q)
      if (turned) turn(own + q * held * row, row, count, a.cols, codes.get() + q * size + i / held * held, ld);
      else std::memcpy(codes.get() + q * size + i * ld, own + q * row, static_cast<std::size_t>(2 * ld));
  };
  each_row<float>(a, isa_, pool_, split, [&](const Panel& panel) { return observe(panel), !more; });
  if (more) return std::nullopt;
  Matrix result{rows, cols, {}};
  for (int q = 0; q < *std::max_element(most.begin(), most.end()); ++q) {
    result.tiles.push_back(tile_of(codes, q * size, rows, cols, DType::bf16, ld));
    result.tiles.back().remainder = q > 0;
  }
  return result;
}

template <class T>
MatrixView CpuBackend<T>::gathered(const MatrixView& view, Matrix& to) {
  const Matrix& a = *view.matrix;
  if constexpr (std::is_same_v<T, float>)
    if (isa_.tiles)
      if (auto parts = gathered_parts(a, view.transposed))
        return to = std::move(*parts), MatrixView{&to, false, view.factor};
  const std::int64_t ld = spread<T>(a.cols);
  const std::shared_ptr<T[]> numbers = aligned_array<T>(a.rows * ld);
  const auto keep = [&](std::int64_t i, const T* row, std::size_t) {
    std::copy_n(row, a.cols, numbers.get() + i * ld);
  };
  each_row<T>(a, isa_, pool_, keep, [&](const Panel& panel) { return observe(panel), true; });
  to = {a.rows, a.cols, {tile_of(numbers, 0, a.rows, a.cols, std::is_same_v<T, float> ? DType::f32 : DType::f64, ld)}};
  return {&to, view.transposed, view.factor};
}

template std::optional<Matrix> CpuBackend<float>::gathered_parts(const Matrix&, bool);
template MatrixView CpuBackend<float>::gathered(const MatrixView&, Matrix&);
template MatrixView CpuBackend<double>::gathered(const MatrixView&, Matrix&);

}  // namespace sigmascope
