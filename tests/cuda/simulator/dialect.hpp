// SPDX-License-Identifier: BSD-3-Clause
// The part of CUDA's language that kernels may use, for a host compiler.
//
// There is no default stream, no static shared memory, and no atomic sum of floating-point numbers,
// whose bits would depend on the order of threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <type_traits>

#include "simulator/grids.hpp"
#include "simulator/runtime.hpp"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)

namespace sigmascope::simulator {

void wait_at_barrier(const void* place);
void wait_for_warp(std::uint32_t lanes);
std::uint64_t exchanged(std::uint32_t lanes, Meeting meeting, std::uint64_t value, int source);
void multiply_tile(const MmaPart& part);
void load_matrices(const MatrixLoad& load);
void copy_in_background(void* to, const void* from, std::size_t bytes);
void end_group_of_copies();
void wait_for_copies(int groups_left);

// Not inline: ThreadSanitizer would take what they read of the simulator for memory of the kernel.
Index thread_index();
Index block_index();
Index block_size();
Index grid_size();
int lane();
void* shared_memory();

// A text with the name of the function.
template <auto function>
const char* name_of() {
  return static_cast<const char*>(__PRETTY_FUNCTION__);
}

template <class T>
T shuffled(std::uint32_t lanes, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchanged(lanes, Meeting::shuffle, bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace sigmascope::simulator

#define threadIdx (sigmascope::simulator::thread_index())
#define blockIdx (sigmascope::simulator::block_index())
#define blockDim (sigmascope::simulator::block_size())
#define gridDim (sigmascope::simulator::grid_size())
// A barrier is known by its place in the source.
#define __syncthreads()                             \
  do {                                              \
    static const char place{};                      \
    sigmascope::simulator::wait_at_barrier(&place); \
  } while (false)

inline void __syncwarp(unsigned lanes = 0xffffffffU) {
  sigmascope::simulator::wait_for_warp(lanes);
}

template <class T>
T __shfl_sync(unsigned lanes, T value, int source) {
  return sigmascope::simulator::shuffled(lanes, value, source);
}

template <class T>
T __shfl_xor_sync(unsigned lanes, T value, int mask) {
  return sigmascope::simulator::shuffled(lanes, value, sigmascope::simulator::lane() ^ mask);
}

// Beyond the last lane a value stays what it was.
template <class T>
T __shfl_down_sync(unsigned lanes, T value, unsigned by) {
  const int own = sigmascope::simulator::lane(), source = own + static_cast<int>(by);
  return sigmascope::simulator::shuffled(
      lanes, value, source < static_cast<int>(sigmascope::simulator::warp_size) ? source : own);
}

inline unsigned __ballot_sync(unsigned lanes, int vote) {
  using namespace sigmascope::simulator;
  return static_cast<unsigned>(
      exchanged(lanes, Meeting::ballot, static_cast<std::uint64_t>(vote != 0), 0));
}

template <class T>
T atomicAdd(T* at, T value) {
  static_assert(std::is_integral_v<T>, "sums of floating-point numbers depend on their order");
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicMin(T* at, T value) {
  static_assert(std::is_integral_v<T>);
  T seen = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value < seen && !__atomic_compare_exchange_n(at, &seen, value, false, __ATOMIC_RELAXED,
                                                      __ATOMIC_RELAXED)) {
  }
  return seen;
}

inline float __uint_as_float(unsigned bits) {
  float number;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

inline unsigned __float_as_uint(float number) {
  unsigned bits;
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

inline double __longlong_as_double(long long bits) {
  double number;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

inline long long __double_as_longlong(double number) {
  long long bits;
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

// The sine and cosine of pi x.
inline void sincospi(double x, double* sine, double* cosine) {
  *sine = std::sin(std::numbers::pi * x), *cosine = std::cos(std::numbers::pi * x);
}
