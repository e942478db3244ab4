// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/launches.cuh"
#include "kernels/products.hpp"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// A block of threads has tall x wide results of one group, a thread 4 x 2 of them. Tiles of both
// factors, `deep` along K, pass through shared memory, several stages of them at a time. Lines of
// the left tile are rows of L if those lie along K, else lines along the results.
template <class T, int wide_, bool along_>
struct Tiles {
  static constexpr int threads = 256, own_rows = 4, own_cols = 2;
  static constexpr int wide = wide_, tall = threads * own_rows * own_cols / wide;
  static constexpr int deep = 128 / static_cast<int>(sizeof(T));
  static constexpr bool along = along_;
  // Numbers of 16 bytes. Lines along K are so much longer, and the rows of a thread far apart: the
  // lines that a warp reads at once are in different banks then.
  static constexpr int vector = 16 / static_cast<int>(sizeof(T));
  static constexpr int left_step = along ? deep + vector : tall;
  static constexpr int row_step = along ? tall / own_rows : 1;
  static constexpr int left_size = along ? tall * left_step : deep * left_step;
  static constexpr int size = left_size + deep * wide;  // of a stage
  static constexpr int stages = wide == 32 ? 3 : 2;
  static_assert(tall / own_rows * (wide / own_cols) == threads);
  static_assert(product_chain % deep == 0 && group_terms % product_chain == 0);
  static_assert(stages * size * sizeof(T) <= std::size_t{48} << 10);
};

// What a thread copies of every stage: numbers `apart` from each other, in lines that end at
// `lines`. From stage to stage all of them go on along K.
template <class T>
struct Copied {
  const T* from;
  std::int64_t apart, step;  // of the numbers, and of the stages
  std::int64_t k, k_apart;   // along K, from the first term of the stage on
  std::int64_t line, line_apart, lines;
  int to, to_apart;

  template <int count>
  __device__ void load(T* tile, int stage, std::int64_t terms) const {
#pragma unroll
    for (int c = 0; c < count; ++c) {
      T* const place = tile + to + c * to_apart;
      if (line + c * line_apart < lines && k + c * k_apart < terms)
        copy_in_background<sizeof(T)>(place, from + c * apart + stage * step);
      else *place = T(0);
    }
  }
};

// A factor as tiles are copied from it: lines `line_step` apart, with numbers one after the other.
// In shared memory numbers that follow each other along K or across it are so far apart.
template <class T>
struct Factor {
  const T* numbers;
  std::int64_t line_step;
  std::int64_t extent;  // across K
  int along_apart, across_apart;
};

// Threads that follow each other read along the lines of a factor: those along K, from the term k0
// of the line c0 on.
template <class S, class T>
__device__ Copied<T> copied_along(const Factor<T>& f, std::int64_t c0, std::int64_t k0) {
  constexpr int lines = S::threads / S::deep;
  const int thread = static_cast<int>(threadIdx.x), k = thread % S::deep, c = thread / S::deep;
  return {.from = f.numbers + (c0 + c) * f.line_step + k0 + k,
          .apart = lines * f.line_step,
          .step = S::deep,
          .k = k,
          .k_apart = 0,
          .line = c0 + c,
          .line_apart = lines,
          .lines = f.extent,
          .to = c * f.across_apart + k * f.along_apart,
          .to_apart = lines * f.across_apart};
}

// Lines across K, of which a tile is so wide.
template <class S, int width, class T>
__device__ Copied<T> copied_across(const Factor<T>& f, std::int64_t c0, std::int64_t k0) {
  constexpr int terms = S::threads / width;
  const int thread = static_cast<int>(threadIdx.x), c = thread % width, k = thread / width;
  return {.from = f.numbers + (k0 + k) * f.line_step + c0 + c,
          .apart = terms * f.line_step,
          .step = S::deep * f.line_step,
          .k = k,
          .k_apart = terms,
          .line = c0 + c,
          .line_apart = 0,
          .lines = f.extent,
          .to = c * f.across_apart + k * f.along_apart,
          .to_apart = terms * f.along_apart};
}

template <class S, class T>
__device__ Copied<T> copied_left(const Product<T>& p, std::int64_t i0, std::int64_t k0) {
  if constexpr (S::along)
    return copied_along<S>(Factor<T>{p.l, p.row_step, p.rows, 1, S::left_step}, i0, k0);
  else
    return copied_across<S, S::tall>(Factor<T>{p.l, p.depth_step, p.rows, S::left_step, 1}, i0, k0);
}

template <class S, class T>
__device__ Copied<T> copied_right(const Product<T>& p, std::int64_t j0, std::int64_t k0) {
  const Factor<T> block{p.x, p.x_step, p.cols, S::wide, 1};
  return p.x_by_columns ? copied_along<S>(block, j0, k0) : copied_across<S, S::wide>(block, j0, k0);
}

template <class S, class T>
using OwnSums = T[S::own_rows][S::own_cols];

// Numbers that one instruction reads, or two.
template <class T, int count>
struct alignas(count * sizeof(T) < 16 ? count * sizeof(T) : 16) Vector {
  T of[count];
};
template <int count, class T>
__device__ const Vector<T, count>& vector_at(const T* first) {
  return *reinterpret_cast<const Vector<T, count>*>(first);
}

// The terms of one stage, in their order.
template <class S, class T>
__device__ void add_terms(const T* stage, int row, int col, OwnSums<S, T>& sums) {
  const T* const right = stage + S::left_size;
  constexpr int terms = S::along ? S::vector : 1;  // of K at a time
#pragma unroll 4
  for (int k = 0; k < S::deep; k += terms) {
    T left[S::own_rows][terms];
    if constexpr (S::along) {
#pragma unroll
      for (int i = 0; i < S::own_rows; ++i) {
        const auto line = vector_at<terms>(stage + (row + i * S::row_step) * S::left_step + k);
#pragma unroll
        for (int c = 0; c < terms; ++c) left[i][c] = line.of[c];
      }
    } else {
      const auto line = vector_at<S::own_rows>(stage + k * S::left_step + row);
#pragma unroll
      for (int i = 0; i < S::own_rows; ++i) left[i][0] = line.of[i];
    }
#pragma unroll
    for (int c = 0; c < terms; ++c) {
      const auto pair = vector_at<S::own_cols>(right + (k + c) * S::wide + col);
#pragma unroll
      for (int i = 0; i < S::own_rows; ++i)
#pragma unroll
        for (int j = 0; j < S::own_cols; ++j)
          sums[i][j] = fused(left[i][c], pair.of[j], sums[i][j]);
    }
  }
}

// One group of tall x wide results, from the group `first` of this call on. `sums` has the groups
// that end in it.
template <class T, int wide, bool along>
__device__ void multiply_group(const Product<T>& p, int first, T* sums) {
  using S = Tiles<T, wide, along>;
  T* const shared = shared_memory<T>();
  const auto across = static_cast<unsigned>(tiles_over(p.cols, wide)),
             down = static_cast<unsigned>(tiles_over(p.rows, S::tall));
  const unsigned tile = blockIdx.x % (across * down), number = blockIdx.x / (across * down);
  const std::int64_t i0 = std::int64_t{tile / across} * S::tall,
                     j0 = std::int64_t{tile % across} * wide;
  const std::int64_t start = (p.before / group_terms + first + number) * group_terms,
                     from = start < p.before ? 0 : start - p.before,
                     to = smaller(start + group_terms - p.before, p.depth);
  constexpr int across_tile = wide / S::own_cols;
  const int thread = static_cast<int>(threadIdx.x),
            row = thread / across_tile * (along ? 1 : S::own_rows),
            col = thread % across_tile * S::own_cols;
  const auto own = [&](auto&& act) {
#pragma unroll
    for (int i = 0; i < S::own_rows; ++i)
#pragma unroll
      for (int j = 0; j < S::own_cols; ++j)
        if (const std::int64_t r = i0 + row + i * S::row_step, c = j0 + col + j;
            r < p.rows && c < p.cols)
          act(i, j, r * p.cols + c);
  };

  const Copied<T> left = copied_left<S>(p, i0, from), right = copied_right<S>(p, j0, from);
  const int count = static_cast<int>(tiles_over(to - from, S::deep));
  const auto load = [&](int at) {
    if (at < count) {
      T* const stage = shared + at % S::stages * S::size;
      const std::int64_t terms = to - from - at * S::deep;
      left.template load<S::tall * S::deep / S::threads>(stage, at, terms);
      right.template load<S::deep * wide / S::threads>(stage + S::left_size, at, terms);
    }
    end_group_of_copies();
  };
  for (int at = 0; at < S::stages - 1; ++at) load(at);
  OwnSums<S, T> chain = {}, group = {};
  if (start < p.before) own([&](int i, int j, std::int64_t at) { group[i][j] = p.group[at]; });
#pragma unroll 1
  for (int at = 0; at < count; ++at) {
    wait_for_copies<S::stages - 2>();
    __syncthreads();
    load(at + S::stages - 1);
    add_terms<S>(shared + at % S::stages * S::size, row, col, chain);
    const std::int64_t seen = smaller(p.before + from + (at + 1) * S::deep, p.all);
    if (seen % product_chain != 0 && seen != p.all) continue;
#pragma unroll
    for (int i = 0; i < S::own_rows; ++i)
#pragma unroll
      for (int j = 0; j < S::own_cols; ++j) group[i][j] += chain[i][j], chain[i][j] = 0;
  }
  const std::int64_t seen = p.before + to;
  T* const out =
      seen % group_terms == 0 || seen == p.all ? sums + number * p.rows * p.cols : p.unfinished;
  own([&](int i, int j, std::int64_t at) { out[at] = group[i][j]; });
}

template <class T, int wide, bool along>
cudaError_t start_groups(const Product<T>& p, int first, std::int64_t count, T* sums,
                         cudaStream_t stream) {
  using S = Tiles<T, wide, along>;
  const std::int64_t blocks = tiles_over(p.rows, S::tall) * tiles_over(p.cols, wide) * count;
  const Grid grid{static_cast<unsigned>(blocks), S::threads, S::stages * S::size * sizeof(T)};
  return launch<multiply_group<T, wide, along>, S::threads>(grid, stream, p, first, sums);
}

}  // namespace

template <class T>
cudaError_t multiply(const Product<T>& product, T* workspace, cudaStream_t stream) {
  const GroupSums<T> sums{.size = product.rows * product.cols,
                          .all = product.all,
                          .z = product.z,
                          .levels = product.levels};
  const auto start = [&](int first, std::int64_t count, T* to) {
    const bool along = product.depth_step == 1;
    if (product.cols <= 16)
      return along ? start_groups<T, 16, true>(product, first, count, to, stream)
                   : start_groups<T, 16, false>(product, first, count, to, stream);
    return along ? start_groups<T, 32, true>(product, first, count, to, stream)
                 : start_groups<T, 32, false>(product, first, count, to, stream);
  };
  return multiply_in_groups(product.groups(), workspace, sums, stream, start);
}

template cudaError_t multiply(const Product<float>&, float*, cudaStream_t);
template cudaError_t multiply(const Product<double>&, double*, cudaStream_t);

}  // namespace sigmascope::device
