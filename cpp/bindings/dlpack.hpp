// SPDX-License-Identifier: BSD-3-Clause
// The binary layout of a DLPack tensor (https://dmlc.github.io/dlpack), of capsules named
// `dltensor` and, from version 1.0 on, `dltensor_versioned`.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "matrix/dtype.hpp"

namespace sigmascope {

enum DlpackDevice : std::int32_t {
  dlpack_host = 1,
  dlpack_cuda = 2,
  dlpack_pinned = 3,   // memory of the host
  dlpack_managed = 13  // memory that CUDA moves between the host and a device
};

struct DlpackTensor {
  void* data;
  std::int32_t device_type;
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
  static constexpr const char *name = "dltensor", *used = "used_dltensor";
  DlpackTensor tensor;
  void* context;
  void (*deleter)(DlpackManaged*);

  void check_version() const {}
};

struct DlpackVersioned {
  static constexpr const char *name = "dltensor_versioned", *used = "used_dltensor_versioned";
  std::uint32_t major, minor;
  void* context;
  void (*deleter)(DlpackVersioned*);
  std::uint64_t flags;  // read-only, for one: a matrix is only read
  DlpackTensor tensor;

  void check_version() const {
    if (major != 1)
      throw std::invalid_argument("the tensor has DLPack version " + std::to_string(major) + "." +
                                  std::to_string(minor) + "; only version 1 is supported");
  }
};

inline bool on_cuda(const DlpackTensor& t) {
  return t.device_type == dlpack_cuda || t.device_type == dlpack_managed;
}

// The dtype of a tensor. `codes`, if not empty, names that of the codes in unsigned integers.
inline DType dlpack_dtype(const DlpackTensor& t, std::string_view codes = {}) {
  struct Format {
    std::uint8_t code, bits;
    DType dtype;
  };
  constexpr std::uint8_t whole = 1, real = 2, bfloat = 4, e4m3fn = 10, e5m2 = 12;
  constexpr std::array<Format, 6> formats{{{real, 64, DType::f64},
                                           {real, 32, DType::f32},
                                           {real, 16, DType::f16},
                                           {bfloat, 16, DType::bf16},
                                           {e4m3fn, 8, DType::f8_e4m3},
                                           {e5m2, 8, DType::f8_e5m2}}};
  const std::string stored = "a DLPack tensor of type code " + std::to_string(t.type_code) +
                             " with " + std::to_string(t.type_bits) + " bits and " +
                             std::to_string(t.type_lanes) + " lanes ";
  for (const Format& format : formats)
    if (t.type_lanes == 1 && t.type_code == format.code && t.type_bits == format.bits &&
        (codes.empty() || codes == info(format.dtype).name))
      return format.dtype;
  if (codes.empty()) throw std::invalid_argument(stored + "is not a real matrix format");
  const DType asked = dtype_from_name(codes);
  if (t.type_lanes == 1 && t.type_code == whole && t.type_bits == 8 * info(asked).size)
    return asked;
  throw std::invalid_argument(stored + "does not hold codes of " + std::string(codes));
}

}  // namespace sigmascope
