// SPDX-License-Identifier: BSD-3-Clause
// Which products the steps of a search take, where rounded ones are cheaper: at its beginning, for
// directions that full ones then follow; and near its end, where what they lose is multiplied with
// what is left to find.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "algorithms/stopping.hpp"

namespace sigmascope {

// Without tiles, full products where less is asked for than 2.3 times the noise of a matrix with
// |A|_F = 1.7 sigma_1, see out_of_reach.
inline Products first_products(const TopOptions& options, bool splits, std::int64_t n) {
  const bool fine = options.tolerance < 0x1p-7 / std::sqrt(static_cast<double>(n));
  return !splits && (options.products == Products::split || fine) ? Products::full
                                                                  : options.products;
}

// Further steps show nothing more: each of the k values is as good as it must be, or its residual
// down to what was rounded.
template <Backend B>
bool saturated(const Assessment& a, const TopOptions& options) {
  if (!a.rounding.any() || static_cast<std::int64_t>(a.rho.size()) < options.k) return false;
  const std::vector<double> off = estimated<B>(a, options);
  const double allowed = options.tolerance * std::sqrt(a.theta(0));
  for (std::size_t i = 0; i < off.size(); ++i)
    if (a.rho[i] > a.moved[i] && off[i] > allowed) return false;
  return true;
}

// Whether residuals are asked for that a search steered by these products can hardly reach.
// Measured, of the time with full products alone, where those are not much dearer: 0.8 at 2.0, 2.5
// and 3.3 times the noise; 1.6 at 2.6 times, of a steep spectrum; 1.2 to 1.5 at 1.6 times and
// below.
inline bool out_of_reach(double largest, const Rounding& rounding, const TopOptions& options) {
  return rounding.any() && options.of_residuals() &&
         options.tolerance * largest < 2.3 * rounding.noise;
}

// Steering is not worth its end: the k-th value itself is of the order of its noise, or residuals
// far below the noise are asked for, and most of the search would be made again.
inline bool drowned(const Assessment& a, const TopOptions& options) {
  const double noise = a.rounding.noise;
  if (!a.rounding.any() || static_cast<std::int64_t>(a.rho.size()) < options.k) return false;
  const bool too_fine =
      options.of_residuals() && 4 * options.tolerance * std::sqrt(a.theta(0)) < noise;
  return too_fine || std::sqrt(a.theta(options.k - 1)) < 16 * noise;
}

// How many of so many blocks must be full before rounded products will do for the others. A later
// block has about rho / (theta - t) of a wanted vector, where t is what theta the block has itself,
// and its errors come with that (inexact Krylov methods: Bouras & Fraysse 2005; Simoncini & Szyld
// 2003). A vector that is still being found is one of the Ritz vectors that follow it, as many as a
// block is wide, or 16. From one block to the next rho becomes `shrink` times as large. The errors
// may be half of what is allowed, with those of earlier blocks.
template <Backend B>
std::int64_t full_blocks(const KrylovSpace<B>& space, const Assessment& a, const Rounding& rounded,
                         std::int64_t blocks, double shrink, const TopOptions& options) {
  constexpr std::int64_t least = 16;
  const auto found = static_cast<std::int64_t>(a.rho.size());
  if (space.exhausted() || found < options.k) return blocks;
  double t = 0;
  for (std::int64_t j = space.columns() - space.last(); j < space.columns(); ++j)
    t = std::max(t, space.t()(j, j));
  const double moved = rounded.noise * std::sqrt(t + rounded.rms * rounded.rms),
               allowed = options.tolerance * std::sqrt(a.theta(0)) / 2;
  double room =
      std::numeric_limits<double>::infinity();  // for the sum of shrink^2j over the blocks j
  for (std::int64_t i = 0; i < options.k; ++i) {
    const double theta = a.theta(i), before = a.moved[static_cast<std::size_t>(i)];
    if (!(theta > t)) return blocks;
    const auto first = a.rho.begin() + i;
    const double rho = *std::max_element(
                     first, first + std::min(std::max(space.last(), least) + 1, found - i)),
                 first_block = moved * rho / (theta - t);
    room =
        std::min(room, (allowed * allowed * theta - before * before) / (first_block * first_block));
  }
  for (std::int64_t j = blocks - 1; j >= 0; --j) {
    room -= std::pow(shrink, 2 * static_cast<double>(j));
    if (room < 0) return j + 1;
  }
  return 0;
}

}  // namespace sigmascope
