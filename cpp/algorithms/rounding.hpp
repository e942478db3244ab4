// SPDX-License-Identifier: BSD-3-Clause
// Products that are rounded more than blocks are, for steps that only choose directions, and what
// that does to them.
//
// A search may begin on products of numbers in bf16, and go on with such of two parts of bf16 each.
// That moves A by E, |E| ~ noise: the space is then that of A + E, good until residuals come down
// to the noise, and T is off by a share. Values, vectors and residuals are always read from A
// itself, of two parts at least.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace sigmascope {

enum class Products {
  rounded,  // of numbers in bf16: 8 bits
  split,    // of two parts of bf16 each: 16 bits, where a device is faster with them
  full      // as a device's blocks are
};

struct Rounding {
  Products products = Products::full;
  double rms = 0;    // |A|_F / sqrt(n)
  double noise = 0;  // sigma: what it adds to a residual, if every entry of A, or of a block, is
                     // rounded by itself
  double share = 0;  // of T's numbers, if every entry is rounded the same way

  static Rounding of(Products products, double fro2, std::int64_t n) {
    const double rms = std::sqrt(fro2 / static_cast<double>(n)), unit = unit_of(products);
    return {.products = products, .rms = rms, .noise = unit * rms, .share = 4 * unit};
  }
  bool any() const { return share > 0; }
  // Of T's numbers, six times what is likely: of n roundings, of the block and of its image.
  double likely(std::int64_t n) const {
    return std::min(share, 3.75 * share / std::sqrt(static_cast<double>(n)));
  }

 private:
  static double unit_of(Products products) {
    if (products == Products::full) return 0;
    return products == Products::rounded ? 0x1p-9 : 0x1p-18;
  }
};

// How much of a column of a basis, or of a combination of columns, was multiplied with rounded
// products.
struct Rough {
  double weight = 0;  // square of the part that was; 1: all
  double image2 = 0;  // |A x|^2 of it, lambda

  Rough& operator+=(const Rough& other) {
    weight += other.weight, image2 += other.image2;
    return *this;
  }
  Rough operator*(double factor) const {
    return {.weight = weight * factor, .image2 = image2 * factor};
  }
};

}  // namespace sigmascope
