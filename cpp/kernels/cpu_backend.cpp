// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/cpu_backend.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/blocks/dense.hpp"
#include "kernels/blocks/gaussian.hpp"
#include "kernels/blocks/lapack.hpp"
#include "kernels/eigenvalues/tridiagonal.hpp"
#include "kernels/gram/gram.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <class T>
CpuBackend<T>::CpuBackend(CpuOptions options) : cpu_(std::move(options)) {
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
  cpu_.pool.run(chunks(rows, 64), [&](std::int64_t chunk, int) {
    for (std::int64_t i = chunk * 64; i < std::min(rows, chunk * 64 + 64); ++i)
      for (std::int64_t h = column0 / 2; h <= (column0 + cols - 1) / 2; ++h) {
        const auto pair =
            gaussian_pair(seed, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(h));
        for (std::int64_t e = 0; e < 2; ++e) {
          const std::int64_t j = 2 * h + e - column0;
          if (j >= 0 && j < cols) x.row(i)[j] = static_cast<T>(pair[as_size(e)]);
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

namespace {

// Add all columns to the first: `parts_together` of them one after the other, their sums as a tree.
// The square of a column of 4 million equal numbers is then right to 21 roundings, not to 670.
void add_parts(Small& partial) {
  const auto add = [&](std::int64_t to, std::int64_t from) {
    for (std::int64_t e = 0; e < partial.rows; ++e) partial(e, to) += partial(e, from);
  };
  for (std::int64_t p = 0; p < partial.cols; ++p)
    if (p % parts_together != 0) add(p / parts_together * parts_together, p);
  for (std::int64_t step = parts_together; step < partial.cols; step *= 2)
    for (std::int64_t p = 0; p + step < partial.cols; p += 2 * step) add(p, p + step);
}

}  // namespace

template <class T>
Small CpuBackend<T>::inner(std::span<const Block> xs, const Block& y) {
  constexpr std::int64_t part = inner_part, run = 64;
  // Blocks are multiplied at a time that have so many columns together. `krylov_need` (memory.py)
  // has room for the sums of so many: for those of a block, or of the vectors that a restart keeps.
  constexpr std::int64_t together = 48;
  const auto product = IsaOf<T>::product(cpu_.isa.template of<T>(y.ld));
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
    cpu_.pool.run(parts, [&](std::int64_t p, int) {
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
    add_parts(partial);
    for (std::int64_t i = 0; parts > 0 && i < cols; ++i)
      for (std::int64_t j = 0; j < y.cols; ++j) result(first + i, j) = partial(i * y.ld + j, 0);
    first += cols;
    xs = xs.subspan(count);
  }
  return result;
}

template <class T>
Small CpuBackend<T>::inner_and_gram(std::span<const Block> xs, const Block& y) {
  const Small products = inner(xs, y), gram = inner(std::span(&y, 1), y);
  Small both(products.rows + gram.rows, y.cols);
  both.set_part(0, 0, products);
  both.set_part(products.rows, 0, gram);
  return both;
}

template <class T>
void CpuBackend<T>::combine(Block& y, std::span<const Block> xs, const Small& c) {
  auto right = aligned_array<T>(c.rows * y.ld);
  std::fill_n(right.get(), c.rows * y.ld, T(0));
  for (std::int64_t j = 0; j < c.cols; ++j)
    for (std::int64_t i = 0; i < c.rows; ++i) right[i * y.ld + j] = static_cast<T>(c(i, j));
  const auto product = IsaOf<T>::product(cpu_.isa.template of<T>(y.ld));
  constexpr std::int64_t chunk = 240;
  cpu_.pool.run(chunks(y.rows, chunk), [&](std::int64_t part, int) {
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
void CpuBackend<T>::multiply_pass(const MatrixView& a, const PassBlocks<T>& blocks, int parts,
                                  ForwardSums sums) {
  if constexpr (std::is_same_v<T, float>)
    if (cpu_.isa.tiles) return multiply_tiles(cpu_, a, blocks, parts);
  multiply_numbers(cpu_, a, blocks, sums);
}

template <class T>
Block<T> CpuBackend<T>::multiply(const MatrixView& a, const Block& x, int parts) {
  Block y;
  multiply_pass(a, {.x = &x, .y = &y}, parts, ForwardSums::as_adjoint);
  return y;
}

template <class T>
Block<T> CpuBackend<T>::multiply_adjoint(const MatrixView& a, const Block& y, int parts) {
  Block z;
  multiply_pass(a, {.given = &y, .z = &z}, parts, ForwardSums::as_adjoint);
  return z;
}

template <class T>
Block<T> CpuBackend<T>::gram_step(const MatrixView& a, const Block& x, Block* y, int parts) {
  Block z;
  if (y != nullptr) *y = Block();
  multiply_pass(a, {.x = &x, .y = y, .z = &z}, parts, ForwardSums::fastest);
  return z;
}

template <class T>
void CpuBackend<T>::multiply_pass_bf16(const MatrixView& a, const PassBlocks<T>& blocks) {
  if constexpr (std::is_same_v<T, float>) {
    if (cpu_.isa.tiles) return multiply_tiles(cpu_, a, blocks, 1);
    sigmascope::multiply_bf16(cpu_, a, blocks);
  }
}

template <class T>
Block<T> CpuBackend<T>::steer(const MatrixView& a, const Block& x) {
  if (std::is_same_v<T, double>) return gram_step(a, x, nullptr);
  Block z;
  multiply_pass_bf16(a, {.x = &x, .z = &z});
  return z;
}

template <class T>
Block<T> CpuBackend<T>::multiply_bf16(const MatrixView& a, const Block& x) {
  if (std::is_same_v<T, double>) return multiply(a, x);
  Block y;
  multiply_pass_bf16(a, {.x = &x, .y = &y});
  return y;
}

template <class T>
Small CpuBackend<T>::dense(const MatrixView& a) {
  return sigmascope::dense(cpu_, a);
}

template <class T>
Gram CpuBackend<T>::gram(const MatrixView& a, GramProducts products) {
  return gram_matrix(cpu_, a, products);
}

template <class T>
std::vector<double> CpuBackend<T>::eigvalsh(Small& a, GramProducts products) {
  return symmetric_eigenvalues(cpu_.isa, cpu_.pool, a, products, [this] { cpu_.report(0); });
}

template <class T>
std::vector<double> CpuBackend<T>::gram_eigenvalues(const MatrixView& a) {
  Gram g = gram(a, GramProducts::full);
  return eigvalsh(g.values, GramProducts::full);
}

template <class T>
std::int64_t CpuBackend<T>::gram_additions(const MatrixView& a) {
  return sigmascope::gram_additions(a.rows(), a.cols());
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace sigmascope
