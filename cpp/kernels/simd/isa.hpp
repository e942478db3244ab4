// SPDX-License-Identifier: BSD-3-Clause
// The table of kernels that one instruction set supplies, and the interface of this folder: all
// other rooms include no other header of it. The best table that the processor runs is chosen once.
//
// kernels/simd is the only folder that is compiled once per instruction set. isa.cpp includes all
// its kernels, and CMakeLists.txt compiles isa.cpp with the flags of each set. Only the table has
// external linkage. Everything else has internal linkage, and no kernel uses an inline function of
// the standard library: the linker keeps one copy of such a function for the whole program, and
// that could be a copy with instructions that the processor does not have. dispatch.cpp, which
// chooses the table, is compiled once.
#pragma once

#include <cstdint>

#include "kernels/simd/conversion_kernels.hpp"
#include "kernels/simd/eigenvalue_kernels.hpp"
#include "kernels/simd/element_kernels.hpp"
#include "kernels/simd/gram_kernels.hpp"
#include "kernels/simd/group_kernels.hpp"
#include "kernels/simd/level_kernels.hpp"
#include "kernels/simd/product_kernels.hpp"
#include "kernels/simd/stretch_sums.hpp"
#include "kernels/simd/tile_kernels.hpp"

namespace sigmascope {

struct Isa {
  const char* name;
  int vector_bytes;
  bool dot_bf16;             // product.bf16 is an instruction, twice as fast as product.f32
  const TileKernels* tiles;  // null if the processor has none
  const DotKernels* dots;    // null if a vector has less than 64 bytes
  const Isa* half;           // the set of vectors of 32 bytes, if these have 64
  ConversionKernels conversions;
  ProductKernels product;
  AdjointKernels adjoint;
  BlockKernels blocks;
  ElementKernels elements;
  GramKernels gram;
  GroupKernels groups;
  LevelKernels levels;
  EigenvalueKernels eigenvalues;

  // The set whose vectors fill rows of so many numbers of a block.
  template <class T>
  const Isa& of(std::int64_t numbers) const {
    return numbers * static_cast<std::int64_t>(sizeof(T)) % vector_bytes == 0 ? *this : *half;
  }
};

// Overridden for tests by the environment variable SIGMASCOPE_ISA (scalar, avx2, avx512,
// avx512bf16, amx).
const Isa& best_isa();

template <class T>
struct IsaOf;
template <>
struct IsaOf<float> {
  static auto decode(const Isa& isa) { return isa.conversions.decode_f32; }
  static auto product(const Isa& isa) { return isa.product.f32; }
  static auto adjoint(const Isa& isa) { return isa.adjoint.f32; }
  static auto move(const Isa& isa) { return isa.blocks.move_f32; }
};
template <>
struct IsaOf<double> {
  static auto decode(const Isa& isa) { return isa.conversions.decode_f64; }
  static auto product(const Isa& isa) { return isa.product.f64; }
  static auto adjoint(const Isa& isa) { return isa.adjoint.f64; }
  static auto move(const Isa& isa) { return isa.blocks.move_f64; }
};

}  // namespace sigmascope
