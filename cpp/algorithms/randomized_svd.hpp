// SPDX-License-Identifier: BSD-3-Clause
// A rank-k approximation from p reads of A, and one more read that measures its errors.
//
// Sources: Halko, Martinsson & Tropp 2011, with all blocks in memory (Musco & Musco 2015).
// Deviations:
// 1. A is projected from the left. Each gram step computes Y = A X and Z = A^T Y, so that for
//    U = orth([Y_1 ... Y_p]) = Y R^+ the product A^T U = [Z_1 ... Z_p] R^+ needs no further read
//    (Yu, Gu, Li & Li 2017 for p = 1, where the classical method takes two reads).
// 2. R^+ magnifies rounding: a vector that is divided by r has an error of epsilon sigma_1^2 / r.
// So
//    A^T U only chooses right vectors where r is large, and R those of the rest. Values, left
//    vectors and residuals come from a product with A.
// Reads: p + 1, the last with b + `tests` columns. Memory: (m + n) p b numbers. Accuracy: the
// rounding floor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"
#include "algorithms/placement.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/start_bounds.hpp"
#include "algorithms/value_errors.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <Backend B>
struct LowRank {
  Triplets<B> triplets;
  std::vector<double> errors;  // bounds on |s_i - sigma_i|
  bool converged = false;      // exact to rounding
  bool contradicted = false;   // ||A||_F contradicts the random vectors
  std::int64_t columns = 0, steps = 0;
};

struct RandomizedOptions {
  std::int64_t k = 6;
  std::int64_t block = 16;
  std::int64_t passes = 5;
  std::uint64_t seed = 0;
  bool norm_is_bound = false;  // the ||A||_F^2 given is an upper bound
  ProductErrors product_errors = {};
};

// Number of random columns outside the basis, which measure what the basis has not captured (Halko,
// Martinsson & Tropp 2011, section 4.3).
inline constexpr std::int64_t tests = 10;

// [V next] [T; coupling]: A^T A V, in the coordinates of the space.
template <Backend B>
Small extended_projection(const KrylovSpace<B>& space) {
  const std::int64_t d = space.columns(), w = space.next_columns();
  Small extended(d + w, d);
  extended.set_part(0, 0, space.t());
  extended.set_part(d, 0, space.coupling());
  return extended;
}

// Right vectors in the coordinates of [V next], best first. The first are left singular vectors of
// A^T U for the directions U of A V that are clearly above rounding: the relative error of A^T U,
// epsilon (sigma_1 / r)^2, is at most epsilon^1/3 there. The others are right singular vectors of
// A V, which are half a step behind.
template <Backend B>
Small right_vectors(const KrylovSpace<B>& space, const Small& r, std::int64_t count) {
  const std::int64_t d = space.columns(), all = d + space.next_columns();
  const SmallSvd image = svd(r);
  std::int64_t clear = 0;
  while (clear < static_cast<std::int64_t>(image.s.size()) &&
         image.s[as_size(clear)] > std::cbrt(B::epsilon()) * image.s.front())
    ++clear;
  Small scaled = image.v.part(0, d, 0, clear);
  for (std::int64_t j = 0; j < clear; ++j)
    for (std::int64_t i = 0; i < d; ++i) scaled(i, j) /= image.s[as_size(j)];
  Small chosen(all, count);
  if (clear > 0) {
    const SmallSvd projected = svd(matmul(extended_projection(space), scaled));
    chosen.set_part(0, 0, projected.u.part(0, all, 0, std::min(clear, count)));
  }
  const Small rest = completed(image.v);  // R may have fewer rows than columns
  if (clear < count) chosen.set_part(0, clear, rest.part(0, d, clear, count));
  return chosen;
}

// The largest element of V^T V - I, for all blocks of a basis V.
template <Backend B>
double deviation_of(B& device, const std::vector<typename B::Block>& basis) {
  double most = 0;
  std::int64_t before = 0;
  for (const auto& block : basis) {
    const Small square = device.inner(std::span(basis), block);
    for (std::int64_t j = 0; j < square.cols; ++j)
      for (std::int64_t i = 0; i < square.rows; ++i)
        most = std::max(most, std::abs(square(i, j) - (i == before + j ? 1.0 : 0.0)));
    before += block.cols;
  }
  return most;
}

// Upper bound for the part of ||A||_F^2 outside the vectors that A was multiplied with. ||A||_F^2
// itself has a rounding error.
template <Backend B>
double remainder(double fro2, double captured) {
  return std::max(fro2 - captured, 0.0) + 64 * B::epsilon() * fro2;
}

template <Backend B, LinearOperator A>
class RandomizedSvd {
  using Block = typename B::Block;

 public:
  RandomizedSvd(B& device, A& a, double fro2, const RandomizedOptions& options)
      : device_(device),
        a_(a),
        fro2_(fro2),
        options_(options),
        space_(device, a.cols(), std::min(options.block, a.cols()), options.seed) {}

  LowRank<B> run() {
    LowRank<B> result;
    const std::int64_t width = space_.next_columns();
    const Small r = search(options_.passes, result.steps);
    result.columns = space_.columns();
    const bool orthonormal = deviation_of(device_, space_.basis()) <= orthonormal_to<B>();
    const SpaceBounds of_space = space_bounds(result.steps, orthonormal);
    Block basis = vectors(right_vectors(space_, r, width));
    const double outside = widened(basis, result.triplets, options_.k);
    bounds(result, of_space, outside);
    return result;
  }

 private:
  // What the space says of eigenvalues of A^T A.
  struct SpaceBounds {
    std::vector<double> theta;  // of the space
    double within;              // bound on the part of ||A||_F^2 outside the space
    std::vector<double> start;  // bounds on the first k + 1, by the start: see StartBounds
    bool contradicted = false;  // by ||A||_F
  };

  SpaceBounds space_bounds(std::int64_t steps, bool orthonormal) const {
    constexpr double unknown = std::numeric_limits<double>::infinity();
    EigenPairs ritz = Diagonalized(space_.t()).top(space_.columns());
    const RitzPairs pairs{.values = std::move(ritz.values),
                          .weights = {},
                          .rho = column_norms(matmul(space_.coupling(), ritz.vectors)),
                          .product_errors = options_.product_errors};
    SpaceBounds bounds{
        .theta = pairs.values,
        .within = remainder<B>(fro2_, space_.captured()),
        .start = StartBounds<B>(space_, pairs, ritz.vectors, steps).of_first(options_.k + 1),
        .contradicted =
            !options_.norm_is_bound && misses_a_value(space_, pairs, fro2_, Rounding{})};
    if (!orthonormal) {
      bounds.within = unknown;
      bounds.start.assign(bounds.start.size(), unknown);
    }
    return bounds;
  }

  // Take the steps; returns R of [Y_1 ... Y_p] = U R.
  Small search(std::int64_t passes, std::int64_t& steps) {
    std::vector<Block> left;
    std::vector<Small> factors;
    double largest = 0;
    while (steps < passes && !space_.exhausted()) {
      Block image;
      space_.expand(a_, &image);
      ++steps;
      largest = std::max(largest, largest_of(column_norms(device_, image)));
      auto step = orthonormalize(device_, left, std::move(image), 4 * B::epsilon() * largest);
      Small column(step.coefficients.rows + step.r.rows, step.r.cols);
      column.set_part(0, 0, step.coefficients);
      column.set_part(step.coefficients.rows, 0, step.r);
      factors.push_back(std::move(column));
      left.push_back(std::move(step.q));
    }
    Small r(columns_of<B>(left), space_.columns());
    std::int64_t at = 0;
    for (const Small& factor : factors) {
      r.set_part(0, at, factor);
      at += factor.cols;
    }
    return r;
  }

  Block vectors(const Small& chosen) {
    const std::int64_t d = space_.columns(), w = space_.next_columns();
    Block basis = combine_basis(device_, space_.basis(), chosen.part(0, d, 0, chosen.cols));
    if (w > 0) combine(device_, basis, space_.next(), chosen.part(d, d + w, 0, chosen.cols));
    return repaired(device_, std::move(basis), options_.seed + 1);
  }

  // The triplets from the basis and random columns outside it, w = V c + q r. Returns a bound on
  // ||A - A V V^T||_F^2, which is the mean of |A q r|^2; the bound fails with probability 1e-6.
  double widened(Block& basis, Triplets<B>& triplets, std::int64_t k) {
    const std::int64_t n = basis.rows, width = basis.cols, count = std::min(tests, n - width);
    std::vector<Block> parts;
    parts.push_back(std::move(basis));
    Small r;
    if (count > 0) {
      auto outside =
          orthonormalize(device_, parts, device_.gaussian(n, count, options_.seed + 1, 0), 0.0);
      r = std::move(outside.r);
      parts.push_back(std::move(outside.q));
    }
    Block all = combine_basis(device_, parts, Small::identity(columns_of<B>(parts)));
    parts.clear();
    triplets = rayleigh_ritz(device_, a_, std::move(all), Columns::ritz, k, options_.seed + 2);
    if (count <= 0) return 0;
    const Small images = matmul(triplets.r.part(0, triplets.r.rows, width, triplets.r.cols), r);
    double mean = 0;
    for (const double image : images.values) mean += image * image / static_cast<double>(count);
    return mean / least_mean_square(count);
  }

  // Every bound is one on sigma_i^2, and the least counts. By Weyl it is
  // lambda_i(A P A^T) + ||A - A P||^2 for any projector P: onto the vectors that were measured, and
  // onto the space. Random vectors add bounds that fail in one case of a million: ||A - A P||^2 by
  // test vectors, and those of StartBounds. What they say is dropped where ||A||_F contradicts it,
  // which is exact: a direction was hidden from them.
  void bounds(LowRank<B>& result, const SpaceBounds& of_space, double outside) const {
    const Triplets<B>& triplets = result.triplets;
    const std::vector<double>& s = triplets.s;
    double captured = 0;
    for (const double value : triplets.r.values) captured += value * value;
    const double exact = remainder<B>(fro2_, captured),
                 floor = rounding_floor<B>(s) + triplets.factoring;
    const double least = exact - 2 * 64 * B::epsilon() * fro2_;
    result.contradicted = of_space.contradicted || (!options_.norm_is_bound && outside < least);
    const double measured = result.contradicted ? exact : std::min(exact, outside);
    std::vector<double> upper = of_space.start;
    if (result.contradicted) upper.assign(upper.size(), std::numeric_limits<double>::infinity());
    std::vector<double> squares, rho;
    const double of_products = options_.product_errors.at(s.front());
    for (std::size_t i = 0; i < upper.size(); ++i) {
      const double theta = i < of_space.theta.size() ? of_space.theta[i] : 0.0,
                   square = i < s.size() ? s[i] * s[i] : theta;
      upper[i] = std::min(upper[i], std::max(square, theta) + of_space.within);
      if (i >= s.size()) continue;
      upper[i] = std::min(upper[i], square + measured);
      squares.push_back(square);
      rho.push_back(s[i] * (triplets.residuals[i] + of_products));
    }
    tighten_by_residuals(upper, squares, rho);
    for (std::size_t i = 0; i < s.size(); ++i)
      result.errors.push_back(std::sqrt(std::max(upper[i], squares[i])) - s[i]);
    bound_by_earlier(s, result.errors);
    for (double& error : result.errors) error += floor;
    const double most = *std::max_element(triplets.residuals.begin(), triplets.residuals.end());
    result.converged = triplets.deviation <= orthonormal_to<B>() &&
                       captured <= fro2_ * (1 + 1024 * B::epsilon()) &&
                       most <= 256 * B::epsilon() * std::sqrt(fro2_) &&
                       largest_of(result.errors) <= std::sqrt(128 * B::epsilon() * fro2_) &&
                       std::min(measured, of_space.within) <= 128 * B::epsilon() * fro2_;
  }

  B& device_;
  A& a_;
  double fro2_;
  RandomizedOptions options_;
  KrylovSpace<B> space_;
};

// fro2 = ||A||_F^2.
template <Backend B, LinearOperator A>
LowRank<B> randomized_svd(B& device, A& a, double fro2, const RandomizedOptions& options) {
  return RandomizedSvd<B, A>(device, a, fro2, options).run();
}

}  // namespace sigmascope
