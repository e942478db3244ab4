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
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/value_errors.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

template <Backend B>
struct LowRank {
  Triplets<B> triplets;
  std::vector<double> errors;  // bounds on |s_i - sigma_i|
  bool converged = false;      // exact to rounding
  std::int64_t columns = 0, steps = 0;
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
  RandomizedSvd(B& device, A& a, double fro2, std::int64_t block, std::uint64_t seed)
      : device_(device),
        a_(a),
        fro2_(fro2),
        seed_(seed),
        space_(device, a.cols(), std::min(block, a.cols()), seed) {}

  LowRank<B> run(std::int64_t k, std::int64_t passes) {
    LowRank<B> result;
    const std::int64_t width = space_.next_columns();
    const Small r = search(passes, result.steps);
    result.columns = space_.columns();
    const Diagonalized t(space_.t());
    const std::vector<double> theta = t.top(std::min(k, result.columns)).values;
    const double within = deviation_of(device_, space_.basis()) <= orthonormal_to<B>()
                              ? remainder<B>(fro2_, space_.captured())
                              : std::numeric_limits<double>::infinity();
    Block basis = vectors(right_vectors(space_, r, width));
    const double outside = widened(basis, result.triplets, k);
    bounds(result, theta, within, outside);
    return result;
  }

 private:
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
    return repaired(device_, std::move(basis), seed_ + 1);
  }

  // The triplets from the basis and random columns outside it, w = V c + q r. Returns a bound on
  // ||A - A V V^T||_F^2, which is the mean of |A q r|^2; the bound fails with probability 1e-6.
  double widened(Block& basis, Triplets<B>& triplets, std::int64_t k) {
    const std::int64_t n = basis.rows, width = basis.cols, count = std::min(tests, n - width);
    std::vector<Block> parts;
    parts.push_back(std::move(basis));
    Small r;
    if (count > 0) {
      auto outside = orthonormalize(device_, parts, device_.gaussian(n, count, seed_ + 1, 0), 0.0);
      r = std::move(outside.r);
      parts.push_back(std::move(outside.q));
    }
    Block all = combine_basis(device_, parts, Small::identity(columns_of<B>(parts)));
    parts.clear();
    triplets = rayleigh_ritz(device_, a_, std::move(all), Columns::ritz, k, seed_ + 2);
    if (count <= 0) return 0;
    const Small images = matmul(triplets.r.part(0, triplets.r.rows, width, triplets.r.cols), r);
    double mean = 0;
    for (const double image : images.values) mean += image * image / static_cast<double>(count);
    return mean / least_mean_square(count);
  }

  // By Weyl, sigma_i^2 <= lambda_i(A P A^T) + ||A - A P||^2 for any projector P. It is applied to
  // the projector onto the measured vectors, and to that onto the space, of which theta are the
  // eigenvalues lambda_i.
  void bounds(LowRank<B>& result, const std::vector<double>& theta, double within,
              double outside) const {
    const Triplets<B>& triplets = result.triplets;
    double captured = 0;
    for (const double value : triplets.r.values) captured += value * value;
    const double measured = std::min(remainder<B>(fro2_, captured), outside),
                 floor = rounding_floor<B>(triplets.s);
    double most = 0;
    for (std::size_t i = 0; i < triplets.s.size(); ++i) {
      const double square = triplets.s[i] * triplets.s[i],
                   known = std::max(square, i < theta.size() ? theta[i] : 0.0);
      result.errors.push_back(std::sqrt(std::min(square + measured, known + within)) -
                              triplets.s[i] + floor);
      most = std::max(most, triplets.residuals[i]);
    }
    result.converged = triplets.deviation <= orthonormal_to<B>() &&
                       captured <= fro2_ * (1 + 1024 * B::epsilon()) &&
                       most <= 256 * B::epsilon() * std::sqrt(fro2_) &&
                       std::min(measured, within) <= 128 * B::epsilon() * fro2_;
  }

  B& device_;
  A& a_;
  double fro2_;
  std::uint64_t seed_;
  KrylovSpace<B> space_;
};

// fro2 = ||A||_F^2.
template <Backend B, LinearOperator A>
LowRank<B> randomized_svd(B& device, A& a, double fro2, std::int64_t k, std::int64_t block,
                          std::int64_t passes, std::uint64_t seed) {
  return RandomizedSvd<B, A>(device, a, fro2, block, seed).run(k, passes);
}

}  // namespace sigmascope
