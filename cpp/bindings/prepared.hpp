// SPDX-License-Identifier: BSD-3-Clause
// Preparation of a matrix for an algorithm: load it into memory if it fits, survey every element
// once (norm, largest entry, NaN), scale it by a power of two so that nothing overflows, and take
// its transpose if that is taller.
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
#include "kernels/blocks/rounded_copy.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/elements/survey.hpp"
#include "kernels/elements/totals.hpp"
#include "kernels/panels/summed.hpp"

namespace sigmascope {

inline void require_finite(const ElementSurvey& seen) {
  if (seen.nans + seen.infinities == 0) return;
  throw NonFinite("the matrix holds " + std::to_string(seen.nans) + " NaN and " +
                  std::to_string(seen.infinities) + " infinite entries, the first at (" +
                  std::to_string(seen.first_row) + ", " + std::to_string(seen.first_col) + ")");
}

// The matrix in memory if its stored bytes are no more than `most`, otherwise as it is.
inline Matrix loaded_up_to(const Matrix& source, std::int64_t most) {
  py::gil_scoped_release release;
  return !source.in_memory() && source.stored_bytes() <= most ? source.loaded() : source;
}

// If the largest entry is within 2^+-200, squares of singular values and of norms are in the range
// of fp64.
inline constexpr int usual_exponent = 200;

// The exponent e for which the matrix times 2^-e has its largest entry in [1/2, 1). It is limited
// so that 2^-e, and each coefficient of a tile times 2^-e, is a normal number of fp64; entries
// within 2^24 of the ends of fp64's range are therefore scaled less.
inline int door_exponent(const Matrix& matrix, double largest) {
  constexpr int most = 1000;
  if (largest == 0) return 0;
  int exponent = 0, least = -most;
  std::frexp(largest, &exponent);
  for (const Tile& tile : matrix.tiles)
    if (tile.coefficient != 0) least = std::max(least, std::ilogb(tile.coefficient) + 1 - most);
  return std::min(std::max(exponent, least), most);
}

// Properties of the operator that an algorithm works on, which is the matrix times 2^-exponent.
// Scaling is exact in both directions. Singular values and norms are returned in units of 2^unit,
// their squares in units of 4^unit. The unit is 1 in the usual range; otherwise it is that of the
// operator, so that no square leaves the range of fp64.
struct Problem {
  bool flipped = false;           // the operator is the transpose of the caller's matrix
  int exponent = 0;               // the largest entry becomes at most 1
  double fro2 = 0.0;              // of the scaled matrix
  std::int64_t survey_reads = 1;  // reads of the matrix before the products
  std::uint64_t fingerprint = 0;  // of the matrix, or one that several matrices share
  bool norm_is_bound = false;     // fro2 is an upper bound
  ProductErrors product_errors = {};

  // The seed of the random numbers. It depends on the matrix, so that a matrix with a
  // direction orthogonal to them is hard to make.
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

// A survey by the processor. A device has its own, which may keep the matrix there for the passes
// that follow: `forget` says that there are none.
inline ElementSurvey surveyed_by(Cpu& cpu, const Matrix& matrix, SurveyCopy copy) {
  return survey(cpu, matrix, copy);
}
inline void forget(Cpu&, const Matrix&) {}
template <class T>
ElementSurvey surveyed_by(CpuBackend<T>& backend, const Matrix& matrix, SurveyCopy copy) {
  return survey(backend.cpu(), matrix, copy);
}
template <class T>
void forget(CpuBackend<T>&, const Matrix&) {}

// The sum of all squares, in units of 4^exponent. If they may have left the range, this takes a
// read of the scaled matrix.
template <class B>
double scaled_squares(B& backend, const Matrix& matrix, const ElementSurvey& seen, int exponent,
                      std::int64_t& survey_reads) {
  if (std::abs(exponent) <= usual_exponent)
    return std::ldexp(sum_of(seen.row_squares), -2 * exponent);
  ++survey_reads;
  const Matrix scaled = matrix.scaled(std::ldexp(1.0, -exponent));
  const ElementSurvey survey = surveyed_by(backend, scaled, SurveyCopy::none);
  forget(backend, scaled);
  return sum_of(survey.row_squares);
}

// A stored matrix ready for an algorithm on a backend, which is made of the options of the host and
// those of its device.
template <class B>
struct Prepared : Problem {
  using Backend = B;
  using T = typename B::Real;
  Matrix source;                  // as it was given, with its files
  Matrix matrix;                  // row-major if one of the matrix and its transpose is
  std::optional<Matrix> rounded;  // a copy in bf16
  Sparse remainder;               // of a sum of tiles: the part that bf16 cannot represent
  B backend;
  std::optional<MatrixOperator<B>> a;

  template <class... Device>
  Prepared(const Matrix& given, const RunOptions& options, bool rounded_copy,
           const Device&... device)
      : Problem{.flipped = given.rows < given.cols, .fingerprint = options.fingerprint.value_or(0)},
        source(given),
        matrix(loaded_up_to(source, options.load_bytes)),
        backend(cpu_options(options), device...) {
    py::gil_scoped_release release;
    ElementSurvey seen = surveyed(options, rounded_copy);
    // The scaled entries are too small for the sums of fourth powers in fp32.
    if (sizeof(T) == 4 && fro2 > 0 && fro2 < 0x1p-20)
      throw std::invalid_argument(
          "float32 blocks cannot hold a matrix whose largest entry is below 2^-1000; use "
          "precision='float64'");
    bool transposed = flipped;
    if (matrix.mostly_column_major()) {
      forget(backend, matrix);
      matrix = matrix.transposed();
      transposed = !transposed;
    }
    // In this range rounding to bf16 commutes with the power of two, see Bf16Panels.
    const bool in_bf16_range = std::abs(exponent) < 60;
    if (rounded_copy && in_bf16_range)
      rounded =
          seen.rounded ? std::move(*seen.rounded) : sigmascope::rounded(backend.cpu(), matrix);
    MatrixView view{&matrix, transposed, factor()};
    if (in_bf16_range && matrix.layers() > 1) view = summed(view, options);
    a.emplace(backend, view, rounded ? MatrixView{&*rounded, transposed, factor()} : view);
  }

 private:
  // Set exponent, norm and fingerprint, from a survey of every element unless they are known.
  ElementSurvey surveyed(const RunOptions& options, bool rounded_copy) {
    if (options.fro2 && options.fingerprint) {
      --survey_reads;
      exponent = door_exponent(matrix, std::sqrt(*options.fro2));  // an upper bound
      fro2 = std::ldexp(*options.fro2, -2 * exponent);
      return {};
    }
    const bool rounds = rounded_copy && !matrix.mostly_column_major();
    ElementSurvey seen = surveyed_by(backend, matrix, rounds ? SurveyCopy::bf16 : SurveyCopy::none);
    require_finite(seen);
    exponent = door_exponent(matrix, seen.largest);
    if (!options.fingerprint)
      fingerprint = sigmascope::fingerprint(backend.cpu().isa, seen.digest, seen.largest,
                                            matrix.rows, matrix.cols);
    fro2 = scaled_squares(backend, matrix, seen, exponent, survey_reads);
    return seen;
  }

  // A view of the sum of all tiles, computed once if there is memory for it.
  MatrixView summed(MatrixView view, const RunOptions& options) {
    Matrix sum;
    std::optional<MatrixView> prepared;
    if (options.separate && backend.splits(view))
      prepared = separated(backend.cpu(), view, options.gather ? SumCopy::memory : SumCopy::none,
                           sum, remainder);
    if (options.separate && !options.gather) ++survey_reads;
    if (!prepared && options.gather) prepared = gathered<T>(backend.cpu(), view, sum);
    if (prepared) view = *prepared;
    if (options.gather) {
      matrix = std::move(sum);  // the tiles are not needed any more
      view.matrix = &matrix;
    }
    return view;
  }
};

}  // namespace sigmascope
