// SPDX-License-Identifier: BSD-3-Clause
// The tile registers of this thread, ready for TileKernels::multiply as long as the object lives.
// To make them ready takes as long as ten products of tiles.
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
