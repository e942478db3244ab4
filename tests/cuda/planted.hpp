// SPDX-License-Identifier: BSD-3-Clause
// Mistakes that can be planted, and the kernels that make them.
#pragma once

#include <cstdint>

#include "runtime/runtime.hpp"

namespace planted {

// The order is that of the list in test_simulator.py.
enum class Mistake {
  none,
  // in kernels
  barrier_before_read,
  barrier_before_refill,
  barriers_apart,
  barrier_skipped,
  warp_barrier,
  lane_ended,
  lane_unnamed,
  past_shared,
  shared_not_set,
  no_guard,
  no_atomic,
  copy_not_awaited,
  misaligned,
  too_much_shared,
  // on the host
  pinned_refilled,
  panel_overwritten,
  panel_not_awaited,
  answer_not_awaited,
  device_read_by_host,
  memory_not_set,
  pageable_copy,
  freed_too_early,
  freed_twice,
  default_stream,
  pool_not_awaited,
  given_back_early,
  given_back_twice,
};

cudaError_t run_sum_rows(const float* numbers, std::int64_t rows, std::int64_t columns,
                         double* sums, Mistake mistake, cudaStream_t stream);
cudaError_t run_reverse_tiles(const float* x, std::int64_t count, float* y, Mistake mistake,
                              cudaStream_t stream);
cudaError_t run_swap_pairs(const float* x, float* y, Mistake mistake, cudaStream_t stream);
cudaError_t run_add_one(const float* x, std::int64_t count, float* y, Mistake mistake,
                        cudaStream_t stream);
cudaError_t run_count_positive(const float* x, std::int64_t count, unsigned* positive,
                               Mistake mistake, cudaStream_t stream);
cudaError_t run_multiply(const std::uint16_t* a, const std::uint16_t* x, int steps, float* y,
                         Mistake mistake, cudaStream_t stream);

}  // namespace planted
