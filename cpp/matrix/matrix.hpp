// SPDX-License-Identifier: BSD-3-Clause
// A matrix is a shape and a list of tiles that add up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "matrix/dtype.hpp"
#include "matrix/encoding.hpp"
#include "matrix/sizes.hpp"
#include "matrix/sparse.hpp"
#include "storage/bytes.hpp"

namespace sigmascope {

// Stored scales: element (i, j) of the unsliced tensor is multiplied by values[i/block_rows,
// j/block_cols]. Scales per tensor, per row, per column and per block differ in their block sizes.
// The values are shared: a transposed tile has its strides exchanged.
struct Scale {
  std::shared_ptr<const std::vector<float>> values;
  std::int64_t block_rows = 1;
  std::int64_t block_cols = 1;
  std::int64_t row_stride = 1;  // in values
  std::int64_t col_stride = 1;

  float at(std::int64_t i, std::int64_t j) const {
    return (*values)[as_size(i / block_rows * row_stride + j / block_cols * col_stride)];
  }
};

// rows x cols numbers in `bytes`: element (i, j) starts at origin + i*row_stride + j*col_stride
// bytes (of any sign). A transposed tile has its strides exchanged. Origin and strides of a packed
// dtype count elements, which share bytes in files and have a byte each in memory, so that any
// slice is a tile. Those of an encoded tile are of the decoded matrix, in C order as fp32.
struct Tile {
  Bytes bytes;
  DType dtype = DType::f32;
  std::shared_ptr<const Encoding>
      encoding;  // of bytes in a file, then the dtype is f32; null: none
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t origin = 0;
  std::int64_t row_stride = 0;
  std::int64_t col_stride = 0;
  std::int64_t row0 = 0;  // place in the matrix
  std::int64_t col0 = 0;
  double coefficient = 1.0;
  std::shared_ptr<const Scale> scale;  // null: none
  std::int64_t scale_row0 = 0;         // place of (0, 0) in the unsliced tensor
  std::int64_t scale_col0 = 0;
  std::int64_t scale_row_step = 1;  // rows of the unsliced tensor from one row to the next
  std::int64_t scale_col_step = 1;
  // A bf16 tile that holds the rounding error of the tiles before it.
  bool remainder = false;

  bool column_major() const {
    return row_stride == info(dtype).size && col_stride != info(dtype).size;
  }
  // Bytes in memory. Along an axis of stride 0 every element is the same.
  std::int64_t stored_bytes() const {
    constexpr std::int64_t one = 1;
    return (row_stride == 0 ? std::min(rows, one) : rows) *
           (col_stride == 0 ? std::min(cols, one) : cols) * info(dtype).size;
  }
};

struct Matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<Tile> tiles;

  Matrix transposed() const;
  // Every row_step-th row of [i0, i1), every col_step-th column of [j0, j1).
  Matrix slice(std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1,
               std::int64_t row_step = 1, std::int64_t col_step = 1) const;
  Matrix scaled(double factor) const;
  // This matrix with another's tiles laid over it, (0, 0) of the other at (row0, col0). Throws
  // OtherDevice unless both are on the host, or on the same device.
  void add(const Matrix& other, std::int64_t row0, std::int64_t col0);

  std::int64_t stored_bytes() const;
  // Bytes in memory of scales, and of the parameters of encodings; shared ones count once.
  std::int64_t parameter_bytes() const;
  bool in_memory() const;
  int device() const;  // of all tiles; or on_host
  bool mostly_column_major() const;
  bool has_f64() const;
  double layers() const;  // tiles over an element, on average; more than one: a sum
  // Throws ChangedFile if a mapped file of a tile has changed since it was opened, after its
  // numbers were used. Reads of other files notice that themselves.
  void check_mappings() const;
  // Makes reads of its sources in other threads end soon, with an exception.
  void stop_reading() const;
  // Every file tile read into memory once.
  Matrix loaded() const;
  // A copy of every tile that is in the memory of the host; tiles in files are shared.
  Matrix copied() const;
};

// Rows [i0, i0 + rows) x columns [j0, j0 + cols) of a file tile, read into memory: at most twice
// their bytes, but for what lies between the elements of a slice with steps. Packed elements get a
// byte each; encoded ones are decoded.
struct Rectangle {
  Buffer buffer;  // element (i0, j0) first
  std::int64_t row_stride, col_stride;
};
Rectangle read_rectangle(const Tile& tile, std::int64_t i0, std::int64_t j0, std::int64_t rows,
                         std::int64_t cols);

// op(A) = factor * A or its transpose. With a remainder, which only products by tiles take, A is
// the matrix rounded to bf16 plus the remainder.
struct MatrixView {
  const Matrix* matrix;
  bool transposed = false;
  double factor = 1.0;
  const Sparse* remainder = nullptr;

  std::int64_t rows() const { return transposed ? matrix->cols : matrix->rows; }
  std::int64_t cols() const { return transposed ? matrix->rows : matrix->cols; }
};

}  // namespace sigmascope
