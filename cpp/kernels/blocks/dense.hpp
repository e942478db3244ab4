// SPDX-License-Identifier: BSD-3-Clause
// A matrix decoded as a whole.
#pragma once

#include <cstdint>

#include "kernels/blocks/cpu.hpp"
#include "kernels/blocks/pass_layout.hpp"
#include "matrix/panel.hpp"
#include "matrix/small.hpp"

namespace sigmascope {

// A itself, column-major, in fp64.
Small dense(Cpu& cpu, const MatrixView& a);

// Bytes of it, and of what decoding takes.
std::int64_t dense_bytes(const PassLayout& layout);

// Decoded rows [i0, i1) x columns [j0, j1), row-major, ld = j1 - j0. T is float or double.
template <class T>
void decode_block(Cpu& cpu, const Matrix& a, std::int64_t i0, std::int64_t i1, std::int64_t j0,
                  std::int64_t j1, T* out);

}  // namespace sigmascope
