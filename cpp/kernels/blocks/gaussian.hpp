// SPDX-License-Identifier: BSD-3-Clause
// A standard normal number as a function of (seed, i, j): any part of a random matrix can be made
// anywhere, in any order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace sigmascope {

// Philox4x32-10, Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint32_t key0,
                                           std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * counter[0], p1 = 0xCD9E8D57ull * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(p0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// Entries (i, 2h) and (i, 2h + 1), by Box and Muller (1958) from 53-bit uniforms in (0, 1].
inline std::array<double, 2> gaussian_pair(std::uint64_t seed, std::uint64_t i, std::uint64_t h) {
  const auto bits =
      philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32),
              static_cast<std::uint32_t>(h), static_cast<std::uint32_t>(h >> 32)},
             static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  const auto uniform = [](std::uint32_t high, std::uint32_t low) {
    return static_cast<double>(((static_cast<std::uint64_t>(high) << 32 | low) >> 11) + 1) *
           0x1p-53;
  };
  const double radius = std::sqrt(-2.0 * std::log(uniform(bits[0], bits[1])));
  const double angle = 2.0 * std::numbers::pi * uniform(bits[2], bits[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace sigmascope
