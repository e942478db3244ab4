// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/launches.cuh"
#include "kernels/products.hpp"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// A block of threads has tall x wide results, a thread 4 x 2 of them. Tiles of both factors, `deep`
// along K, are in shared memory.
constexpr int tall = 64, wide = 32, deep = 32, tile_threads = 256;
constexpr int own_rows = 4, own_cols = 2;
constexpr int left_step =
    tall + 1;  // rows of the left tile, which is transposed while it is filled
static_assert(tall / own_rows * (wide / own_cols) == tile_threads);
static_assert(product_chain % deep == 0);
static_assert(block_terms % (product_chain * product_group) == 0);

template <class T>
__device__ void load_tiles(const Product<T>& p, std::int64_t i0, std::int64_t j0, std::int64_t k0,
                           T* left, T* right) {
  const int thread = static_cast<int>(threadIdx.x);
  const bool along = p.depth_step == 1;  // threads that follow each other read along K
  for (int e = thread; e < tall * deep; e += tile_threads) {
    const int i = along ? e / deep : e % tall, k = along ? e % deep : e / tall;
    const bool inside = i0 + i < p.rows && k0 + k < p.depth;
    left[k * left_step + i] = inside ? p.l[(i0 + i) * p.row_step + (k0 + k) * p.depth_step] : T(0);
  }
  for (int e = thread; e < deep * wide; e += tile_threads) {
    const int k = p.x_by_columns ? e % deep : e / wide, j = p.x_by_columns ? e / deep : e % wide;
    const bool inside = k0 + k < p.depth && j0 + j < p.cols;
    const std::int64_t at =
        p.x_by_columns ? k0 + k + (j0 + j) * p.x_step : (k0 + k) * p.x_step + j0 + j;
    right[k * wide + j] = inside ? p.x[at] : T(0);
  }
}

template <class T>
__device__ void multiply_tiles(const Product<T>& p) {
  T* left = shared_memory<T>();  // deep x left_step
  T* right = left + deep * left_step;
  const std::int64_t across = tiles_over(p.cols, wide);
  const std::int64_t i0 = blockIdx.x / across * tall, j0 = blockIdx.x % across * wide;
  const int ti = static_cast<int>(threadIdx.x) / (wide / own_cols) * own_rows,
            tj = static_cast<int>(threadIdx.x) % (wide / own_cols) * own_cols;
  T sums[own_rows][own_cols] = {}, group[own_rows][own_cols] = {}, total[own_rows][own_cols] = {};
  const auto own = [&](auto&& act) {
#pragma unroll
    for (int i = 0; i < own_rows; ++i)
#pragma unroll
      for (int j = 0; j < own_cols; ++j)
        if (i0 + ti + i < p.rows && j0 + tj + j < p.cols)
          act(i, j, (i0 + ti + i) * p.cols + j0 + tj + j);
  };
  if (p.before > 0)
    own([&](int i, int j, std::int64_t at) { total[i][j] = p.z[at], group[i][j] = p.kept[at]; });
  for (std::int64_t k0 = 0; k0 < p.depth; k0 += deep) {
    load_tiles(p, i0, j0, k0, left, right);
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < deep; ++k) {
#pragma unroll
      for (int i = 0; i < own_rows; ++i)
#pragma unroll
        for (int j = 0; j < own_cols; ++j)
          sums[i][j] = fused(left[k * left_step + ti + i], right[k * wide + tj + j], sums[i][j]);
    }
    __syncthreads();
    const std::int64_t seen = smaller(p.before + k0 + deep, p.all);
    if (seen % product_chain != 0 && seen != p.all) continue;
    const bool full = seen % (product_chain * product_group) == 0 || seen == p.all;
#pragma unroll
    for (int i = 0; i < own_rows; ++i)
#pragma unroll
      for (int j = 0; j < own_cols; ++j) {
        group[i][j] += sums[i][j], sums[i][j] = 0;
        if (full) total[i][j] += group[i][j], group[i][j] = 0;
      }
    if (p.all <= block_terms || (seen % block_terms != 0 && seen != p.all)) continue;
    T* levels = p.kept + p.rows * p.cols;
    const std::int64_t level =
        end_block((seen - 1) / block_terms, seen == p.all, [&](std::int64_t before) {
          const T* earlier = levels + before * p.rows * p.cols;
          own([&](int i, int j, std::int64_t at) { total[i][j] += earlier[at]; });
        });
    if (level < 0) continue;
    T* later = levels + level * p.rows * p.cols;
    own([&](int i, int j, std::int64_t at) { later[at] = total[i][j], total[i][j] = 0; });
  }
  own([&](int i, int j, std::int64_t at) {
    p.z[at] = total[i][j];
    if (p.kept != nullptr) p.kept[at] = group[i][j];
  });
}

}  // namespace

template <class T>
cudaError_t multiply(const Product<T>& product, cudaStream_t stream) {
  const std::int64_t blocks = tiles_over(product.rows, tall) * tiles_over(product.cols, wide);
  if (blocks == 0) return cudaSuccess;
  const Grid grid{static_cast<unsigned>(blocks), tile_threads,
                  deep * (left_step + wide) * sizeof(T)};
  return launch<multiply_tiles<T>, tile_threads>(grid, stream, product);
}

template cudaError_t multiply(const Product<float>&, cudaStream_t);
template cudaError_t multiply(const Product<double>&, cudaStream_t);

}  // namespace sigmascope::device
