// SPDX-License-Identifier: BSD-3-Clause
// Singular triplets from an orthonormal basis of a right subspace, with their true residuals.
// Values come from QR(A V), never from the projected A^T A, whose small eigenvalues rounding has drowned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "algorithms/orthonormalize.hpp"

namespace sigmascope {

template <Backend B>
struct Triplets {
  typename B::Block u;  // m x k
  std::vector<double> s;
  typename B::Block v;             // n x k
  std::vector<double> residuals;   // |A^T u - s v|, measured; A v = s u holds to rounding. Empty: not measured
};

// One read of A for the values, a second for the residuals. Where A V is rank-deficient the left vectors are completed
// by random orthonormal ones; their residuals tell whether the range of A had more to give.
template <Backend B, LinearOperator A>
Triplets<B> rayleigh_ritz(B& device, A& a, typename B::Block basis, std::uint64_t seed, bool with_residuals) {
  const std::int64_t k = basis.cols;
  const std::vector<typename B::Block> none;
  auto image = orthonormalize(device, none, a.multiply(basis), 0.0);  // A V = Q R
  const std::int64_t rank = image.q.cols;
  const SmallSvd small = svd(image.r);  // rank x k
  Triplets<B> result;
  result.s.assign(static_cast<std::size_t>(k), 0.0);
  std::copy(small.s.begin(), small.s.end(), result.s.begin());

  // dgesdd's economy V misses the null space of R: complete it to k orthonormal columns.
  Small right = small.v;
  if (rank < k) {
    Small gap(k, k);  // I - V V^T has eigenvalues 1 on the null space
    for (std::int64_t j = 0; j < k; ++j)
      for (std::int64_t i = 0; i < k; ++i) {
        double sum = i == j ? 1.0 : 0.0;
        for (std::int64_t l = 0; l < rank; ++l) sum -= right(i, l) * right(j, l);
        gap(i, j) = sum;
      }
    const Eigen null = eigh(gap);
    Small whole(k, k);
    whole.set_part(0, 0, right);
    whole.set_part(0, rank, null.vectors.part(0, k, 0, k - rank));
    right = std::move(whole);
  }
  result.v = device.zeros(basis.rows, k);
  device.combine(result.v, basis, right);
  if (!with_residuals) return result;

  result.u = device.zeros(a.rows(), k);
  Small left(rank, k);
  left.set_part(0, 0, small.u);
  if (rank > 0) device.combine(result.u, image.q, left);
  if (rank < k) {
    std::vector<typename B::Block> found;
    found.push_back(std::move(image.q));
    auto fill = orthonormalize(device, found, device.gaussian(a.rows(), k - rank, seed, 0), 0.0);
    Small place(fill.q.cols, k);
    for (std::int64_t j = 0; j < fill.q.cols; ++j) place(j, rank + j) = 1;
    device.combine(result.u, fill.q, place);
  }
  auto defect = a.multiply_adjoint(result.u);  // A^T U - V S
  Small minus(k, k);
  for (std::int64_t j = 0; j < k; ++j) minus(j, j) = -result.s[static_cast<std::size_t>(j)];
  device.combine(defect, result.v, minus);
  const Small square = device.inner(defect, defect);
  for (std::int64_t j = 0; j < k; ++j) result.residuals.push_back(std::sqrt(std::max(square(j, j), 0.0)));
  return result;
}

}  // namespace sigmascope
