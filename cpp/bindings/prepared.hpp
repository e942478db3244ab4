// SPDX-License-Identifier: BSD-3-Clause
// What every algorithm starts with: read what fits into memory, look at every element once (norm, largest, NaN), scale
// by a power of two so that nothing overflows, iterate on the smaller side.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "algorithms/matrix_operator.hpp"
#include "bindings/bindings.hpp"

namespace sigmascope {

inline void require_finite(const ElementSurvey& seen) {
  if (seen.nans + seen.infinities == 0) return;
  throw NonFinite("the matrix holds " + std::to_string(seen.nans) + " NaN and " + std::to_string(seen.infinities) +
                  " infinite entries, the first at (" + std::to_string(seen.first_row) + ", " +
                  std::to_string(seen.first_col) + ")");
}

// In memory, if its stored bytes are no more than `most`.
inline Matrix held(const Matrix& source, std::int64_t most) {
  py::gil_scoped_release release;
  return !source.in_memory() && source.stored_bytes() <= most ? source.loaded() : source;
}

// What is known of the operator of an algorithm, whoever makes its products.
struct Problem {
  bool flipped = false;    // the operator is the transpose of the caller's matrix
  double factor = 1.0;     // a power of two: the largest entry becomes at most 1
  double fro2 = 0.0;       // of the scaled matrix
  std::int64_t looks = 1;  // at every element, before the products

  std::vector<double> unscaled(std::vector<double> values) const {
    for (double& value : values) value /= factor;
    return values;
  }
};

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
      : Problem{.flipped = source.rows < source.cols},
        matrix(held(source, options.load_bytes)),
        backend(cpu_options(options)) {
    py::gil_scoped_release release;
    ElementSurvey seen;
    if (options.fro2) {
      --looks;
      seen.largest = std::sqrt(*options.fro2);  // at most
      seen.row_squares = {*options.fro2};
    } else {
      seen = backend.survey(matrix, rounded_copy && !matrix.mostly_column_major());
    }
    require_finite(seen);
    if (seen.largest > 0) {
      int exponent = 0;
      std::frexp(seen.largest, &exponent);
      factor = std::ldexp(1.0, -exponent);
    }
    fro2 = 0;
    for (const double square : seen.row_squares) fro2 += square * factor * factor;
    if (!std::isfinite(fro2)) throw std::overflow_error("the squares of the entries overflow double precision");
    bool transposed = flipped;
    if (matrix.mostly_column_major()) {
      matrix = matrix.transposed();
      transposed = !transposed;
    }
    // In the range where rounding to bf16 commutes with the power of two, see Bf16Panels.
    const bool in_blocks = std::abs(std::log2(factor)) < 60;
    if (rounded_copy && in_blocks) rounded = seen.rounded ? std::move(*seen.rounded) : backend.rounded(matrix);
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
