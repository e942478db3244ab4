// SPDX-License-Identifier: BSD-3-Clause
// The language of kernels: under a CUDA compiler CUDA's own, else the simulator's.
//
// Shared memory is always dynamic and comes from shared_memory(). Kernels start by launch(), those
// that a batch starts for several matrices by that of calls.cuh. PTX is in the wrappers below
// alone, each with a counterpart in the simulator.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/operations.hpp"
#include "runtime/runtime.hpp"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#if defined(__clang__) && !__has_attribute(grid_constant)
// The compiler copies parameters whose address is taken.
#undef __grid_constant__
#define __grid_constant__
#endif
#elif defined(SIGMASCOPE_SIMULATED)
#include "simulator/dialect.hpp"
#endif

namespace sigmascope::device {

using MmaSums = float[4];
using MmaLeft = std::uint32_t[4];
using MmaRight = std::uint32_t[2];
using Fragments = std::uint32_t[4];

#if defined(__CUDACC__)

template <class T>
__device__ inline T* shared_memory() {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
}

// Starts `count` grids of a kernel in one launch; `body`: what it calls, if that names it. The
// status is that of the launch: cudaGetLastError() would return an earlier error of the thread,
// even one of another library.
template <auto body, class... Parameters, class... Given>
cudaError_t launch_grids(void (*kernel)(Parameters...), const Grid& grid, unsigned count,
                         cudaStream_t stream, const Given&... given) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.blocks, count), config.blockDim = dim3(grid.threads);
  config.dynamicSmemBytes = grid.shared_bytes, config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<const Parameters&>(given)...);
}

// sums += left right, tiles of 16 x 8, 16 x 16 and 16 x 8 numbers over the lanes of a warp; bf16,
// sums in fp32. From compute capability 8.0 on.
__device__ inline void mma_bf16(MmaSums& sums, const MmaLeft& left, const MmaRight& right) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

// Four matrices of 8 x 8 numbers of 16 bits from shared memory to the lanes of a warp. Lane 8 q + r
// names row r of matrix q, which is 16 bytes. Lane 4 i + j gets the numbers 2 j and 2 j + 1 of row
// i, or of column i if it is transposed, of each matrix.
__device__ inline void load_matrices(Fragments& to, const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

__device__ inline void load_transposed_matrices(Fragments& to, const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// 4, 8 or 16 bytes from global to shared memory, in the background.
template <int bytes>
__device__ inline void copy_in_background(void* to, const void* from) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (bytes == 16)  // past the L1 cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(address), "l"(from)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;\n" ::"r"(address), "l"(from), "n"(bytes)
                 : "memory");
}

__device__ inline void end_group_of_copies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most so many groups of copies, the last ones, are under way.
template <int groups_left>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(groups_left) : "memory");
}

#else

template <class T>
T* shared_memory() {
  return static_cast<T*>(simulator::shared_memory());
}

template <auto body, class... Parameters, class... Given>
cudaError_t launch_grids(void (*kernel)(Parameters...), const Grid& grid, unsigned count,
                         cudaStream_t stream, const Given&... given) {
  return simulator::launch_kernel(
      stream, {grid.blocks, count, grid.threads, grid.shared_bytes, simulator::name_of<body>()},
      [=] { kernel(static_cast<Parameters>(given)...); });
}

inline void mma_bf16(MmaSums& sums, const MmaLeft& left, const MmaRight& right) {
  simulator::multiply_tile({sums, left, right});
}

inline void load_matrices(Fragments& to, const void* row) {
  simulator::load_matrices({to, row, false});
}

inline void load_transposed_matrices(Fragments& to, const void* row) {
  simulator::load_matrices({to, row, true});
}

template <int bytes>
void copy_in_background(void* to, const void* from) {
  simulator::copy_in_background(to, from, bytes);
}

inline void end_group_of_copies() { simulator::end_group_of_copies(); }

template <int groups_left>
void wait_for_copies() {
  simulator::wait_for_copies(groups_left);
}

#endif

// A kernel of which every launch is one call.
template <class... Parameters, class... Given>
cudaError_t launch(void (*kernel)(Parameters...), const Grid& grid, cudaStream_t stream,
                   Given... given) {
  return start_or_record(stream, [=](cudaStream_t on) {
    return launch_grids<nullptr>(kernel, grid, 1, on, given...);
  });
}

__device__ inline float bf16_value(std::uint16_t code) {
  return __uint_as_float(static_cast<unsigned>(code) << 16);
}

// The nearest bf16 number, ties to even, of a finite one.
__device__ inline std::uint16_t bf16_code(float number) {
  const unsigned bits = __float_as_uint(number);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace sigmascope::device
