// SPDX-License-Identifier: BSD-3-Clause
// Precision of the products of a step, and the errors that rounded products cause.
//
// A Krylov step only chooses directions, so its products may be rounded more than the blocks are.
// Rounding to bf16 replaces A by A + E with |E| ~ noise. The space of A + E is as good as that of A
// until residuals reach the noise, and the entries of the projection T are wrong by a small share.
// Values, vectors and residuals always come from products of A with at least 16 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sigmascope {

enum class Products {
  bf16,    // of numbers rounded to bf16: 8 bits
  bf16x2,  // of sums of two bf16 numbers: 16 bits, where the device multiplies them faster
  full     // of numbers as the device's blocks hold them
};

struct Rounding {
  Products products = Products::full;
  double rms = 0;    // |A|_F / sqrt(n)
  double noise = 0;  // sigma: added to a residual if the entries of A, or of a block, are rounded
                     // independently of each other
  double share = 0;  // relative error of T's entries if all roundings have the same sign

  static Rounding of(Products products, double fro2, std::int64_t n) {
    const double rms = std::sqrt(fro2 / static_cast<double>(n));
    const double unit = unit_of(products);
    return {.products = products, .rms = rms, .noise = unit * rms, .share = 4 * unit};
  }

  bool any() const { return share > 0; }

  // Likely relative error of T's entries, times six: n roundings each, of the block and its image.
  double likely(std::int64_t n) const {
    return std::min(share, 3.75 * share / std::sqrt(static_cast<double>(n)));
  }

 private:
  static double unit_of(Products products) {
    if (products == Products::full) return 0;
    return products == Products::bf16 ? 0x1p-9 : 0x1p-18;
  }
};

// Bound on the spectral norm of what a product with A, or with its transpose, adds by itself: 0 for
// a matrix that the device multiplies. An operator has one of its own.
struct ProductErrors {
  double absolute = 0;  // sigma
  double relative = 0;  // of sigma_1

  double at(double sigma_1) const { return absolute + relative * sigma_1; }
};

// The share of a basis column, or of a combination of columns, that rounded products multiplied.
struct RoundedShare {
  double weight = 0;  // squared norm of that share; 1: all of the column
  double image2 = 0;  // |A x|^2 of that share x, lambda

  RoundedShare& operator+=(const RoundedShare& other) {
    weight += other.weight, image2 += other.image2;
    return *this;
  }
  RoundedShare operator*(double factor) const {
    return {.weight = weight * factor, .image2 = image2 * factor};
  }
};

}  // namespace sigmascope
