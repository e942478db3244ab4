// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/bytes.hpp"
#include "kernels/codes.cuh"
#include "kernels/decode.hpp"
#include "kernels/launches.cuh"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// Where a piece goes: panel rows [from, to) are written, and the piece is added to the others.
template <class T>
struct Target {
  T* numbers;
  std::int64_t step;
  std::int64_t from, to;

  __device__ bool adds(std::int64_t row) const { return row < from || row >= to; }
};

// See of_usual_size in kernels/blocks/decode_panel.hpp.
__host__ __device__ inline bool of_usual_size(double coefficient) {
  return fabs(coefficient) <= 0x1p60 && fabs(coefficient) >= 0x1p-60;
}

__device__ inline const float* row_of_scales(const StoredPiece& piece, std::int64_t i) {
  if (piece.scales == nullptr) return nullptr;
  return piece.scales + quotient(piece.scale_row0 + i * piece.scale_row_step, piece.block_rows) *
                            piece.scale_row_stride;
}
__device__ inline double scaled(double coefficient, const StoredPiece& piece, const float* scales,
                                std::int64_t j) {
  if (scales == nullptr) return coefficient;
  return coefficient *
         static_cast<double>(
             scales[quotient(piece.scale_col0 + j * piece.scale_col_step, piece.block_cols) *
                    piece.scale_col_stride]);
}

// In T, or in fp64 if a factor may lie outside the range of fp32.
template <class T, class Number>
__device__ T product(double coefficient, Number number) {
  if (std::is_same_v<T, double> || of_usual_size(coefficient))
    return static_cast<T>(coefficient) * static_cast<T>(number);
  return static_cast<T>(coefficient * static_cast<double>(number));
}
template <class T, class Number>
__device__ T added(double coefficient, Number number, T sum) {
  if (std::is_same_v<T, double> || of_usual_size(coefficient))
    return fused(static_cast<T>(coefficient), static_cast<T>(number), sum);
  return sum + product<T>(coefficient, number);
}

// A block of threads decodes tiles of 1024 elements: `along` threads follow each other in a row,
// each of which has `in_row` elements.
constexpr int in_row = 4;

template <DType dtype, class T>
__device__ void decode_rows(StoredPiece piece, double coefficient, Target<T> target, int along) {
  const int thread = static_cast<int>(threadIdx.x), tall = static_cast<int>(usual_threads) / along;
  const std::int64_t wide = along * in_row, across = tiles_over(piece.cols, wide),
                     tiles = across * tiles_over(piece.rows, tall);
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const std::int64_t down = quotient(tile, across), i = down * tall + thread / along,
                       first = (tile - down * across) * wide;
    if (i >= piece.rows) continue;
    const std::byte* codes = piece.data + i * piece.row_stride;
    const float* scales = row_of_scales(piece, i);
    const bool adds = target.adds(piece.row0 + i);
    T* row = target.numbers + (piece.row0 + i) * target.step + piece.col0;
    const std::int64_t end = smaller(piece.cols, first + wide);
    for (std::int64_t j = first + thread % along; j < end; j += along) {
      const double factor = scaled(coefficient, piece, scales, j);
      const auto number = number_at<dtype>(codes + j * piece.col_stride);
      row[j] = adds ? added(factor, number, row[j]) : product<T>(factor, number);
    }
  }
}

// A block of threads decodes squares, whose products pass through shared memory: threads that
// follow each other read along a column and write along a row.
constexpr int square = 32, square_step = square + 1;

template <DType dtype, class T>
__device__ void decode_columns(StoredPiece piece, double coefficient, Target<T> target) {
  T* products = shared_memory<T>();  // square x square_step, by columns
  const int inner = static_cast<int>(threadIdx.x) % square,
            outer = static_cast<int>(threadIdx.x) / square,
            apart = static_cast<int>(usual_threads) / square;
  const std::int64_t across = tiles_over(piece.cols, square),
                     tiles = across * tiles_over(piece.rows, square);
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const std::int64_t down = quotient(tile, across), i0 = down * square,
                       j0 = (tile - down * across) * square;
    if (const std::int64_t i = i0 + inner; i < piece.rows) {
      const float* scales = row_of_scales(piece, i);
      for (int k = outer; k < square && j0 + k < piece.cols; k += apart)
        products[k * square_step + inner] = product<T>(
            scaled(coefficient, piece, scales, j0 + k),
            number_at<dtype>(piece.data + i * piece.row_stride + (j0 + k) * piece.col_stride));
    }
    __syncthreads();
    if (const std::int64_t j = j0 + inner; j < piece.cols)
      for (int k = outer; k < square && i0 + k < piece.rows; k += apart) {
        T& number = target.numbers[(piece.row0 + i0 + k) * target.step + piece.col0 + j];
        const T made = products[inner * square_step + k];
        number = target.adds(piece.row0 + i0 + k) ? number + made : made;
      }
    __syncthreads();
  }
}

template <class T>
__device__ void scale_sums(const double* sums, std::int64_t count, double factor, T* out) {
  for (std::int64_t e = first_element(); e < count; e += element_step())
    out[e] = static_cast<T>(factor * sums[e]);
}

constexpr std::int64_t most = std::int64_t{1} << 32;

// Whether the tiles of a piece, and the places of its scales, are below 2^32.
bool fits(const StoredPiece& piece) {
  const auto below = [](std::int64_t first, std::int64_t step, std::int64_t count) {
    return first < most && count < most && first + (count - 1) * step < most;
  };
  return tiles_over(piece.rows, square) * tiles_over(piece.cols, square) < most &&
         below(piece.scale_row0, piece.scale_row_step, piece.rows) &&
         below(piece.scale_col0, piece.scale_col_step, piece.cols);
}

unsigned blocks_for(std::int64_t tiles) {
  return static_cast<unsigned>(std::min<std::int64_t>(tiles, 1 << 12));
}

template <DType dtype, class T>
cudaError_t launch_piece(const StoredPiece& piece, double coefficient, const Target<T>& target,
                         cudaStream_t stream) {
  if (piece.by_columns) {
    const std::int64_t tiles = tiles_over(piece.rows, square) * tiles_over(piece.cols, square);
    return launch<decode_columns<dtype, T>, usual_threads>(
        {blocks_for(tiles), usual_threads, square * square_step * sizeof(T)}, stream, piece,
        coefficient, target);
  }
  int along = 1;
  while (along < static_cast<int>(usual_threads) && along * in_row < piece.cols) along *= 2;
  const std::int64_t tiles = tiles_over(piece.cols, std::int64_t{along} * in_row) *
                             tiles_over(piece.rows, static_cast<int>(usual_threads) / along);
  return launch<decode_rows<dtype, T>, usual_threads>({blocks_for(tiles), usual_threads}, stream,
                                                      piece, coefficient, target, along);
}

template <class T>
cudaError_t decode_piece(const StoredPiece& piece, double factor, const Target<T>& target,
                         cudaStream_t stream) {
  if (piece.rows <= 0 || piece.cols <= 0) return cudaSuccess;
  if (!fits(piece)) return cudaErrorInvalidValue;
  const double coefficient = factor * piece.coefficient;
  StoredPiece divided = piece;  // no row or column is farther than this
  divided.block_rows = std::min(piece.block_rows, most - 1);
  divided.block_cols = std::min(piece.block_cols, most - 1);
  const auto as = [&]<DType dtype>() {
    return launch_piece<dtype>(divided, coefficient, target, stream);
  };
  switch (piece.dtype) {
    case DType::f64: return as.template operator()<DType::f64>();
    case DType::f32: return as.template operator()<DType::f32>();
    case DType::f16: return as.template operator()<DType::f16>();
    case DType::bf16: return as.template operator()<DType::bf16>();
    case DType::f8_e4m3: return as.template operator()<DType::f8_e4m3>();
    case DType::f8_e5m2: return as.template operator()<DType::f8_e5m2>();
    case DType::f4_e2m1: return as.template operator()<DType::f4_e2m1>();
  }
  return cudaErrorInvalidValue;
}

// The rows that the first of several pieces writes; to the others it is added, onto zeros, where -0
// becomes 0. The CPU decodes `at_once` rows at a time, and a piece writes if it covers all of them.
template <class T>
Target<T> first_target(const Decoding& decoding, std::int64_t at_once, T* out) {
  Target<T> target{out, decoding.cols, 0, 0};
  if (decoding.pieces.empty()) return target;
  const StoredPiece& first = decoding.pieces.front();
  if (first.col0 != 0 || first.cols != decoding.cols) return target;
  const std::int64_t end = first.row0 + first.rows,
                     from = tiles_over(first.row0, at_once) * at_once,
                     to = end == decoding.rows ? end : end / at_once * at_once;
  if (from < to) target.from = from, target.to = to;
  return target;
}

template <class T>
cudaError_t clear_rows(T* out, std::int64_t from, std::int64_t to, std::int64_t cols,
                       cudaStream_t stream) {
  if (from >= to) return cudaSuccess;
  return set_bytes(out + from * cols, 0, static_cast<std::size_t>((to - from) * cols) * sizeof(T),
                   stream);
}

template <class T>
cudaError_t decode_pieces(const Decoding& decoding, double factor, std::int64_t at_once, T* out,
                          cudaStream_t stream) {
  Target<T> target{out, decoding.cols, 0, decoding.rows};
  if (!decoding.covered_once) {
    target = first_target(decoding, at_once, out);
    cudaError_t error = clear_rows(out, 0, target.from, decoding.cols, stream);
    if (error == cudaSuccess)
      error = clear_rows(out, target.to, decoding.rows, decoding.cols, stream);
    if (error != cudaSuccess) return error;
  }
  for (const StoredPiece& piece : decoding.pieces) {
    const cudaError_t error = decode_piece(piece, factor, target, stream);
    if (error != cudaSuccess) return error;
    if (!decoding.covered_once) target.from = target.to = 0;
  }
  return cudaSuccess;
}

// See decode_panel in kernels/blocks/decode_panel.hpp.
template <class T>
std::int64_t rows_at_once(const Decoding& decoding) {
  constexpr std::int64_t summed_bytes = std::int64_t{24} << 10;
  const auto by_columns = [](const StoredPiece& piece) { return piece.by_columns; };
  if (std::any_of(decoding.pieces.begin(), decoding.pieces.end(), by_columns)) return decoding.rows;
  const std::int64_t row_bytes = decoding.cols * static_cast<std::int64_t>(sizeof(T));
  return std::min(decoding.rows, std::max<std::int64_t>(summed_bytes / row_bytes, 1));
}

bool sums_first(const Decoding& decoding) {
  return !decoding.covered_once && !of_usual_size(decoding.factor);
}

}  // namespace

template <class T>
std::int64_t Decoding::workspace() const {
  return sums_first(*this) && !std::is_same_v<T, double> ? rows * cols : 0;
}

template <class T>
cudaError_t decode(const Decoding& decoding, T* out, double* workspace, cudaStream_t stream) {
  if (decoding.rows <= 0 || decoding.cols <= 0) return cudaSuccess;
  if (!sums_first(decoding))
    return decode_pieces(decoding, decoding.factor, rows_at_once<T>(decoding), out, stream);
  double* sums = workspace;
  if constexpr (std::is_same_v<T, double>) sums = out;
  const cudaError_t error = decode_pieces(decoding, 1.0, 1, sums, stream);
  if (error != cudaSuccess) return error;
  const std::int64_t count = decoding.rows * decoding.cols;
  return launch<scale_sums<T>, usual_threads>(grid_over(count), stream, sums, count,
                                              decoding.factor, out);
}

template std::int64_t Decoding::workspace<float>() const;
template std::int64_t Decoding::workspace<double>() const;
template cudaError_t decode(const Decoding&, float*, double*, cudaStream_t);
template cudaError_t decode(const Decoding&, double*, double*, cudaStream_t);

}  // namespace sigmascope::device
