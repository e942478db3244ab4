// SPDX-License-Identifier: BSD-3-Clause
// Orthonormal blocks, from inner products and linear combinations alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "algorithms/backend.hpp"
#include "algorithms/small_dense.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// z = V coefficients + q r, with q orthonormal and orthogonal to V. q has fewer columns than z if
// parts of z are below their floors.
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

// V c for a basis V that is stored as blocks.
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
  norms.reserve(as_size(square.cols));
  for (std::int64_t j = 0; j < square.cols; ++j)
    norms.push_back(std::sqrt(std::max(square(j, j), 0.0)));
  return norms;
}

inline double largest_of(const std::vector<double>& values) {
  return values.empty() ? 0.0 : *std::max_element(values.begin(), values.end());
}

// Inner products of a block z with a basis V, or with its last blocks, and with itself.
struct Projection {
  Small coefficients;  // V^T z, with zeros for the other blocks
  Small gram;          // z^T z

  // The Gram matrix of z - V V^T z, if not much of z is in V: nothing is cancelled in the
  // difference then (Carson, Lund & Rozloznik 2021, BCGS-PIP).
  std::optional<Small> gram_outside() const {
    constexpr double little = 0.01;
    const Small inside = matmul_adjoint(coefficients, coefficients);
    Small outside = gram;
    for (std::int64_t j = 0; j < gram.cols; ++j) {
      if (inside(j, j) > little * gram(j, j)) return std::nullopt;
      for (std::int64_t i = 0; i < gram.rows; ++i) outside(i, j) -= inside(i, j);
    }
    return outside;
  }
};

// The inner products with the last `blocks` blocks of V.
template <Backend B>
Projection project(B& device, const std::vector<typename B::Block>& basis, std::size_t blocks,
                   const typename B::Block& z) {
  const auto last = std::span(basis).last(std::min(blocks, basis.size()));
  const Small products = device.inner_and_gram(last, z);
  const std::int64_t columns = columns_of<B>(basis), known = products.rows - z.cols;
  Projection result{Small(columns, z.cols), products.part(known, products.rows, 0, z.cols)};
  result.coefficients.set_part(columns - known, 0, products.part(0, known, 0, z.cols));
  return result;
}

// z -= V c for the last `blocks` blocks of V, by classical Gram-Schmidt.
template <Backend B>
void project_out(B& device, const std::vector<typename B::Block>& basis, std::size_t blocks,
                 const Small& c, typename B::Block& z) {
  if (basis.empty()) return;
  const auto last = std::span(basis).last(std::min(blocks, basis.size()));
  std::int64_t rows = 0;
  for (const auto& block : last) rows += block.cols;
  Small part = c.part(c.rows - rows, c.rows, 0, c.cols);
  for (double& value : part.values) value = -value;
  device.combine(z, last, part);
}

// The columns z_j that are not rounding errors: their part |z_j| |r_jl| of some original column l
// is above the floor of l. `gram`: z^T z.
inline std::vector<std::int64_t> columns_above(const Small& gram, const Small& r,
                                               const std::vector<double>& floors) {
  std::vector<std::int64_t> chosen;
  for (std::int64_t j = 0; j < gram.cols; ++j) {
    const double norm = std::sqrt(std::max(gram(j, j), 0.0));
    bool counts = false;
    for (std::int64_t l = 0; l < r.cols; ++l)
      counts = counts || norm * std::abs(r(j, l)) > floors[as_size(l)];
    if (counts) chosen.push_back(j);
  }
  return chosen;
}

struct InverseRoot {
  Small right;      // M with M^T G M = I
  Small inverse;    // M^-1
  bool is_clamped;  // G was nearly singular
};

// M for a Gram matrix G with unit diagonal, from its Cholesky factor (Yamamoto et al. 2015,
// CholeskyQR2). If G is nearly singular, M comes from its eigenvectors, with eigenvalues clamped at
// their rounding error, so that the next pass sees true norms. In a late pass all columns have been
// normalised, and a direction still below the clamp is a rounding error: it is dropped.
template <Backend B>
InverseRoot inverse_root(const Small& gram, bool late) {
  const std::int64_t w = gram.cols;
  // z M is off by its largest entry in units of roundoff, and so is z then: diagonals of the factor
  // do not show it, since a product of many that are below 1 may be as small as rounding.
  constexpr double largest = 33;
  if (auto factor = cholesky(gram)) {
    Small inverse = inverse_upper(*factor);
    double most = 0;
    for (const double value : inverse.values) most = std::max(most, std::abs(value));
    if (most <= largest) return {std::move(inverse), std::move(*factor), false};
  }
  const EigenPairs eigen = eigh(gram);
  const double least =
      32 * B::epsilon() * std::max(eigen.values.empty() ? 0.0 : eigen.values.front(), 1.0);
  std::int64_t count = w;
  while (late && count > 0 && eigen.values[as_size(count - 1)] < least) --count;
  InverseRoot result{eigen.vectors.part(0, w, 0, count), Small(count, w), true};
  for (std::int64_t j = 0; j < count; ++j) {
    const double root = std::sqrt(std::max(eigen.values[as_size(j)], least));
    for (std::int64_t i = 0; i < w; ++i) {
      result.inverse(j, i) = eigen.vectors(i, j) * root;
      result.right(i, j) /= root;
    }
  }
  return result;
}

// One pass: z <- z M and r <- M^-1 r, where M makes the columns of z orthonormal up to the rounding
// of their Gram matrix `gram`. Columns at or below the floors are dropped. Returns how far z was
// from orthonormal.
template <Backend B>
double orthonormalize_pass(B& device, typename B::Block& z, const Small& gram, Small& r,
                           const std::vector<double>& floors, bool late) {
  const std::vector<std::int64_t> chosen = columns_above(gram, r, floors);
  const auto w = static_cast<std::int64_t>(chosen.size());
  std::vector<double> norm;
  norm.reserve(chosen.size());
  for (const std::int64_t j : chosen) norm.push_back(std::sqrt(gram(j, j)));
  Small scaled(w, w);
  double deviation = 0;
  for (std::int64_t j = 0; j < w; ++j) {
    const auto jj = as_size(j);
    deviation = std::max(deviation, std::abs(norm[jj] - 1));
    for (std::int64_t i = 0; i < w; ++i) {
      const auto ii = as_size(i);
      scaled(i, j) = gram(chosen[ii], chosen[jj]) / (norm[ii] * norm[jj]);
      if (i != j) deviation = std::max(deviation, std::abs(scaled(i, j)));
    }
  }
  const InverseRoot root = inverse_root<B>(scaled, late);
  if (root.is_clamped) deviation = std::max(deviation, 1.0);
  Small change(z.cols, root.right.cols), chosen_rows(w, r.cols);
  for (std::int64_t i = 0; i < w; ++i) {
    const auto ii = as_size(i);
    for (std::int64_t j = 0; j < change.cols; ++j)
      change(chosen[ii], j) = root.right(i, j) / norm[ii];
    for (std::int64_t l = 0; l < r.cols; ++l) chosen_rows(i, l) = r(chosen[ii], l) * norm[ii];
  }
  auto orthonormal = device.zeros(z.rows, change.cols);
  combine(device, orthonormal, z, change);
  z = std::move(orthonormal);
  r = matmul(root.inverse, chosen_rows);
  return deviation;
}

// Block classical Gram-Schmidt against V and within the block. At least two passes are made ("twice
// is enough", Giraud et al. 2005), and more until a pass corrects almost nothing. The first pass is
// against the last two blocks of V only: unless V was restarted, A^T A q has only rounding errors
// in the others. The second pass, against all of V, removes these, or finds more and asks for a
// third. A pass against all of V costs 4 n D w + 4 n w^2 flops.
//
// `first`: the inner products of z with the last two blocks, if they are known.
template <Backend B>
Orthonormalized<B> orthonormalize(B& device, const std::vector<typename B::Block>& basis,
                                  typename B::Block z, const std::vector<double>& floors,
                                  std::optional<Projection> first = std::nullopt) {
  constexpr int most_passes = 7;
  constexpr double nearly = 0.1;  // a correction this small leaves an error of the order of epsilon
  Small r = Small::identity(z.cols), coefficients(columns_of<B>(basis), z.cols);
  for (int pass = 0; pass < most_passes && z.cols > 0; ++pass) {
    const std::size_t blocks = pass == 0 ? 2 : basis.size();
    const Projection seen =
        pass == 0 && first ? std::move(*first) : project(device, basis, blocks, z);
    const Small& c = seen.coefficients;
    project_out(device, basis, blocks, c, z);
    const Small moved = matmul(c, r);
    for (std::size_t e = 0; e < moved.values.size(); ++e) coefficients.values[e] += moved.values[e];
    const std::optional<Small> outside = seen.gram_outside();
    const Small gram = outside ? *outside : inner(device, z, z);
    double correction = orthonormalize_pass(device, z, gram, r, floors, pass > 2);
    for (const double value : c.values) correction = std::max(correction, std::abs(value));
    if (pass > 0 && correction < nearly) break;
  }
  return {std::move(z), std::move(r), std::move(coefficients)};
}

template <Backend B>
Orthonormalized<B> orthonormalize(B& device, const std::vector<typename B::Block>& basis,
                                  typename B::Block z, double floor) {
  const std::vector<double> floors(as_size(z.cols), floor);
  return orthonormalize(device, basis, std::move(z), floors);
}

}  // namespace sigmascope
