// SPDX-License-Identifier: BSD-3-Clause
// The part of the table that converts numbers.
#pragma once

#include <cstdint>

#include "matrix/dtype.hpp"

namespace sigmascope {

// replace: what is there is overwritten. add: it is added to.
enum class Write : bool { replace, add };

struct ConversionKernels {
  // dst[0..n) = or += factor * decoded src[0..n); src is contiguous.
  void (*decode_f32)(DType, const void* src, std::int64_t n, float factor, Write, float* dst);
  void (*decode_f64)(DType, const void* src, std::int64_t n, double factor, Write, double* dst);
  // dst = bf16(factor src)
  void (*round_bf16)(const float* src, std::int64_t n, float factor, std::uint16_t* dst);
};

}  // namespace sigmascope
