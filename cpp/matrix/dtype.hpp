// SPDX-License-Identifier: BSD-3-Clause
// The number formats that a tile may be stored in.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sigmascope {

enum class DType : std::uint8_t { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, f4_e2m1 };

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  int size;    // bytes of an element in memory
  int packed;  // elements that share a byte in a file, the first in its low bits
};

inline constexpr std::array<DTypeInfo, 7> dtype_table{{
    {DType::f64, "f64", 8, 1},
    {DType::f32, "f32", 4, 1},
    {DType::f16, "f16", 2, 1},
    {DType::bf16, "bf16", 2, 1},
    {DType::f8_e4m3, "f8_e4m3", 1, 1},  // OCP E4M3: no infinities, NaN = S.1111.111, largest 448
    {DType::f8_e5m2, "f8_e5m2", 1, 1},  // OCP E5M2: IEEE-like, the upper byte of an f16
    // OCP E2M1, always finite, at most 6. In memory a code is the low half of a byte.
    {DType::f4_e2m1, "f4_e2m1", 1, 2},
}};

constexpr const DTypeInfo& info(DType dtype) {
  return dtype_table[static_cast<std::size_t>(dtype)];
}

inline DType dtype_from_name(std::string_view name) {
  for (const auto& entry : dtype_table)
    if (entry.name == name) return entry.dtype;
  throw std::invalid_argument("unknown dtype '" + std::string(name) +
                              "'; known: f64 f32 f16 bf16 f8_e4m3 f8_e5m2 f4_e2m1");
}

}  // namespace sigmascope
