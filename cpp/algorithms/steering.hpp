// SPDX-License-Identifier: BSD-3-Clause
// Criteria for the precision of products, where rounded ones are cheaper.
//
// Early steps only supply directions that full-precision steps refine later. In late steps the
// rounding error is multiplied by the small weight of what is still missing. In both, bf16 products
// suffice.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "algorithms/assessment.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Tolerance over noise below which steering does not pay. Measured time relative to full products,
// on a device where these are not much slower: 0.8 at 2.0, 2.5 and 3.3 times the noise, 1.6 at 2.6
// times for a steep spectrum, 1.2 to 1.5 at 1.6 times and below.
inline constexpr double reachable_noise_ratio = 2.3;

// Whether products of bf16 do not pay from the first step on: the tolerance is below
// reachable_noise_ratio times the noise of a matrix with |A|_F = 1.7 sigma_1.
inline bool is_fine(double tolerance, std::int64_t n) {
  return tolerance < 0x1p-7 / std::sqrt(static_cast<double>(n));
}

// Products of the first steps. On a device without bf16x2 products they are full if the tolerance
// is fine.
inline Products first_products(const KrylovOptions& options, bool has_bf16x2, std::int64_t n) {
  const bool fine = is_fine(options.tolerance, n);
  const bool needs_full = !has_bf16x2 && (options.products == Products::bf16x2 || fine);
  return needs_full ? Products::full : options.products;
}

// Whether further steps improve nothing: each of the k values meets the tolerance, or its residual
// has reached the noise of the rounded products.
template <Backend B>
bool is_saturated(const Assessment& a, const KrylovOptions& options) {
  if (!a.rounding.any() || a.count() < options.k) return false;
  const std::vector<double> defects = estimated_defects<B>(a, options);
  const double allowed = options.tolerance * std::sqrt(a.theta(0));
  for (std::size_t i = 0; i < defects.size(); ++i)
    if (a.rho[i] > a.moved[i] && defects[i] > allowed) return false;
  return true;
}

// Whether residuals are asked for that a search with these products can hardly reach. `largest`:
// sigma_1.
inline bool is_out_of_reach(double largest, const Rounding& rounding,
                            const KrylovOptions& options) {
  return rounding.any() && options.of_residuals() &&
         options.tolerance * largest < reachable_noise_ratio * rounding.noise;
}

// Whether the noise of rounded products hides the answer: the k-th value is of its order, or the
// residuals must be so far below it that most of the search would be repeated.
inline bool is_below_noise(const Assessment& a, const KrylovOptions& options) {
  const double noise = a.rounding.noise;
  if (!a.rounding.any() || a.count() < options.k) return false;
  const bool too_fine =
      options.of_residuals() && 4 * options.tolerance * std::sqrt(a.theta(0)) < noise;
  return too_fine || std::sqrt(a.theta(options.k - 1)) < 16 * noise;
}

// The number of blocks that must be full, out of the next `blocks`, before the others may be
// rounded.
//
// A later block holds about rho / (theta - t) of a wanted vector, where t is the block's own theta,
// and its rounding errors enter with that weight (inexact Krylov methods: Bouras & Fraysse 2005;
// Simoncini & Szyld 2003). A vector that is not found yet is one of the next Ritz vectors, as many
// as a block is wide, or 16. From one block to the next rho is multiplied by `rate`. All errors
// together may be half of the tolerance, those of earlier blocks included.
template <Backend B>
std::int64_t full_blocks(const KrylovSpace<B>& space, const Assessment& a, const Rounding& rounded,
                         std::int64_t blocks, double rate, const KrylovOptions& options) {
  constexpr std::int64_t least_followers = 16;
  if (space.exhausted() || a.count() < options.k) return blocks;
  double t = 0;
  for (std::int64_t j = space.columns() - space.last_columns(); j < space.columns(); ++j)
    t = std::max(t, space.t()(j, j));
  const double moved = rounded.noise * std::sqrt(t + rounded.rms * rounded.rms);
  const double allowed = options.tolerance * std::sqrt(a.theta(0)) / 2;
  double room = std::numeric_limits<double>::infinity();  // for the sum of rate^2j over blocks j
  for (std::int64_t i = 0; i < options.k; ++i) {
    const double theta = a.theta(i), before = a.moved[as_size(i)];
    if (!(theta > t)) return blocks;
    const auto first = a.rho.begin() + i;
    const std::int64_t followers = std::max(space.last_columns(), least_followers) + 1;
    const double rho = *std::max_element(first, first + std::min(followers, a.count() - i));
    const double first_block = moved * rho / (theta - t);
    room =
        std::min(room, (allowed * allowed * theta - before * before) / (first_block * first_block));
  }
  for (std::int64_t j = blocks - 1; j >= 0; --j) {
    room -= std::pow(rate, 2 * static_cast<double>(j));
    if (room < 0) return j + 1;
  }
  return 0;
}

}  // namespace sigmascope
