// SPDX-License-Identifier: BSD-3-Clause
// A kernel of one warp that uses each operation of the simulator's language once.
#include "runtime/device.cuh"

namespace runtime_check {

using namespace sigmascope::device;

namespace {

// Per lane: what the next lane has, what lane 3 has, who is odd, and a fused product.
__global__ void exchange(double* shifted, int* third, unsigned* odd, int* least, double* fused) {
  const int lane = static_cast<int>(threadIdx.x);
  shifted[lane] = __shfl_down_sync(0xffffffffU, static_cast<double>(lane), 1U);
  third[lane] = __shfl_sync(0xffffffffU, 10 * lane, 3);
  odd[lane] = __ballot_sync(0xffffffffU, lane % 2);
  atomicMin(least, 7 - lane);
  fused[lane] = __fma_rn(0.1, 10.0, -1.0);
}

}  // namespace

cudaError_t run_exchange(double* shifted, int* third, unsigned* odd, int* least, double* fused,
                         cudaStream_t stream) {
  return launch(exchange, {1, 32}, stream, shifted, third, odd, least, fused);
}

}  // namespace runtime_check
