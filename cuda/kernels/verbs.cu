// SPDX-License-Identifier: BSD-3-Clause
// Inner products and linear combinations of blocks, with the bits of CpuBackend.
#include "kernels/launches.cuh"
#include "kernels/verbs.hpp"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// Threads of a block have a square of results, and columns of it in shared memory.
constexpr int side = 16;

// Column `column` of a row of blocks: its first number, and the step from row to row; null beyond.
template <class T>
struct Column {
  const T* data;
  std::int64_t step;
};
template <class T>
__device__ Column<T> column_of(const Row<T>& xs, std::int64_t column) {
  for (int block = 0; block < xs.count; ++block) {
    const std::int64_t width = xs.cols[block];
    if (column < width) return {xs.data[block] + column, width};
    column -= width;
  }
  return {nullptr, 0};
}

// Sums over one part of 1024 rows, for side x side results.
template <class T>
__device__ void inner_parts(const Row<T>& xs, const T* y, std::int64_t rows, std::int64_t cols,
                            double* partial) {
  T* lefts = shared_memory<T>();  // inner_chain x side
  T* rights = lefts + inner_chain * side;
  const std::int64_t across = tiles_over(cols, side), down = tiles_over(xs.all, side);
  const std::int64_t tile = blockIdx.x % (across * down), part = blockIdx.x / (across * down);
  const int ti = static_cast<int>(threadIdx.x) / side, tj = static_cast<int>(threadIdx.x) % side;
  const std::int64_t i0 = tile / across * side, j0 = tile % across * side;
  const Column<T> left = column_of(xs, i0 + tj);  // that this thread loads
  double total = 0;
  const std::int64_t end = smaller(rows, (part + 1) * inner_rows);
  for (std::int64_t r0 = part * inner_rows; r0 < end; r0 += inner_chain) {
    for (int r = ti; r < inner_chain; r += side) {
      const std::int64_t row = r0 + r;
      const bool inside = row < end;
      lefts[r * side + tj] = inside && left.data != nullptr ? left.data[row * left.step] : T(0);
      rights[r * side + tj] = inside && j0 + tj < cols ? y[row * cols + j0 + tj] : T(0);
    }
    __syncthreads();
    T sum = 0;
    for (int r = 0; r < inner_chain; ++r)
      sum = fused(lefts[r * side + ti], rights[r * side + tj], sum);
    total += static_cast<double>(sum);
    __syncthreads();
  }
  if (i0 + ti < xs.all && j0 + tj < cols)
    partial[(part * xs.all + i0 + ti) * cols + j0 + tj] = total;
}

// In the order of the CPU: `parts_together` parts one after the other, their sums as a tree.
__device__ void sum_parts(double* partial, std::int64_t size, std::int64_t parts, double* sums) {
  for (std::int64_t e = first_element(); e < size; e += element_step()) {
    for (std::int64_t part = 0; part < parts; ++part)
      if (part % parts_together != 0)
        partial[part / parts_together * parts_together * size + e] += partial[part * size + e];
    for (std::int64_t step = parts_together; step < parts; step *= 2)
      for (std::int64_t part = 0; part + step < parts; part += 2 * step)
        partial[part * size + e] += partial[(part + step) * size + e];
    sums[e] = parts > 0 ? partial[e] : 0;
  }
}

// side x side results, each a chain over the columns of all blocks.
template <class T>
__device__ void combine_rows(T* y, std::int64_t rows, std::int64_t cols, const Row<T>& xs,
                             const T* c) {
  T* lefts = shared_memory<T>();  // side x side: rows, columns of xs
  T* rights = lefts + side * side;
  const std::int64_t across = tiles_over(cols, side);
  const int ti = static_cast<int>(threadIdx.x) / side, tj = static_cast<int>(threadIdx.x) % side;
  const std::int64_t i = blockIdx.x / across * side + ti, j = blockIdx.x % across * side + tj;
  const bool inside = i < rows && j < cols;
  T sum = inside ? y[i * cols + j] : T(0);
  for (std::int64_t k0 = 0; k0 < xs.all; k0 += side) {
    const Column<T> left = column_of(xs, k0 + tj);
    lefts[ti * side + tj] = i < rows && left.data != nullptr ? left.data[i * left.step] : T(0);
    rights[ti * side + tj] = k0 + ti < xs.all && j < cols ? c[(k0 + ti) * cols + j] : T(0);
    __syncthreads();
    const int here = static_cast<int>(smaller(side, xs.all - k0));
    for (int k = 0; k < here; ++k) sum = fused(lefts[ti * side + k], rights[k * side + tj], sum);
    __syncthreads();
  }
  if (inside) y[i * cols + j] = sum;
}

}  // namespace

template <class T>
cudaError_t inner(const Row<T>& xs, BlockView<const T> y, double* partial, double* sums,
                  cudaStream_t stream) {
  const std::int64_t size = xs.all * y.cols, parts = tiles_over(y.rows, inner_rows);
  if (size == 0) return cudaSuccess;
  const std::int64_t blocks = tiles_over(xs.all, side) * tiles_over(y.cols, side) * parts;
  if (blocks > 0) {
    const Grid grid{static_cast<unsigned>(blocks), side * side, 2 * inner_chain * side * sizeof(T)};
    const cudaError_t error =
        launch<inner_parts<T>, side * side>(grid, stream, xs, y.data, y.rows, y.cols, partial);
    if (error != cudaSuccess) return error;
  }
  return launch<sum_parts, usual_threads>(grid_over(size), stream, partial, size, parts, sums);
}

template <class T>
cudaError_t combine(BlockView<T> y, const Row<T>& xs, const T* c, cudaStream_t stream) {
  const std::int64_t blocks = tiles_over(y.rows, side) * tiles_over(y.cols, side);
  if (blocks == 0 || xs.all == 0) return cudaSuccess;
  const Grid grid{static_cast<unsigned>(blocks), side * side, 2 * side * side * sizeof(T)};
  return launch<combine_rows<T>, side * side>(grid, stream, y.data, y.rows, y.cols, xs, c);
}

template cudaError_t inner(const Row<float>&, BlockView<const float>, double*, double*,
                           cudaStream_t);
template cudaError_t inner(const Row<double>&, BlockView<const double>, double*, double*,
                           cudaStream_t);
template cudaError_t combine(BlockView<float>, const Row<float>&, const float*, cudaStream_t);
template cudaError_t combine(BlockView<double>, const Row<double>&, const double*, cudaStream_t);

}  // namespace sigmascope::device
