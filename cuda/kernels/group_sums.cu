// SPDX-License-Identifier: BSD-3-Clause
#include "kernels/group_sums.hpp"
#include "kernels/launches.cuh"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

template <class T>
__device__ void add_groups(const GroupSums<T>& groups) {
  constexpr std::int64_t of_block = block_terms / group_terms;
  static_assert(block_terms % group_terms == 0);
  for (std::int64_t e = first_element(); e < groups.size; e += element_step()) {
    T total = groups.start == 0 ? T(0) : groups.z[e];
    for (std::int64_t g = 0; g < groups.count; ++g) {
      total += groups.sums[g * groups.size + e];
      end_part(groups.start + g + 1, of_block, tiles_over(groups.all, group_terms), total,
               groups.levels + e, groups.size);
    }
    groups.z[e] = total;
  }
}

}  // namespace

template <class T>
cudaError_t add(const GroupSums<T>& groups, cudaStream_t stream) {
  return launch<add_groups<T>, usual_threads>(grid_over(groups.size), stream, groups);
}

template cudaError_t add(const GroupSums<float>&, cudaStream_t);
template cudaError_t add(const GroupSums<double>&, cudaStream_t);

}  // namespace sigmascope::device
