// SPDX-License-Identifier: BSD-3-Clause
// Orthonormal blocks from inner products and combinations alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/small_dense.hpp"

namespace sigmascope {

// z = V coefficients + q r, with q orthonormal and orthogonal to V. q has fewer columns than z
// where z has no more directions above its floors.
template <Backend B>
struct Orthonormalized {
  typename B::Block q;
  Small r;
  Small coefficients;
};

template <Backend B>
std::int64_t columns_of(const std::vector<typename B::Block>& basis) {
  std::int64_t total = 0;
  for (const auto& block : basis) total += block.cols;
  return total;
}

// V c for the columns of a basis kept as blocks.
template <Backend B>
typename B::Block combine_basis(B& device, const std::vector<typename B::Block>& basis,
                                const Small& c) {
  typename B::Block result = device.zeros(basis.front().rows, c.cols);
  device.combine(result, std::span(basis), c);
  return result;
}

template <Backend B>
std::vector<double> column_norms(B& device, const typename B::Block& x) {
  const Small square = inner(device, x, x);
  std::vector<double> norms;
  norms.reserve(static_cast<std::size_t>(square.cols));
  for (std::int64_t j = 0; j < square.cols; ++j)
    norms.push_back(std::sqrt(std::max(square(j, j), 0.0)));
  return norms;
}

inline double largest_of(const std::vector<double>& values) {
  return values.empty() ? 0.0 : *std::max_element(values.begin(), values.end());
}

// z -= V (V^T z) for the last blocks of V, classical Gram-Schmidt; returns V^T z, zero for the
// others.
template <Backend B>
Small project_out(B& device, const std::vector<typename B::Block>& basis, std::size_t blocks,
                  typename B::Block& z) {
  Small c(columns_of<B>(basis), z.cols);
  if (basis.empty()) return c;
  const auto last = std::span(basis).last(std::min(blocks, basis.size()));
  Small part = device.inner(last, z);
  c.set_part(c.rows - part.rows, 0, part);
  for (double& value : part.values) value = -value;
  device.combine(z, last, part);
  return c;
}

// One pass of z <- z M, where M makes the columns of z orthonormal as far as their Gram matrix
// tells, dropping columns whose part |z_j| |r_jl| of every original column l is at most its floor.
// r <- M^-1 r. Returns how far z was from orthonormal.
// Cholesky of the scaled Gram matrix (Yamamoto et al. 2015, CholeskyQR2); where that is nearly
// singular its eigenvectors, with eigenvalues clamped at its own rounding: the next pass then sees
// true norms. A direction that is below the clamp in a late pass as well, after its columns had
// been normalised, is rounding and goes.
template <Backend B>
double orthonormalize_pass(B& device, typename B::Block& z, Small& r,
                           const std::vector<double>& floors, bool late) {
  const Small gram = inner(device, z, z);
  std::vector<std::int64_t> kept;
  for (std::int64_t j = 0; j < z.cols; ++j) {
    const double norm = std::sqrt(std::max(gram(j, j), 0.0));
    bool counts = false;
    for (std::int64_t l = 0; l < r.cols; ++l)
      counts = counts || norm * std::abs(r(j, l)) > floors[static_cast<std::size_t>(l)];
    if (counts) kept.push_back(j);
  }
  const auto w = static_cast<std::int64_t>(kept.size());
  Small scaled(w, w), back(w, w);
  std::vector<double> norm(kept.size());
  for (std::int64_t j = 0; j < w; ++j)
    norm[static_cast<std::size_t>(j)] =
        std::sqrt(gram(kept[static_cast<std::size_t>(j)], kept[static_cast<std::size_t>(j)]));
  double deviation = 0;
  for (std::int64_t j = 0; j < w; ++j) {
    const auto jj = static_cast<std::size_t>(j);
    deviation = std::max(deviation, std::abs(norm[jj] - 1));
    for (std::int64_t i = 0; i < w; ++i) {
      const auto ii = static_cast<std::size_t>(i);
      scaled(i, j) = gram(kept[ii], kept[jj]) / (norm[ii] * norm[jj]);
      if (i != j) deviation = std::max(deviation, std::abs(scaled(i, j)));
    }
  }
  auto factor = cholesky(scaled);
  const auto well_conditioned = [&] {
    for (std::int64_t i = 0; i < w; ++i)
      if ((*factor)(i, i) < 0.03) return false;
    return true;
  };
  Small right;  // scaled^-1/2 in one of its forms; back: its inverse
  if (factor && well_conditioned()) {
    back = *factor;
    right = inverse_upper(*factor);
  } else {
    const EigenPairs eigen = eigh(scaled);
    const double least =
        32 * B::epsilon() * std::max(eigen.values.empty() ? 0.0 : eigen.values.front(), 1.0);
    std::int64_t most = w;
    while (late && most > 0 && eigen.values[static_cast<std::size_t>(most - 1)] < least) --most;
    right = eigen.vectors.part(0, w, 0, most);
    back = Small(most, w);
    for (std::int64_t j = 0; j < most; ++j) {
      const double root = std::sqrt(std::max(eigen.values[static_cast<std::size_t>(j)], least));
      for (std::int64_t i = 0; i < w; ++i) {
        back(j, i) = eigen.vectors(i, j) * root;
        right(i, j) /= root;
      }
    }
    deviation = std::max(deviation, 1.0);
  }
  Small change(z.cols, right.cols), kept_rows(w, r.cols);
  for (std::int64_t i = 0; i < w; ++i) {
    const auto ii = static_cast<std::size_t>(i);
    for (std::int64_t j = 0; j < right.cols; ++j) change(kept[ii], j) = right(i, j) / norm[ii];
    for (std::int64_t l = 0; l < r.cols; ++l) kept_rows(i, l) = r(kept[ii], l) * norm[ii];
  }
  auto rotated = device.zeros(z.rows, right.cols);
  combine(device, rotated, z, change);
  z = std::move(rotated);
  r = matmul(back, kept_rows);
  return deviation;
}

// Block classical Gram-Schmidt against V and within the block, repeated until a pass finds almost
// nothing to correct (at least twice: "twice is enough", Giraud et al. 2005). The first pass is
// against the last two blocks of V alone: of A^T A q nothing but rounding lies in the others,
// unless V was restarted, and the second pass, against all, removes that or finds too much of it.
// Each pass against all costs 4 n D w + 4 n w^2 flops.
template <Backend B>
Orthonormalized<B> orthonormalize(B& device, const std::vector<typename B::Block>& basis,
                                  typename B::Block z, const std::vector<double>& floors) {
  constexpr int most_passes = 7;
  constexpr double nearly = 0.1;  // a correction this small leaves an error of the order of epsilon
  Small r = Small::identity(z.cols), coefficients(columns_of<B>(basis), z.cols);
  for (int pass = 0; pass < most_passes && z.cols > 0; ++pass) {
    const Small c = project_out(device, basis, pass == 0 ? 2 : basis.size(), z);
    const Small moved = matmul(c, r);
    for (std::size_t e = 0; e < moved.values.size(); ++e) coefficients.values[e] += moved.values[e];
    double correction = orthonormalize_pass(device, z, r, floors, pass > 2);
    for (const double value : c.values) correction = std::max(correction, std::abs(value));
    if (pass > 0 && correction < nearly) break;
  }
  return {std::move(z), std::move(r), std::move(coefficients)};
}

template <Backend B>
Orthonormalized<B> orthonormalize(B& device, const std::vector<typename B::Block>& basis,
                                  typename B::Block z, double floor) {
  const std::vector<double> floors(static_cast<std::size_t>(z.cols), floor);
  return orthonormalize(device, basis, std::move(z), floors);
}

}  // namespace sigmascope
