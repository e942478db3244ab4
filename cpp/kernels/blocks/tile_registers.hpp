// SPDX-License-Identifier: BSD-3-Clause
// This thread's tile registers, ready for TileKernels::multiply while it lives: that takes as long
// as ten products of tiles.
#pragma once

#include "kernels/simd/isa.hpp"

namespace sigmascope {

class TileRegisters {
 public:
  explicit TileRegisters(const TileKernels& tiles) : tiles_(tiles) { tiles_.configure(); }
  ~TileRegisters() { tiles_.release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;

 private:
  const TileKernels& tiles_;
};

}  // namespace sigmascope
