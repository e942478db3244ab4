// SPDX-License-Identifier: BSD-3-Clause
// The binary layout of a DLPack tensor (the unversioned `dltensor` capsule,
// https://dmlc.github.io/dlpack), for matrices on the host.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "matrix/dtype.hpp"

namespace sigmascope {

struct DlpackTensor {
  void* data;
  std::int32_t device_type;  // 1: host memory, 3: pinned host memory
  std::int32_t device_id;
  std::int32_t dimensions;
  std::uint8_t type_code;
  std::uint8_t type_bits;
  std::uint16_t type_lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: row-major
  std::uint64_t byte_offset;
};

struct DlpackManaged {
  DlpackTensor tensor;
  void* context;
  void (*deleter)(DlpackManaged*);
};

inline DType dlpack_dtype(const DlpackTensor& t) {
  constexpr std::uint8_t real = 2, bfloat = 4, e4m3fn = 10, e5m2 = 12;
  if (t.type_lanes == 1) {
    if (t.type_code == real && t.type_bits == 64) return DType::f64;
    if (t.type_code == real && t.type_bits == 32) return DType::f32;
    if (t.type_code == real && t.type_bits == 16) return DType::f16;
    if (t.type_code == bfloat && t.type_bits == 16) return DType::bf16;
    if (t.type_code == e4m3fn && t.type_bits == 8) return DType::f8_e4m3;
    if (t.type_code == e5m2 && t.type_bits == 8) return DType::f8_e5m2;
  }
  throw std::invalid_argument("a DLPack tensor of type code " + std::to_string(t.type_code) +
                              " with " + std::to_string(t.type_bits) + " bits and " +
                              std::to_string(t.type_lanes) + " lanes is not a real matrix format");
}

}  // namespace sigmascope
