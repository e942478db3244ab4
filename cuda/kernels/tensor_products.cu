// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/launches.cuh"
#include "kernels/tensor_products.hpp"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// A block of threads has tall results along the rows of L and `width` along the block's columns. A
// warp has 32 rows of them and at most 32 columns. Tiles of both factors, `deep` along K, pass
// through shared memory, several stages of them at a time; a chain is one tile deep.
constexpr int tall = 128, deep = 32, own_rows = 32, widest_warp = 32;
constexpr int in_lines = codes_at_once, mma_rows = 16, mma_cols = 8, mma_deep = 16;
static_assert(group_terms % deep == 0 && parts_rows == deep);

// `lefts`: parts of the numbers of L.
template <int width, int lefts>
struct Shape {
  static constexpr int own_cols = width < widest_warp ? width : widest_warp;
  static constexpr int warps_down = tall / own_rows, warps_across = width / own_cols;
  static constexpr int threads = 32 * warps_down * warps_across;
  static constexpr int row_tiles = own_rows / mma_rows, col_tiles = own_cols / mma_cols;
  static constexpr int left_size = lefts * tall * deep;
  static constexpr int stages = lefts == 2 || width == 64 ? 2 : width == 32 ? 3 : 4;
};

// Place of the 16 bytes `chunk` of a line in shared memory. They change places within a line from
// line to line, so that the eight lines that a warp reads at once are in different banks.
template <int chunks>
__device__ int swizzled(int line, int chunk) {
  constexpr int lines = chunks >= 8 ? 1 : 8 / chunks;  // that the banks hold at once
  constexpr int places = chunks >= 8 ? 8 : chunks;
  return (line * chunks + (chunk ^ (line / lines % places))) * in_lines;
}

// What a thread copies of every stage to shared memory: 16 bytes of lines that are `apart` from
// each other, of the tiles of L and of the block. From stage to stage its places go on by
// constants, and what is compared has 32 bits: the copies would else take more instructions than
// the products.
template <int width, bool transposed, int lefts>
class StageCopies {
 public:
  __device__ StageCopies(const TensorProduct& p, std::int64_t i0, std::int64_t j0,
                         std::int64_t from) {
    const int thread = static_cast<int>(threadIdx.x), line = thread / chunks,
              chunk = thread % chunks, right_line = thread / right_chunks,
              right_chunk = thread % right_chunks;
    const std::int64_t first = transposed ? from : i0, other = transposed ? i0 : from;
    left_at_ = (first + line) * p.step + other + chunk * in_lines;
    lines_ = bounded((transposed ? p.depth - from : p.rows - i0) - line);
    chunks_end_ = bounded((transposed ? p.rows - i0 : p.depth - from) - chunk * in_lines);
    left_to_ = swizzled<chunks>(line, chunk);
    right_at_ = (right_line / width * p.x.columns + j0 + right_line % width) * p.x.step + from +
                right_chunk * in_lines;
    right_to_ = Shape::left_size + swizzled<right_chunks>(right_line, right_chunk);
    right_inside_ = j0 + right_line % width < p.x.columns;
  }

  // The tiles of stage `at` of this group, on their way.
  __device__ void start(const TensorProduct& p, int at, std::uint16_t* stage) const {
    const std::int64_t left = left_at_ + at * (transposed ? deep * p.step : std::int64_t{deep});
    // Along K the stages go on: along the lines of a transposed L, else along their chunks.
    const int lines = transposed ? lines_ - at * deep : lines_,
              chunks_end = transposed ? chunks_end_ : chunks_end_ - at * deep;
#pragma unroll
    for (int part = 0; part < lefts; ++part)
#pragma unroll
      for (int c = 0; c < copies; ++c)
        copy(stage + part * tall * deep + left_to_ + c * apart * chunks * in_lines,
             (part == 0 ? p.l : p.rest) + left + c * apart * p.step,
             c * apart < lines && chunks_end > 0);
    const std::uint16_t* right = p.x.codes + right_at_ + at * deep;
    std::uint16_t* to = stage + right_to_;
    for (int line = static_cast<int>(threadIdx.x) / right_chunks; line < p.x.count * width;
         line += right_apart) {
      copy(to, right, right_inside_);
      right += right_apart / width * p.x.columns * p.x.step;
      to += right_apart * right_chunks * in_lines;
    }
  }

 private:
  using Shape = device::Shape<width, lefts>;
  // Lines of 16-byte chunks, and those that all threads copy at once.
  static constexpr int chunks = (transposed ? tall : deep) / in_lines,
                       right_chunks = deep / in_lines;
  static constexpr int apart = Shape::threads / chunks, right_apart = Shape::threads / right_chunks;
  static constexpr int copies = (transposed ? deep : tall) / apart;
  // Lines that are so far apart have their chunks in the same places.
  static_assert(apart % 8 == 0 && right_apart % 8 == 0 && right_apart % width == 0);

  static __device__ int bounded(std::int64_t number) {
    constexpr std::int64_t most = 1 << 30;
    return static_cast<int>(smaller(number, most));
  }

  static __device__ void copy(std::uint16_t* to, const std::uint16_t* from, bool inside) {
    if (inside) {
      copy_in_background<16>(to, from);
    } else {
#pragma unroll
      for (int c = 0; c < in_lines; ++c) to[c] = 0;
    }
  }

  std::int64_t left_at_, right_at_;
  int lines_, chunks_end_, left_to_, right_to_;
  bool right_inside_;
};

// The fragments of L of a warp: 16 rows from `row` on, 16 of K from `k` on.
template <bool transposed>
__device__ void load_left(Fragments& to, const std::uint16_t* tile, int row, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32, matrix = lane / 8, line = lane % 8;
  if (transposed)
    load_transposed_matrices(to, tile + swizzled<tall / in_lines>(k + matrix / 2 * 8 + line,
                                                                  row / in_lines + matrix % 2));
  else
    load_matrices(to, tile + swizzled<deep / in_lines>(row + matrix % 2 * 8 + line,
                                                       k / in_lines + matrix / 2));
}

template <class Shape>
using Sums = float[Shape::row_tiles][Shape::col_tiles][4];

// The chains of one stage: all parts of the block, and of each all parts of L, the smallest first.
template <int width, bool transposed, int lefts>
__device__ void add_chains(const std::uint16_t* stage, int parts, int row, int col,
                           Sums<Shape<width, lefts>>& group) {
  using S = Shape<width, lefts>;
  Fragments left[lefts][deep / mma_deep][S::row_tiles];
#pragma unroll
  for (int h = 0; h < lefts; ++h)
#pragma unroll
    for (int k = 0; k < deep / mma_deep; ++k)
#pragma unroll
      for (int i = 0; i < S::row_tiles; ++i)
        load_left<transposed>(left[h][k][i], stage + h * tall * deep, row + i * mma_rows,
                              k * mma_deep);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Sums<S> chains = {};
#pragma unroll 1  // else registers are spilled
  for (int part = parts - 1; part >= 0; --part) {
    const std::uint16_t* right = stage + S::left_size;
#pragma unroll
    for (int j = 0; j < S::col_tiles; ++j) {
      Fragments both;  // of a tile of 8 columns, over all of K
      const int line = part * width + col + j * mma_cols + lane % 8;
      load_matrices(both, right + swizzled<deep / in_lines>(line, lane / 8));
#pragma unroll
      for (int h = lefts - 1; h >= 0; --h)
#pragma unroll
        for (int k = 0; k < deep / mma_deep; ++k) {
          const MmaRight one = {both[2 * k], both[2 * k + 1]};
#pragma unroll
          for (int i = 0; i < S::row_tiles; ++i) mma_bf16(chains[i][j], left[h][k][i], one);
        }
    }
  }
#pragma unroll
  for (int i = 0; i < S::row_tiles; ++i)
#pragma unroll
    for (int j = 0; j < S::col_tiles; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) group[i][j][e] += chains[i][j][e];
}

// Calls act(number of the sum, its place in z) for every sum of this thread that is inside.
template <class S, class Act>
__device__ void each_sum(const TensorProduct& p, std::int64_t row, std::int64_t col,
                         const Act& act) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < S::row_tiles; ++i)
#pragma unroll
    for (int j = 0; j < S::col_tiles; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const std::int64_t r = row + i * mma_rows + lane / 4 + e / 2 * 8,
                           c = col + j * mma_cols + lane % 4 * 2 + e % 2;
        if (r < p.rows && c < p.x.cols) act(i, j, e, r * p.x.cols + c);
      }
}

// One group of chains of tall x width results, from the group `first` of this call on. `sums` has
// the groups that end in it.
template <int width, bool transposed, int lefts>
__device__ void multiply_group(const TensorProduct& p, int first, float* sums) {
  using S = Shape<width, lefts>;
  std::uint16_t* shared = shared_memory<std::uint16_t>();
  const auto across = static_cast<unsigned>(tiles_over(p.x.columns, width)),
             down = static_cast<unsigned>(tiles_over(p.rows, tall));
  const unsigned tile = blockIdx.x % (across * down), number = blockIdx.x / (across * down);
  const std::int64_t i0 = std::int64_t{tile / across} * tall,
                     j0 = std::int64_t{tile % across} * width;
  const std::int64_t start = (p.before / group_terms + first + number) * group_terms,
                     from = start < p.before ? 0 : start - p.before,
                     to = smaller(start + group_terms - p.before, p.depth);
  const int warp = static_cast<int>(threadIdx.x) / 32, row = warp % S::warps_down * own_rows,
            col = warp / S::warps_down * S::own_cols;
  const int size = S::left_size + p.x.count * width * deep;  // of a stage
  const int count = static_cast<int>(tiles_over(to - from, deep));

  const StageCopies<width, transposed, lefts> copies(p, i0, j0, from);
  const auto load = [&](int at) {
    if (at < count) copies.start(p, at, shared + at % S::stages * size);
    end_group_of_copies();
  };
  for (int at = 0; at < S::stages - 1; ++at) load(at);
  Sums<S> group = {};
  if (start < p.before)
    each_sum<S>(p, i0 + row, j0 + col,
                [&](int i, int j, int e, std::int64_t place) { group[i][j][e] = p.group[place]; });
#pragma unroll 1
  for (int at = 0; at < count; ++at) {
    wait_for_copies<S::stages - 2>();
    __syncthreads();
    load(at + S::stages - 1);
    __syncwarp();  // lanes may have gone several ways; fragments are loaded by all of them at once
    add_chains<width, transposed, lefts>(shared + at % S::stages * size, p.x.count, row, col,
                                         group);
  }
  const std::int64_t seen = p.before + to;
  float* out =
      seen % group_terms == 0 || seen == p.all ? sums + number * p.rows * p.x.cols : p.unfinished;
  each_sum<S>(p, i0 + row, j0 + col,
              [&](int i, int j, int e, std::int64_t place) { out[place] = group[i][j][e]; });
}

template <int width, int lefts>
cudaError_t multiply_groups(const TensorProduct& p, int first, std::int64_t count, float* sums,
                            cudaStream_t stream) {
  using S = Shape<width, lefts>;
  const std::int64_t blocks = tiles_over(p.x.columns, width) * tiles_over(p.rows, tall) * count;
  const auto stage = static_cast<std::size_t>(S::left_size + p.x.count * width * deep);
  const Grid grid{static_cast<unsigned>(blocks), S::threads,
                  S::stages * stage * sizeof(std::uint16_t)};
  return p.transposed
             ? launch<multiply_group<width, true, lefts>, S::threads>(grid, stream, p, first, sums)
             : launch<multiply_group<width, false, lefts>, S::threads>(grid, stream, p, first,
                                                                       sums);
}

cudaError_t multiply_groups(const TensorProduct& p, int first, std::int64_t count, float* sums,
                            cudaStream_t stream) {
  // Of 64 columns and two parts of L, shared memory would not hold two stages.
  if (p.rest != nullptr)
    return p.x.columns <= 16 ? multiply_groups<16, 2>(p, first, count, sums, stream)
                             : multiply_groups<32, 2>(p, first, count, sums, stream);
  if (p.x.columns <= 16) return multiply_groups<16, 1>(p, first, count, sums, stream);
  if (p.x.columns <= 32) return multiply_groups<32, 1>(p, first, count, sums, stream);
  return multiply_groups<64, 1>(p, first, count, sums, stream);
}

}  // namespace

cudaError_t multiply(const TensorProduct& product, float* workspace, cudaStream_t stream) {
  const GroupSums<float> sums{.size = product.rows * product.x.cols,
                              .all = product.all,
                              .z = product.z,
                              .levels = product.levels};
  const auto start = [&](int first, std::int64_t count, float* to) {
    return multiply_groups(product, first, count, to, stream);
  };
  return multiply_in_groups(product.groups(), workspace, sums, stream, start);
}

}  // namespace sigmascope::device
