// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/panels/summed.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "kernels/blocks/block.hpp"
#include "kernels/blocks/decode_panel.hpp"
#include "kernels/blocks/thread_pool.hpp"
#include "kernels/panels/stored_parts.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

constexpr std::int64_t row_chunk = 32;  // rows per task
constexpr int most_kept = 2;            // parts of bf16: they take as much memory as fp32

// use(panel, i, worker) for row i of each panel, as long as goes_on() is true after a panel.
template <class Use, class GoesOn>
void each_row(const Matrix& a, Cpu& cpu, const Use& use, const GoesOn& goes_on) {
  PanelStream panels(a, row_chunk * cpu.pool.threads());
  for (std::int64_t index = 0; index < panels.count(); ++index) {
    const Panel panel = panels.next([&] { cpu.report(0); });
    cpu.pool.run(chunks(panel.rows, row_chunk), [&](std::int64_t chunk, int worker) {
      for (std::int64_t i = chunk * row_chunk; i < std::min(panel.rows, (chunk + 1) * row_chunk);
           ++i)
        use(panel, i, as_size(worker));
    });
    cpu.report(panel.stored_bytes());
    if (!goes_on()) return;
  }
}

// Rows of a matrix as numbers of fp32 (fp64), or as parts of bf16.
template <class T>
class RowReader {
 public:
  RowReader(const Matrix& a, const Cpu& cpu)
      : isa_(cpu.isa),
        scratch_(as_size(cpu.pool.threads())),
        numbers_(scratch_.size(), std::vector<T>(as_size(a.cols))) {}

  const T* decoded(const Panel& panel, std::int64_t i, std::size_t worker) {
    T* to = numbers_[worker].data();
    decode_panel(isa_, panel, i, i + 1, 0, panel.cols, 1.0, to, panel.cols, scratch_[worker]);
    return to;
  }

  // Parts of row i, `stride` codes from one to the next. Returns how many are not zero.
  int split(const Panel& panel, std::int64_t i, std::size_t worker, std::uint16_t* to,
            std::int64_t stride) {
    const Summands sum(panel, 1.0);
    if (sum.count() > 0)
      return isa_.tiles->split_sum(sum.row(i).data(), sum.count(), panel.cols, tile_parts, to,
                                   stride);
    return isa_.tiles->split(decoded(panel, i, worker), panel.cols, tile_parts, to, stride);
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

// `count` rows of codes, at most row_chunk, as columns: one cache line for each column.
void transpose_rows(const std::uint16_t* rows, std::int64_t ld, std::int64_t count,
                    std::int64_t cols, std::uint16_t* to, std::int64_t ld_to) {
  constexpr std::int64_t tile = 32;
  for (std::int64_t j0 = 0; j0 < cols; j0 += tile)
    for (std::int64_t j = j0; j < std::min(cols, j0 + tile); ++j)
      for (std::int64_t i = 0; i < count; ++i) to[j * ld_to + i] = rows[i * ld + j];
}

// A number that bf16 does not hold: its place, and the number less its bf16 part.
struct Entry {
  std::uint32_t row, col;
  float value;
};

// Appends the numbers of row i that bf16 does not hold, exactly. `parts` has three parts of the
// row. Returns how many there are.
std::int64_t remainders(const std::uint16_t* parts, std::int64_t stride, std::int64_t i,
                        std::int64_t n, std::vector<Entry>& to) {
  constexpr std::int64_t run = 32;
  constexpr std::uint16_t magnitude = 0x7fff;
  const auto number = [](std::uint16_t code) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
  };
  const std::size_t before = to.size();
  for (std::int64_t j0 = 0; j0 < n; j0 += run) {
    std::uint16_t any = 0;  // zeros follow a row
    for (std::int64_t j = j0; j < j0 + run; ++j) any |= parts[stride + j] | parts[2 * stride + j];
    if ((any & magnitude) == 0) continue;
    for (std::int64_t j = j0; j < std::min(n, j0 + run); ++j)
      if (((parts[stride + j] | parts[2 * stride + j]) & magnitude) != 0)
        to.push_back({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j),
                      number(parts[stride + j]) + number(parts[2 * stride + j])});
  }
  return static_cast<std::int64_t>(to.size() - before);
}

// All of them by rows, or by columns if transposed.
Sparse assembled(std::vector<std::vector<Entry>>& entries, std::int64_t rows, bool transposed) {
  Sparse s;
  s.first.assign(as_size(rows + 1), 0);
  const auto line = [&](const Entry& e) { return as_size(transposed ? e.col : e.row); };
  for (const auto& some : entries)
    for (const Entry& e : some) ++s.first[line(e) + 1];
  for (std::size_t i = 1; i < s.first.size(); ++i) s.first[i] += s.first[i - 1];
  const auto size = as_size(s.first.back());
  s.rows.resize(size), s.cols.resize(size), s.values.resize(size);
  std::vector<std::int64_t> next = s.first;
  for (auto& some : entries) {
    for (const Entry& e : some) {
      const auto at = as_size(next[line(e)]++);
      s.rows[at] = transposed ? e.col : e.row, s.cols[at] = transposed ? e.row : e.col,
      s.values[at] = e.value;
    }
    std::vector<Entry>().swap(some);
  }
  return s;
}

// The sum in parts of bf16, as products by tiles take it; nothing if a number has more than two.
std::optional<Matrix> gathered_parts(Cpu& cpu, const Matrix& a, bool transposed) {
  const std::int64_t rows = transposed ? a.cols : a.rows, cols = transposed ? a.rows : a.cols;
  const std::int64_t ld = spread<std::uint16_t>(cols), size = rows * ld,
                     row = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes = aligned_array<std::uint16_t>(most_kept * size);
  // Room for the parts of a row; of a chunk of rows, part after part, if they are transposed.
  const std::int64_t held = transposed ? row_chunk : 1;
  std::vector<std::vector<std::uint16_t>> parts(
      as_size(cpu.pool.threads()), std::vector<std::uint16_t>(as_size(tile_parts * held * row)));
  std::vector<int> most(parts.size(), 1);
  std::atomic<bool> more = false;
  RowReader<float> numbers(a, cpu);
  const auto split = [&](const Panel& panel, std::int64_t r, std::size_t worker) {
    if (more) return;
    std::uint16_t* own = parts[worker].data();
    const std::int64_t i = panel.row0 + r;
    const int kinds_of_row = numbers.split(panel, r, worker, own + i % held * row, held * row);
    more = more || kinds_of_row > most_kept;
    most[worker] = std::max(most[worker], kinds_of_row);
    const std::int64_t count = i % held + 1;
    if (count < held && i + 1 < a.rows) return;
    for (int q = 0; q < most_kept; ++q)
      if (transposed)
        transpose_rows(own + q * held * row, row, count, a.cols,
                       codes.get() + q * size + i / held * held, ld);
      else std::memcpy(codes.get() + q * size + i * ld, own + q * row, as_size(2 * ld));
  };
  each_row(a, cpu, split, [&] { return !more.load(); });
  if (more) return std::nullopt;
  Matrix result{rows, cols, {}};
  for (int q = 0; q < *std::max_element(most.begin(), most.end()); ++q) {
    result.tiles.push_back(tile_of(codes, q * size, rows, cols, DType::bf16, ld));
    result.tiles.back().remainder = q > 0;
  }
  return result;
}

// The bf16 numbers nearest to the sums, or a matrix without tiles if they are not copied. Nothing
// if too many sums have a remainder.
std::optional<Matrix> separated_numbers(Cpu& cpu, const Matrix& a, bool transposed, SumCopy copy,
                                        Sparse& remainder) {
  const bool copied = copy == SumCopy::memory;
  const std::int64_t rows = transposed ? a.cols : a.rows, cols = transposed ? a.rows : a.cols;
  const std::int64_t ld = spread<std::uint16_t>(cols), row = spread<std::uint16_t>(a.cols);
  const std::shared_ptr<std::uint16_t[]> codes =
      aligned_array<std::uint16_t>(copied ? rows * ld : 0);
  const std::int64_t held = transposed ? row_chunk : 1, most = a.rows * a.cols / remainder_share;
  std::vector<std::vector<std::uint16_t>> parts(
      as_size(cpu.pool.threads()),
      std::vector<std::uint16_t>(as_size((held + tile_parts - 1) * row)));
  std::vector<std::vector<Entry>> entries(as_size(chunks(a.rows, row_chunk)));
  std::atomic<std::int64_t> count = 0;
  RowReader<float> numbers(a, cpu);
  const auto split = [&](const Panel& panel, std::int64_t r, std::size_t worker) {
    if (count > most) return;
    const std::int64_t i = panel.row0 + r;
    std::uint16_t *all = parts[worker].data(), *own = all + i % held * row,
                  *scratch = all + (held - 1) * row;
    const int kinds = numbers.split(panel, r, worker, scratch, row);
    if (kinds > 1) count += remainders(scratch, row, i, a.cols, entries[as_size(i / row_chunk)]);
    if (!copied) return;
    if (own != scratch) std::memcpy(own, scratch, as_size(2 * row));
    const std::int64_t complete = i % held + 1;
    if (complete < held && i + 1 < a.rows) return;
    if (transposed) transpose_rows(all, row, complete, a.cols, codes.get() + i / held * held, ld);
    else std::memcpy(codes.get() + i * ld, own, as_size(2 * ld));
  };
  each_row(a, cpu, split, [&] { return count <= most; });
  if (count > most) return std::nullopt;
  remainder = assembled(entries, rows, transposed);
  Matrix result{rows, cols, {}};
  if (copied) result.tiles.push_back(tile_of(codes, 0, rows, cols, DType::bf16, ld));
  return result;
}

}  // namespace

std::optional<MatrixView> separated(Cpu& cpu, const MatrixView& view, SumCopy copy, Matrix& to,
                                    Sparse& remainder) {
  const bool copied = copy == SumCopy::memory;
  auto numbers = separated_numbers(cpu, *view.matrix, copied && view.transposed, copy, remainder);
  if (!numbers) return std::nullopt;
  if (!copied) return MatrixView{view.matrix, view.transposed, view.factor, &remainder};
  to = std::move(*numbers);
  return MatrixView{&to, false, view.factor, &remainder};
}

template <class T>
MatrixView gathered(Cpu& cpu, const MatrixView& view, Matrix& to) {
  const Matrix& a = *view.matrix;
  if constexpr (std::is_same_v<T, float>)
    if (cpu.isa.tiles)
      if (auto parts = gathered_parts(cpu, a, view.transposed)) {
        to = std::move(*parts);
        return MatrixView{&to, false, view.factor};
      }
  const std::int64_t ld = spread<T>(a.cols);
  const std::shared_ptr<T[]> numbers = aligned_array<T>(a.rows * ld);
  RowReader<T> rows(a, cpu);
  const auto keep = [&](const Panel& panel, std::int64_t i, std::size_t worker) {
    std::copy_n(rows.decoded(panel, i, worker), a.cols, numbers.get() + (panel.row0 + i) * ld);
  };
  each_row(a, cpu, keep, [] { return true; });
  const DType dtype = std::is_same_v<T, float> ? DType::f32 : DType::f64;
  to = {a.rows, a.cols, {tile_of(numbers, 0, a.rows, a.cols, dtype, ld)}};
  return {&to, view.transposed, view.factor};
}

template MatrixView gathered<float>(Cpu&, const MatrixView&, Matrix&);
template MatrixView gathered<double>(Cpu&, const MatrixView&, Matrix&);

}  // namespace sigmascope
