// SPDX-License-Identifier: BSD-3-Clause
#include <cstdint>

#include "kernels/bytes.hpp"
#include "kernels/launches.cuh"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

// Larger copies are left to the copy engine, each alone.
constexpr std::size_t most_copied = std::size_t{1} << 20;

constexpr std::int64_t word = sizeof(std::uint64_t);

__device__ bool is_aligned(const void* at) {
  return reinterpret_cast<std::uintptr_t>(at) % sizeof(std::uint64_t) == 0;
}

__device__ void copy_words(std::byte* to, const std::byte* from, std::int64_t bytes) {
  const std::int64_t words = is_aligned(to) && is_aligned(from) ? bytes / word : 0;
  for (std::int64_t e = first_element(); e < words; e += element_step())
    reinterpret_cast<std::uint64_t*>(to)[e] = reinterpret_cast<const std::uint64_t*>(from)[e];
  for (std::int64_t e = words * word + first_element(); e < bytes; e += element_step())
    to[e] = from[e];
}

__device__ void fill_words(std::byte* at, std::uint64_t value, std::int64_t bytes) {
  const std::int64_t words = is_aligned(at) ? bytes / word : 0;
  for (std::int64_t e = first_element(); e < words; e += element_step())
    reinterpret_cast<std::uint64_t*>(at)[e] = value;
  for (std::int64_t e = words * word + first_element(); e < bytes; e += element_step())
    at[e] = static_cast<std::byte>(value);
}

Grid grid_of(std::size_t bytes) { return grid_over(static_cast<std::int64_t>(bytes) / word); }

}  // namespace

cudaError_t copy_bytes(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                       cudaStream_t stream) {
  if (recorder_of(stream) != nullptr && bytes <= most_copied)
    return launch<copy_words, usual_threads>(grid_of(bytes), stream, static_cast<std::byte*>(to),
                                             static_cast<const std::byte*>(from),
                                             static_cast<std::int64_t>(bytes));
  return start_or_record(
      stream, [=](cudaStream_t on) { return cudaMemcpyAsync(to, from, bytes, kind, on); });
}

cudaError_t set_bytes(void* at, int value, std::size_t bytes, cudaStream_t stream) {
  if (recorder_of(stream) == nullptr) return cudaMemsetAsync(at, value, bytes, stream);
  constexpr std::uint64_t each_byte = 0x0101010101010101;
  return launch<fill_words, usual_threads>(grid_of(bytes), stream, static_cast<std::byte*>(at),
                                           static_cast<std::uint8_t>(value) * each_byte,
                                           static_cast<std::int64_t>(bytes));
}

}  // namespace sigmascope::device
