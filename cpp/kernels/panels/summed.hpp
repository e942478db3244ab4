// SPDX-License-Identifier: BSD-3-Clause
// A sum of tiles in memory, such as the difference of two checkpoints, added up once for many
// products. The numbers are those that every product would add up for itself, so that no bit
// changes.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/blocks/cpu.hpp"
#include "matrix/matrix.hpp"
#include "matrix/panel.hpp"
#include "matrix/sparse.hpp"

namespace sigmascope {

// The sum as products take it, and along the rows that they read if they can: parts of bf16, or
// numbers of T, in as many bytes as T takes. `to` receives it, and may not be the view's matrix.
template <class T>
MatrixView gathered(Cpu& cpu, const MatrixView& a, Matrix& to);

// At most one entry in so many is kept in the sparse remainder: that costs less than a product with
// another part of bf16.
inline constexpr std::int64_t remainder_share = 64;

// Bytes of the remainder of so many elements, at most, while it is made of as many bytes.
inline std::int64_t remainder_bytes(std::int64_t elements) {
  constexpr std::int64_t entry = 2 * sizeof(std::uint32_t) + sizeof(float);
  return 2 * entry * elements / remainder_share;
}

// memory: the bf16 numbers of a sum are copied too. none: products add them up each time.
enum class SumCopy { none, memory };

// Where products are by tiles: the sum as numbers of bf16 and a sparse remainder, if that is not
// zero for one entry in remainder_share at most. Whether the bf16 numbers are copied changes no
// bit. The copy takes half of the memory of `gathered`.
std::optional<MatrixView> separated(Cpu& cpu, const MatrixView& a, SumCopy copy, Matrix& to,
                                    Sparse& remainder);

}  // namespace sigmascope
