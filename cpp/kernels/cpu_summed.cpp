// SPDX-License-Identifier: BSD-3-Clause
// A sum of tiles, such as the difference of two checkpoints, added up once for many products. The
// numbers are those that every product would add up for itself, so that no bit changes. And such a
// sum as numbers of bf16, and the few entries that these do not hold: whether the former are kept
// changes no bit either.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/blocks/decode_panel.hpp"
#include "kernels/cpu_backend.hpp"
#include "kernels/panels/stored_parts.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 32;  // rows per task
constexpr int most_kept = 2;            // parts of bf16, which take as much memory as fp32
// At most one entry in so many is kept: that costs less than a product with another part.
constexpr std::int64_t few = 64;

// Every row of the matrix: use(panel, i, worker) of its row i; while goes_on(panel) after each
// panel.
template <class Use, class GoesOn>
void each_row(const Matrix& a, ThreadPool& pool, const Use& use, const GoesOn& goes_on) {
  PanelStream panels(a, false, row_chunk * pool.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next();
    pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      for (std::int64_t i = chunk * row_chunk; i < std::min(panel.rows, (chunk + 1) * row_chunk);
           ++i)
        use(panel, i, static_cast<std::size_t>(worker));
    });
    if (!goes_on(panel)) return;
  }
}

// Rows of a matrix as numbers of fp32 (fp64), or as parts of bf16.
template <class T>
class Rows {
 public:
  Rows(const Matrix& a, const Isa& isa, int threads)
      : isa_(isa),
        scratch_(static_cast<std::size_t>(threads)),
        numbers_(scratch_.size(), std::vector<T>(static_cast<std::size_t>(a.cols))) {}

  const T* decoded(const Panel& panel, std::int64_t i, std::size_t worker) {
    T* to = numbers_[worker].data();
    decode_panel(isa_, panel, i, i + 1, 0, panel.cols, 1.0, to, panel.cols, scratch_[worker]);
    return to;
  }

  // How many parts are not zero.
  int split(const Panel& panel, std::int64_t i, std::size_t worker, std::uint16_t* to,
            std::int64_t apart) {
    const Summands sum(panel, 1.0);
    if (sum.count() > 0)
      return isa_.tiles->split_sum(sum.row(i).data(), sum.count(), panel.cols, tile_parts, to,
                                   apart);
    return isa_.tiles->split(decoded(panel, i, worker), panel.cols, tile_parts, to, apart);
  }

 private:
  const Isa& isa_;
  std::vector<std::vector<std::byte>> scratch_;
  std::vector<std::vector<T>> numbers_;
};

template <class Element>
Tile tile_of(const std::shared_ptr<Element[]>& memory, std::int64_t offset, std::int64_t rows,
             std::int64_t cols, DType dtype, std::int64_t ld) {
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
void turn(const std::uint16_t* rows, std::int64_t ld, std::int64_t count, std::int64_t cols,
          std::uint16_t* to, std::int64_t ld_to) {
  constexpr std::int64_t tile = 32;
  for (std::int64_t j0 = 0; j0 < cols; j0 += tile)
    for (std::int64_t j = j0; j < std::min(cols, j0 + tile); ++j)
      for (std::int64_t i = 0; i < count; ++i) to[j * ld_to + i] = rows[i * ld + j];
}

// One number that bf16 does not hold: where, and what bf16 leaves of it.
struct Entry {
  std::uint32_t row, col;
  float value;
};

// What the first part of a row leaves of its numbers, where the others are not zero: exactly.
// Returns how often.
std::int64_t leftovers(const std::uint16_t* parts, std::int64_t apart, std::int64_t i,
                       std::int64_t n, std::vector<Entry>& to) {
  constexpr std::int64_t run = 32;
  constexpr std::uint16_t magnitude = 0x7fff;
  const auto number = [](std::uint16_t code) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
  };
  const std::size_t before = to.size();
  for (std::int64_t j0 = 0; j0 < n; j0 += run) {
    std::uint16_t any = 0;  // zeros follow a row
    for (std::int64_t j = j0; j < j0 + run; ++j) any |= parts[apart + j] | parts[2 * apart + j];
    if ((any & magnitude) == 0) continue;
    for (std::int64_t j = j0; j < std::min(n, j0 + run); ++j)
      if (((parts[apart + j] | parts[2 * apart + j]) & magnitude) != 0)
        to.push_back({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j),
                      number(parts[apart + j]) + number(parts[2 * apart + j])});
  }
  return static_cast<std::int64_t>(to.size() - before);
}

// All of them by rows, or by columns if turned.
Sparse assembled(std::vector<std::vector<Entry>>& found, std::int64_t rows, bool turned) {
  Sparse s;
  s.first.assign(static_cast<std::size_t>(rows + 1), 0);
  const auto line = [&](const Entry& e) {
    return static_cast<std::size_t>(turned ? e.col : e.row);
  };
  for (const auto& some : found)
    for (const Entry& e : some) ++s.first[line(e) + 1];
  for (std::size_t i = 1; i < s.first.size(); ++i) s.first[i] += s.first[i - 1];
  const auto size = static_cast<std::size_t>(s.first.back());
  s.rows.resize(size), s.cols.resize(size), s.values.resize(size);
  std::vector<std::int64_t> next = s.first;
  for (auto& some : found) {
    for (const Entry& e : some) {
      const auto at = static_cast<std::size_t>(next[line(e)]++);
      s.rows[at] = turned ? e.col : e.row, s.cols[at] = turned ? e.row : e.col,
      s.values[at] = e.value;
    }
    std::vector<Entry>().swap(some);
  }
  return s;
}

}  // namespace

// As the numbers of bf16 that products by tiles want (tile_panels.hpp); nothing if a number takes
// more than two.
template <class T>
std::optional<Matrix> CpuBackend<T>::gathered_parts(const Matrix& a, bool turned) {
  const std::int64_t rows = turned ? a.cols : a.rows, cols = turned ? a.rows : a.cols;
  const std::int64_t ld = spread<std::uint16_t>(cols), size = rows * ld,
                     row = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes = aligned_array<std::uint16_t>(most_kept * size);
  // Of a row; of a chunk of rows, part after part, if they are to be turned.
  const std::int64_t held = turned ? row_chunk : 1;
  std::vector<std::vector<std::uint16_t>> parts(
      static_cast<std::size_t>(pool_.threads()),
      std::vector<std::uint16_t>(static_cast<std::size_t>(tile_parts * held * row)));
  std::vector<int> most(parts.size(), 1);
  std::atomic<bool> more = false;
  Rows<float> numbers(a, isa_, pool_.threads());
  const auto split = [&](const Panel& panel, std::int64_t r, std::size_t worker) {
    if (more) return;
    std::uint16_t* own = parts[worker].data();
    const std::int64_t i = panel.row0 + r;
    const int found = numbers.split(panel, r, worker, own + i % held * row, held * row);
    more = more || found > most_kept;
    most[worker] = std::max(most[worker], found);
    const std::int64_t count = i % held + 1;
    if (count < held && i + 1 < a.rows) return;
    for (int q = 0; q < most_kept; ++q)
      if (turned)
        turn(own + q * held * row, row, count, a.cols, codes.get() + q * size + i / held * held,
             ld);
      else
        std::memcpy(codes.get() + q * size + i * ld, own + q * row,
                    static_cast<std::size_t>(2 * ld));
  };
  each_row(a, pool_, split, [&](const Panel& panel) { return observe(panel), !more; });
  if (more) return std::nullopt;
  Matrix result{rows, cols, {}};
  for (int q = 0; q < *std::max_element(most.begin(), most.end()); ++q) {
    result.tiles.push_back(tile_of(codes, q * size, rows, cols, DType::bf16, ld));
    result.tiles.back().remainder = q > 0;
  }
  return result;
}

// The numbers of bf16 next to the sums, or an empty matrix; nothing if too many leave something.
template <class T>
std::optional<Matrix> CpuBackend<T>::apart(const Matrix& a, bool turned, bool gather,
                                           Sparse& beside) {
  const std::int64_t rows = turned ? a.cols : a.rows, cols = turned ? a.rows : a.cols;
  const std::int64_t ld = spread<std::uint16_t>(cols), row = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes =
      aligned_array<std::uint16_t>(gather ? rows * ld : 0);
  const std::int64_t held = turned ? row_chunk : 1, most = a.rows * a.cols / few;
  std::vector<std::vector<std::uint16_t>> parts(
      static_cast<std::size_t>(pool_.threads()),
      std::vector<std::uint16_t>(static_cast<std::size_t>((held + tile_parts - 1) * row)));
  std::vector<std::vector<Entry>> found(static_cast<std::size_t>(chunks(a.rows, row_chunk)));
  std::atomic<std::int64_t> count = 0;
  Rows<float> numbers(a, isa_, pool_.threads());
  const auto split = [&](const Panel& panel, std::int64_t r, std::size_t worker) {
    if (count > most) return;
    const std::int64_t i = panel.row0 + r;
    std::uint16_t *all = parts[worker].data(), *own = all + i % held * row,
                  *scratch = all + (held - 1) * row;
    const int kinds = numbers.split(panel, r, worker, scratch, row);
    if (kinds > 1)
      count += leftovers(scratch, row, i, a.cols, found[static_cast<std::size_t>(i / row_chunk)]);
    if (!gather) return;
    if (own != scratch) std::memcpy(own, scratch, static_cast<std::size_t>(2 * row));
    const std::int64_t complete = i % held + 1;
    if (complete < held && i + 1 < a.rows) return;
    if (turned) turn(all, row, complete, a.cols, codes.get() + i / held * held, ld);
    else std::memcpy(codes.get() + i * ld, own, static_cast<std::size_t>(2 * ld));
  };
  each_row(a, pool_, split, [&](const Panel& panel) { return observe(panel), count <= most; });
  if (count > most) return std::nullopt;
  beside = assembled(found, rows, turned);
  Matrix result{rows, cols, {}};
  if (gather) result.tiles.push_back(tile_of(codes, 0, rows, cols, DType::bf16, ld));
  return result;
}

template <class T>
std::optional<MatrixView> CpuBackend<T>::separated(const MatrixView& view, bool gather, Matrix& to,
                                                   Sparse& beside) {
  if constexpr (std::is_same_v<T, float>) {
    if (!isa_.tiles) return std::nullopt;
    auto numbers = apart(*view.matrix, gather && view.transposed, gather, beside);
    if (!numbers) return std::nullopt;
    if (!gather) return MatrixView{view.matrix, view.transposed, view.factor, &beside};
    to = std::move(*numbers);
    return MatrixView{&to, false, view.factor, &beside};
  }
  return std::nullopt;
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
  Rows<T> rows(a, isa_, pool_.threads());
  const auto keep = [&](const Panel& panel, std::int64_t i, std::size_t worker) {
    std::copy_n(rows.decoded(panel, i, worker), a.cols, numbers.get() + (panel.row0 + i) * ld);
  };
  each_row(a, pool_, keep, [&](const Panel& panel) { return observe(panel), true; });
  to = {a.rows,
        a.cols,
        {tile_of(numbers, 0, a.rows, a.cols, std::is_same_v<T, float> ? DType::f32 : DType::f64,
                 ld)}};
  return {&to, view.transposed, view.factor};
}

template std::optional<Matrix> CpuBackend<float>::gathered_parts(const Matrix&, bool);
template std::optional<Matrix> CpuBackend<float>::apart(const Matrix&, bool, bool, Sparse&);
template std::optional<MatrixView> CpuBackend<float>::separated(const MatrixView&, bool, Matrix&,
                                                                Sparse&);
template std::optional<MatrixView> CpuBackend<double>::separated(const MatrixView&, bool, Matrix&,
                                                                 Sparse&);
template MatrixView CpuBackend<float>::gathered(const MatrixView&, Matrix&);
template MatrixView CpuBackend<double>::gathered(const MatrixView&, Matrix&);

}  // namespace sigmascope
