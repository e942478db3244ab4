// SPDX-License-Identifier: BSD-3-Clause
// Sums over the elements of two matrices of one shape and of their difference.
#pragma once

#include "kernels/blocks/cpu.hpp"
#include "kernels/simd/isa.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope {

struct ElementDifference {
  ChangeSums sums;
  Digest before, after;
};

ElementDifference difference(Cpu& cpu, const Matrix& before, const Matrix& after);

}  // namespace sigmascope
