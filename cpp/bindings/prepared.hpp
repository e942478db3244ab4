// SPDX-License-Identifier: BSD-3-Clause
// What every algorithm starts with: read what fits into memory, look at every element once (norm,
// largest, NaN), scale by a power of two so that nothing overflows, iterate on the smaller side.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "algorithms/matrix_operator.hpp"
#include "bindings/bindings.hpp"

namespace sigmascope {

inline void require_finite(const ElementSurvey& seen) {
  if (seen.nans + seen.infinities == 0) return;
  throw NonFinite("the matrix holds " + std::to_string(seen.nans) + " NaN and " +
                  std::to_string(seen.infinities) + " infinite entries, the first at (" +
                  std::to_string(seen.first_row) + ", " + std::to_string(seen.first_col) + ")");
}

// In memory, if its stored bytes are no more than `most`.
inline Matrix held(const Matrix& source, std::int64_t most) {
  py::gil_scoped_release release;
  return !source.in_memory() && source.stored_bytes() <= most ? source.loaded() : source;
}

// Where the largest entry is within 2^+-200, squares of singular values and of norms are numbers of
// fp64.
inline constexpr int usual_exponent = 200;

// The matrix times 2^-e has its largest entry in [1/2, 1): that e, but for entries within 2^24 of
// the ends of fp64's range, and none so far that a coefficient of a tile times 2^-e would be no
// number of fp64.
inline int door_exponent(const Matrix& matrix, double largest) {
  constexpr int most = 1000;
  if (largest == 0) return 0;
  int exponent = 0, least = -most;
  std::frexp(largest, &exponent);
  for (const Tile& tile : matrix.tiles)
    if (tile.coefficient != 0) least = std::max(least, std::ilogb(tile.coefficient) + 1 - most);
  return std::min(std::max(exponent, least), most);
}

// What is known of the operator of an algorithm, whoever makes its products: it is the matrix times
// 2^-exponent, which is exact, and so is the way back. Singular values and norms are returned in
// units of 2^unit, their squares in those of 4^unit: 1 in the usual range, else that of the
// operator, so that no square leaves the range.
struct Problem {
  bool flipped = false;           // the operator is the transpose of the caller's matrix
  int exponent = 0;               // the largest entry becomes at most 1
  double fro2 = 0.0;              // of the scaled matrix
  std::int64_t looks = 1;         // at every element, before the products
  std::uint64_t fingerprint = 0;  // of the matrix, or one that several share

  // The seed of random numbers: nobody makes a matrix with a direction orthogonal to those of its
  // own.
  std::uint64_t start(std::uint64_t seed) const { return start_of(fingerprint, seed); }

  double factor() const { return std::ldexp(1.0, -exponent); }
  int unit() const { return std::abs(exponent) > usual_exponent ? exponent : 0; }
  double in_units(double sigma) const { return std::ldexp(sigma, exponent - unit()); }
  double in_squared_units(double lambda) const {
    return std::ldexp(lambda, 2 * (exponent - unit()));
  }
  std::vector<double> in_units(std::vector<double> values) const {
    for (double& value : values) value = in_units(value);
    return values;
  }
};

inline double sum_of(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

// The sum of all squares in units of 4^exponent. Where they may have left the range, it takes a
// look at the scaled matrix.
template <class T>
double scaled_squares(CpuBackend<T>& backend, const Matrix& matrix, const ElementSurvey& seen,
                      int exponent, std::int64_t& looks) {
  if (std::abs(exponent) <= usual_exponent)
    return std::ldexp(sum_of(seen.row_squares), -2 * exponent);
  ++looks;
  return sum_of(backend.survey(matrix.scaled(std::ldexp(1.0, -exponent))).row_squares);
}

// A matrix ready for an algorithm: in memory if it may be, seen once, scaled, on its smaller side.
template <class T>
struct Prepared : Problem {
  using Backend = CpuBackend<T>;
  Matrix matrix;                  // row-major as far as it can be
  std::optional<Matrix> rounded;  // a copy in bf16
  Sparse beside;                  // what bf16 leaves of a sum of tiles
  CpuBackend<T> backend;
  std::optional<MatrixOperator<CpuBackend<T>>> a;

  Prepared(const Matrix& source, const RunOptions& options, bool rounded_copy = false)
      : Problem{.flipped = source.rows < source.cols,
                .fingerprint = options.fingerprint.value_or(0)},
        matrix(held(source, options.load_bytes)),
        backend(cpu_options(options)) {
    py::gil_scoped_release release;
    ElementSurvey seen;
    if (options.fro2 && options.fingerprint) {
      --looks;
      exponent = door_exponent(matrix, std::sqrt(*options.fro2));  // at most
      fro2 = std::ldexp(*options.fro2, -2 * exponent);
    } else {
      seen = backend.survey(matrix, rounded_copy && !matrix.mostly_column_major());
      require_finite(seen);
      exponent = door_exponent(matrix, seen.largest);
      if (!options.fingerprint)
        fingerprint = sigmascope::fingerprint(backend.isa(), seen.digest, seen.largest, matrix.rows,
                                              matrix.cols);
      fro2 = scaled_squares(backend, matrix, seen, exponent, looks);
    }
    const double factor = this->factor();
    // Beyond the door's reach, numbers are too small for the squares of squares that fp32 sums up.
    if (sizeof(T) == 4 && fro2 > 0 && fro2 < 0x1p-20)
      throw std::invalid_argument(
          "float32 blocks hold no matrix whose largest entry is below 2^-1000; "
          "precision='float64' does");
    bool transposed = flipped;
    if (matrix.mostly_column_major()) {
      matrix = matrix.transposed();
      transposed = !transposed;
    }
    // In the range where rounding to bf16 commutes with the power of two, see Bf16Panels.
    const bool in_blocks = std::abs(exponent) < 60;
    if (rounded_copy && in_blocks)
      rounded = seen.rounded ? std::move(*seen.rounded) : backend.rounded(matrix);
    MatrixView view{&matrix, transposed, factor};
    if (in_blocks && matrix.layers() > 1) {
      Matrix sum;
      std::optional<MatrixView> found;
      if (options.separate) found = backend.separated(view, options.gather, sum, beside);
      if (options.separate && !options.gather) ++looks;
      if (!found && options.gather) found = backend.gathered(view, sum);
      if (found) view = *found;
      if (options.gather) {
        matrix = std::move(sum);  // what was read for it is not needed any more
        view.matrix = &matrix;
      }
    }
    a.emplace(backend, view, rounded ? MatrixView{&*rounded, transposed, factor} : view);
  }
};

}  // namespace sigmascope
