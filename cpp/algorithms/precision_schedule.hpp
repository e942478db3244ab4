// SPDX-License-Identifier: BSD-3-Clause
// The precision of each step of a search.
//
// Coarse tolerances begin with rounded products; where these do not reach the tolerance, the search
// goes on with better ones (sharpen). Fine tolerances begin with full products and take rounded
// ones once they do no harm (relax). The criteria are in steering.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "algorithms/steering.hpp"

namespace sigmascope {

class PrecisionSchedule {
 public:
  // has_bf16x2: whether the device has bf16x2 products
  PrecisionSchedule(const KrylovOptions& options, bool has_bf16x2, double fro2, std::int64_t n)
      : options_(options),
        has_bf16x2_(has_bf16x2),
        fro2_(fro2),
        n_(n),
        initial_precision_(first_products(options, has_bf16x2, n)) {}

  void start_space() {
    precision_ = lowest_precision_ = initial_precision_;
    first_rounded_column_ = never;
  }

  // Products of the next step, after `multiplied` columns of the whole search.
  Rounding next_step(std::int64_t multiplied) {
    if (can_relax())
      precision_ = multiplied < first_rounded_column_ ? Products::full : Products::bf16;
    if (precision_ == Products::bf16) lowest_precision_ = precision_;
    return rounding(precision_);
  }

  bool any_rounded() const { return lowest_precision_ != Products::full; }
  Products lowest_precision() const { return lowest_precision_; }
  Rounding lowest_rounding() const { return rounding(lowest_precision_); }
  bool sharpened() const { return sharpened_; }

  // Whether the first two blocks show that rounded products can hardly reach the tolerance. Two
  // blocks are enough to estimate sigma_1, and only two steps are lost.
  template <Backend B>
  bool should_not_steer(const KrylovSpace<B>& space, std::int64_t steps) const {
    if (initial_precision_ == Products::full || has_bf16x2_ || steps != 2) return false;
    const double theta = top_eigenpairs(space.t(), 1).values.front();
    return is_out_of_reach(std::sqrt(std::max(theta, 0.0)), rounding(precision_), options_);
  }

  bool is_below_noise(const Assessment& a) const {
    return initial_precision_ != Products::full && sigmascope::is_below_noise(a, options_);
  }

  // Choose the first block before the next convergence check that may use rounded products, or
  // none. `rate`: factor of the error from one column to the next.
  template <Backend B>
  void relax(const KrylovSpace<B>& space, const Assessment& a, std::int64_t multiplied,
             std::int64_t next_check_column, double rate) {
    if (!can_relax()) return;
    const std::int64_t block = options_.block;
    const std::int64_t blocks = (next_check_column - multiplied + block - 1) / block;
    // Convergence is assumed to be half as fast as it was.
    const double block_rate = std::pow(rate, static_cast<double>(block) / 2);
    const std::int64_t full =
        full_blocks(space, a, rounding(Products::bf16), blocks, block_rate, options_);
    first_rounded_column_ = full < blocks ? multiplied + block * full : never;
  }

  // Take better products from here on: bf16x2 where their noise is below the tolerance.
  void sharpen(const Assessment& a) {
    const bool suffices =
        initial_precision_ == Products::bf16 && has_bf16x2_ && options_.of_residuals() &&
        rounding(Products::bf16x2).noise < options_.tolerance * std::sqrt(a.theta(0));
    initial_precision_ = suffices ? Products::bf16x2 : Products::full;
    precision_ = lowest_precision_ = initial_precision_;
    sharpened_ = true;
  }

  // The answer did not converge with rounded products: do not relax again.
  void refine(const Assessment& a) {
    rounding_failed_ = true;
    sharpen(a);
  }

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  bool can_relax() const {
    return options_.products == Products::bf16 && initial_precision_ == Products::full &&
           !has_bf16x2_ && !rounding_failed_;
  }

  Rounding rounding(Products products) const { return Rounding::of(products, fro2_, n_); }

  KrylovOptions options_;
  bool has_bf16x2_;
  double fro2_;
  std::int64_t n_;
  Products initial_precision_;                 // of the first step of a space
  Products precision_ = initial_precision_;    // of the next step
  Products lowest_precision_ = precision_;     // of the steps of this space so far
  std::int64_t first_rounded_column_ = never;  // counted as columns multiplied by the search
  bool rounding_failed_ = false;
  bool sharpened_ = false;
};

}  // namespace sigmascope
