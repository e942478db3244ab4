// SPDX-License-Identifier: BSD-3-Clause
// The dtypes in which the processor's passes over elements read the stretches of rows: see
// element_codes in kernels/elements/element_codes.hpp. What they sum beside numbers depends on it.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/decode.hpp"
#include "matrix/dtype.hpp"
#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Rows [row0, row0 + rows) and columns [col0, col0 + cols) of a panel, cut into stretches.
struct StretchArea {
  std::int64_t row0, rows, col0, cols;
};

// Sets formats[i across + p], for stretch p of row i of the area, to the dtype of the piece that it
// lies in, if it is read as it is stored: from one piece that nothing scales or adds to. It is f64
// for others, which are decoded. `covered_once`: no two pieces of the panel overlap, and none is
// missing.
cudaError_t find_formats(std::span<const StoredPiece> pieces, bool covered_once,
                         const StretchArea& area, DType* formats, cudaStream_t stream);

}  // namespace sigmascope::device
