// SPDX-License-Identifier: BSD-3-Clause
// The best rank-k approximation that a fixed number of reads affords.
// Halko, Martinsson & Tropp 2011 with all blocks kept (Musco & Musco 2015), projected from the left: each gram step has
// A X = Y and A^T Y, so for U = orth([Y_1 ... Y_p]) = Y R^+ the product A^T U = [Z_1 ... Z_p] R^+ needs no further read
// (Yu, Gu, Li & Li 2017 for p = 1, where one read gives what the classical method takes two for).
// Reads: p. Memory: (m + n) p b numbers. Accuracy in fp32: about 1e-7 sigma_1^2 / sigma.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "algorithms/krylov_space.hpp"

namespace sigmascope {

template <Backend B>
struct LowRank {
  typename B::Block u;
  std::vector<double> s;
  typename B::Block v;
  double captured = 0;  // ||U^T A||_F^2
  std::int64_t columns = 0, steps = 0;
};

// [V next] [T; coupling]: A^T A V, in the coordinates of the space.
template <Backend B>
Small extended_projection(const KrylovSpace<B>& space) {
  const std::int64_t d = space.columns(), w = space.next_columns();
  Small extended(d + w, d);
  extended.set_part(0, 0, space.t());
  extended.set_part(d, 0, space.coupling());
  return extended;
}

// R^+ for a wide or square R of full row rank, as V S^-1 U^T.
inline Small pseudo_inverse(const Small& r) {
  const SmallSvd factors = svd(r);
  Small scaled = factors.v;
  for (std::int64_t j = 0; j < scaled.cols; ++j) {
    const double s = factors.s[static_cast<std::size_t>(j)];
    for (std::int64_t i = 0; i < scaled.rows; ++i)
      scaled(i, j) = s > 1e-14 * factors.s.front() ? scaled(i, j) / s : 0.0;
  }
  return matmul(scaled, factors.u.transposed());
}

template <Backend B, LinearOperator A>
LowRank<B> randomized_svd(B& device, A& a, std::int64_t k, std::int64_t block, std::int64_t passes,
                          std::uint64_t seed) {
  using Block = typename B::Block;
  KrylovSpace<B> space(device, a.cols(), std::min(block, a.cols()), seed);
  std::vector<Block> left;  // orthonormal, spans [Y_1 ... Y_p]
  std::vector<Small> factors;
  LowRank<B> result;
  while (result.steps < passes && !space.exhausted()) {
    Block image;
    space.expand(a, &image);
    ++result.steps;
    auto step = orthonormalize(device, left, std::move(image), 0.0);
    Small column(step.coefficients.rows + step.r.rows, step.r.cols);
    column.set_part(0, 0, step.coefficients);
    column.set_part(step.coefficients.rows, 0, step.r);
    factors.push_back(std::move(column));
    left.push_back(std::move(step.q));
  }
  Small r(columns_of<B>(left), space.columns());
  std::int64_t at = 0;
  for (const Small& factor : factors) {
    r.set_part(0, at, factor);
    at += factor.cols;
  }
  // A^T U = [V next] M, M = P S Q^T: right vectors [V next] P, left vectors U Q.
  const Small projected = matmul(extended_projection(space), pseudo_inverse(r));
  const SmallSvd small = svd(projected);
  for (const double s : small.s) result.captured += s * s;
  const std::int64_t d = space.columns(), found = std::min<std::int64_t>(k, static_cast<std::int64_t>(small.s.size()));
  result.s.assign(small.s.begin(), small.s.begin() + found);
  result.u = combine_basis(device, left, small.v.part(0, small.v.rows, 0, found));
  result.v = combine_basis(device, space.basis(), small.u.part(0, d, 0, found));
  if (space.next_columns() > 0)
    combine(device, result.v, space.next(), small.u.part(d, d + space.next_columns(), 0, found));
  result.columns = d;
  return result;
}

}  // namespace sigmascope
