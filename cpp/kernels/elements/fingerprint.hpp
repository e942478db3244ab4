// SPDX-License-Identifier: BSD-3-Clause
// A hash of all numbers of a matrix, on which the random start of a search depends. A word of each
// entry holds its sign, exponent and fraction. The words, times odd keys of their places, are
// summed mod 2^64, and the sum is mixed: a multilinear hash (Carter & Wegman 1979), whose terms may
// be added in any order. The hash is the same for every way to store or cut a matrix, for its
// transpose if it is not square, and for the matrix times a power of two, which adds as much to the
// word of every nonzero entry. It is not cryptographic: see docs/architecture.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/simd/isa.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope {

// Place of a block in the matrix that is hashed. tall: the matrix has at least as many rows as
// columns.
struct BlockPlace {
  std::int64_t row0 = 0, col0 = 0;
  bool tall = true;
};

// The sums of one thread.
class Digester {
 public:
  Digester(const Isa& isa, const BlockPlace& place, bool whole)
      : isa_(&isa), place_(place), whole_(whole) {}

  // Codes of columns [j, j + n) of one stretch in row i.
  void add(DType dtype, const void* codes, std::int64_t i, std::int64_t j, std::int64_t n) {
    if (j != first_ || as_size(n) > keys_.size()) {
      keys_.resize(as_size(n));
      isa_->elements.digest_keys(place_.col0 + j, n, !place_.tall, keys_.data());
      first_ = j;
    }
    std::uint32_t other = 0;
    isa_->elements.digest_keys(place_.row0 + i, 1, place_.tall, &other);
    isa_->elements.digest(dtype, codes, n, keys_.data(), other, whole_, &digest_);
  }
  const Digest& digest() const { return digest_; }

 private:
  alignas(64) Digest digest_;
  const Isa* isa_;
  std::int64_t first_ = -1;
  BlockPlace place_;
  std::vector<std::uint32_t> keys_;
  bool whole_;
};

inline Digest sum_of(const std::vector<Digester>& parts) {
  Digest total;
  for (const Digester& part : parts)
    total.sum += part.digest().sum, total.zeros += part.digest().zeros;
  return total;
}

// The finaliser of SplitMix64 (Steele, Lea & Flood 2014; Stafford's variant 13).
inline std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// The sum of the keys of all places, bit by bit: key (i, j) is that of i xor that of j.
inline std::uint64_t all_keys(const Isa& isa, std::int64_t longer, std::int64_t shorter) {
  const auto ones_of = [&](std::int64_t extent, bool is_longer) {
    std::vector<std::uint64_t> ones(32, 0);
    std::vector<std::uint32_t> keys(as_size(stretch_length));
    for (std::int64_t i = 0; i < extent; i += stretch_length) {
      const std::int64_t n = std::min(stretch_length, extent - i);
      isa.elements.digest_keys(i, n, is_longer, keys.data());
      for (std::size_t bit = 0; bit < 32; ++bit)
        for (std::int64_t e = 0; e < n; ++e) ones[bit] += keys[as_size(e)] >> bit & 1u;
    }
    return ones;
  };
  const auto rows = ones_of(longer, true), cols = ones_of(shorter, false);
  std::uint64_t total = 0;
  for (std::size_t bit = 0; bit < 32; ++bit) {
    const auto m = static_cast<std::uint64_t>(longer), n = static_cast<std::uint64_t>(shorter);
    total += (rows[bit] * (n - cols[bit]) + (m - rows[bit]) * cols[bit]) << bit;
  }
  return total;
}

// The fingerprint of a matrix of this shape, whose largest entry has this magnitude.
inline std::uint64_t fingerprint(const Isa& isa, const Digest& digest, double largest,
                                 std::int64_t rows, std::int64_t cols) {
  int exponent = 0;
  std::frexp(largest, &exponent);
  const std::int64_t longer = std::max(rows, cols), shorter = std::min(rows, cols);
  const std::uint64_t scale = static_cast<std::uint64_t>(static_cast<std::int64_t>(exponent)) << 23;
  const std::uint64_t sum = digest.sum - scale * (all_keys(isa, longer, shorter) - digest.zeros);
  const std::uint64_t shape =
      mixed(static_cast<std::uint64_t>(longer)) + static_cast<std::uint64_t>(shorter);
  return mixed(sum ^ mixed(shape));
}

// The seed of the random numbers for a matrix, from its fingerprint and the caller's seed.
inline std::uint64_t start_of(std::uint64_t fingerprint, std::uint64_t seed) {
  return mixed(mixed(seed + 0x9e3779b97f4a7c15u) ^ fingerprint);
}

}  // namespace sigmascope
