// SPDX-License-Identifier: BSD-3-Clause
// A small dense matrix on the host, fp64, column-major: everything of size block x block or basis x
// basis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "matrix/sizes.hpp"
#include "storage/memory.hpp"

namespace sigmascope {

struct Small {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double, MemoryAllocator<double>> values;

  Small() = default;
  Small(std::int64_t m, std::int64_t n) : rows(m), cols(n), values(as_size(m * n), 0.0) {}

  double& operator()(std::int64_t i, std::int64_t j) { return values[as_size(i + j * rows)]; }
  double operator()(std::int64_t i, std::int64_t j) const { return values[as_size(i + j * rows)]; }
  double* data() { return values.data(); }
  const double* data() const { return values.data(); }

  static Small identity(std::int64_t n) {
    Small eye(n, n);
    for (std::int64_t i = 0; i < n; ++i) eye(i, i) = 1.0;
    return eye;
  }

  // Rows [i0, i1) of columns [j0, j1).
  Small part(std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) const {
    Small piece(i1 - i0, j1 - j0);
    for (std::int64_t j = j0; j < j1; ++j)
      for (std::int64_t i = i0; i < i1; ++i) piece(i - i0, j - j0) = (*this)(i, j);
    return piece;
  }

  void keep_columns(std::int64_t count) {  // the first ones
    cols = count;
    values.resize(as_size(rows * count));
  }

  void set_part(std::int64_t i0, std::int64_t j0, const Small& piece) {
    for (std::int64_t j = 0; j < piece.cols; ++j)
      for (std::int64_t i = 0; i < piece.rows; ++i) (*this)(i0 + i, j0 + j) = piece(i, j);
  }

  Small transposed() const {
    Small flipped(cols, rows);
    for (std::int64_t j = 0; j < cols; ++j)
      for (std::int64_t i = 0; i < rows; ++i) flipped(j, i) = (*this)(i, j);
    return flipped;
  }
};

// The precision of the large products in a Gram matrix, or in the reduction of one to its
// eigenvalues. full: fp64. fast: fp32 or bf16, if the numbers are such.
enum class GramProducts { full, fast };

// Eigenvalues of a symmetric matrix, and vectors of theirs.
struct EigenPairs {
  std::vector<double> values;
  Small vectors;  // columns
};

// The lower triangle of A^T A. Errors are standard deviations of the errors of its elements, beyond
// rounding in fp64.
struct Gram {
  Small values;
  double error = 0;                        // an estimate
  double reduction_error = 0;              // what finding the eigenvalues in fp32 would add
  double typical = 0, heaviest = 0;        // diagonal elements: errors grow with them
  double largest = 0;                      // a lower bound on the largest eigenvalue
  bool doubtful = false;                   // the estimates may be far off
  std::string_view precision = "float64";  // of the products
};

}  // namespace sigmascope
