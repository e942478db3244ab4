// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "kernels/bytes.hpp"
#include "kernels/change.hpp"
#include "kernels/digest.cuh"
#include "kernels/launches.cuh"
#include "kernels/simd/stretch_sums.hpp"
#include "kernels/vector_order.cuh"

namespace sigmascope::device {

namespace {

constexpr int chains = 2;  // vectors whose sums are made at a time, see change_as

// Smallest exponent of normal numbers of a format of 16 bits; none for others, whose units are not
// summed.
__device__ inline double least_unit(DType before, DType after) {
  if (before != after) return 0;
  return before == DType::bf16 ? 0x1p-126 : before == DType::f16 ? 0x1p-14 : 0;
}

// See unit_squared in kernels/simd/difference_sums.hpp.
__device__ inline double unit_squared(double x, double least) {
  const double power = __longlong_as_double(static_cast<long long>(bits_of(x) & infinity_bits));
  const double unit = power < least ? least : power, square = unit * unit;
  return fabs(x) == unit && unit > least ? square * 0.75 : square;
}

// What one lane has of the sums over a stretch.
template <int width>
struct ChangeLane {
  ChangeSums sums;

  __device__ void add(double w, double next, double least) {
    const MultiplyAdd<width> multiply_add;
    const double d = next - w;
    sums.before2 = multiply_add(w, w, sums.before2);
    sums.after2 = multiply_add(next, next, sums.after2);
    sums.change2 = multiply_add(d, d, sums.change2);
    sums.product = multiply_add(w, d, sums.product);
    if (least > 0) {
      sums.before_units2 += unit_squared(w, least);
      sums.after_units2 += unit_squared(next, least);
    }
  }
  __device__ static bool is_unchanged(double w, double next) {
    const double one = fabs(w), two = fabs(next), larger = one > two ? one : two;
    return fabs(next - w) <= larger * unchanged_part;
  }

  // The sums over both vectors, for every lane of them.
  __device__ static double joined(double value, int first) {
    return sum_of_vector<width>(value + __shfl_xor_sync(all_lanes, value, width), first);
  }
  __device__ ChangeSums over_vectors(int first) const {
    ChangeSums all;
    all.before2 = joined(sums.before2, first);
    all.after2 = joined(sums.after2, first);
    all.change2 = joined(sums.change2, first);
    all.product = joined(sums.product, first);
    all.before_units2 = joined(sums.before_units2, first);
    all.after_units2 = joined(sums.after_units2, first);
    std::int64_t unchanged = sums.unchanged;
    for (int by = chains * width / 2; by > 0; by /= 2)
      unchanged += __shfl_xor_sync(all_lanes, unchanged, by);
    all.unchanged = unchanged;
    return all;
  }
};

template <int width>
__global__ void __launch_bounds__(usual_threads)
    change_stretches(ChangeRows rows, ChangeTotals::Hashes* hashes) {
  using Own = StretchOfLanes<chains * width>;
  const std::int64_t parts = rows.rows * tiles_over(rows.cols, stretch_length);
  const bool tall = rows.all_rows >= rows.cols;
  DigestSums before{}, after{};
  for (std::int64_t start = Own::start(); start < parts; start += Own::step()) {
    const Own own(start, rows.rows, rows.cols);
    double least = 0;
    if (own.count > 0)
      least = least_unit(rows.before.formats[own.index], rows.after.formats[own.index]);
    const std::int64_t at = own.row * rows.row_step + own.col0;
    const double *was = rows.before.numbers + at, *is = rows.after.numbers + at;
    const std::uint32_t row_key = Keys(rows.row0 + own.row, tall)(0);
    const Keys keys(own.col0, !tall);
    ChangeLane<width> lane;
    int j = own.lane;
    for (; j < own.count; j += chains * width) {
      const double w = was[j], next = is[j];
      lane.add(w, next, least);
      lane.sums.unchanged += ChangeLane<width>::is_unchanged(w, next);
      const std::uint32_t key = keys(static_cast<std::uint32_t>(j)) ^ row_key;
      before.add(w, key, rows.before.whole);
      after.add(next, key, rows.after.whole);
    }
    // The CPU fills its last vectors with zeros, whose units it subtracts again.
    const auto filled = static_cast<int>(tiles_over(own.count, chains * width)) * chains * width;
    if (j < filled) lane.add(0.0, 0.0, least);
    ChangeSums sums = lane.over_vectors(own.first_lane);
    if (!own.reports()) continue;
    const double beyond = static_cast<double>(filled - own.count) * least * least;
    sums.before_units2 -= beyond;
    sums.after_units2 -= beyond;
    sums.units = least > 0 ? own.count : 0;
    rows.stretches[own.index] = sums;
  }
  const ChangeTotals::Hashes all{sum_over_lanes(before.sum), sum_over_lanes(before.zeros),
                                 sum_over_lanes(after.sum), sum_over_lanes(after.zeros)};
  if (threadIdx.x % lanes != 0) return;
  atomicAdd(&hashes->before, all.before);
  atomicAdd(&hashes->before_zeros, all.before_zeros);
  atomicAdd(&hashes->after, all.after);
  atomicAdd(&hashes->after_zeros, all.after_zeros);
}

// The first stretch of a row becomes the sum of all its stretches.
__global__ void __launch_bounds__(usual_threads)
    add_stretches_of_rows(ChangeSums* stretches, std::int64_t rows, std::int64_t across) {
  for (std::int64_t i = first_element(); i < rows; i += element_step()) {
    ChangeSums row;
    for (std::int64_t part = 0; part < across; ++part) add(row, stretches[i * across + part]);
    stretches[i * across] = row;
  }
}

// One warp adds the rows one after the other, each lane a field of theirs, while the next rows are
// on their way to shared memory: one thread would wait for each row.
constexpr int real_fields = 6, fields = 8;
static_assert(sizeof(ChangeSums) == fields * sizeof(double) &&
              offsetof(ChangeSums, units) == real_fields * sizeof(double));

__global__ void __launch_bounds__(lanes) add_rows(const ChangeSums* stretches, std::int64_t rows,
                                                  std::int64_t across, ChangeTotal* total) {
  constexpr int chunk = 16, chunks_of_row = sizeof(ChangeSums) / chunk;
  ChangeSums* const shared = shared_memory<ChangeSums>();  // two stages, a row for each lane
  const int lane = static_cast<int>(threadIdx.x);
  const auto load = [&](std::int64_t first, int stage) {
    if (first + lane < rows) {
      const auto* from = reinterpret_cast<const char*>(stretches + (first + lane) * across);
      auto* to = reinterpret_cast<char*>(shared + stage * lanes + lane);
      for (int c = 0; c < chunks_of_row; ++c)
        copy_in_background<chunk>(to + c * chunk, from + c * chunk);
    }
    end_group_of_copies();
  };
  const auto field = [&](auto* sums) { return reinterpret_cast<double*>(sums) + lane; };
  const auto count = [&](auto* sums) { return reinterpret_cast<std::int64_t*>(sums) + lane; };
  LongSum sum;
  std::int64_t counted = 0;
  if (lane < real_fields) sum = {*field(&total->sums), *field(&total->lost)};
  else if (lane < fields) counted = *count(&total->sums);
  load(0, 0);
  int stage = 0;
  for (std::int64_t first = 0; first < rows; first += lanes, stage ^= 1) {
    load(first + lanes, stage ^ 1);
    wait_for_copies<1>();
    __syncwarp();
    const int few = static_cast<int>(smaller(rows - first, lanes));
    ChangeSums* const loaded = shared + stage * lanes;
    if (lane < real_fields)
      for (int i = 0; i < few; ++i) sum.add(*field(loaded + i));
    else if (lane < fields)
      for (int i = 0; i < few; ++i) counted += *count(loaded + i);
    __syncwarp();
  }
  if (lane < real_fields) *field(&total->sums) = sum.total, *field(&total->lost) = sum.lost;
  else if (lane < fields) *count(&total->sums) = counted;
}

}  // namespace

cudaError_t start_change(ChangeTotals* totals, cudaStream_t stream) {
  return set_bytes(totals, 0, sizeof *totals, stream);
}

cudaError_t add_change(const ChangeRows& rows, ChangeTotals* totals, cudaStream_t stream) {
  if (rows.rows <= 0) return cudaSuccess;
  const std::int64_t across = tiles_over(rows.cols, stretch_length);
  cudaError_t error = with_width(rows.vector_lanes, rows.rows * across, [&]<int width>() {
    constexpr unsigned most = 1024;  // blocks, each warp of which adds to the hashes once
    Grid grid = grid_over(rows.rows * across * chains * width);
    grid.blocks = std::min(grid.blocks, most);
    return launch(change_stretches<width>, grid, stream, rows, &totals->hashes);
  });
  if (error == cudaSuccess)
    error = launch(add_stretches_of_rows, grid_over(rows.rows), stream, rows.stretches, rows.rows,
                   across);
  if (error == cudaSuccess)
    error = launch(add_rows, Grid{1, lanes, 2 * lanes * sizeof(ChangeSums)}, stream,
                   static_cast<const ChangeSums*>(rows.stretches), rows.rows, across, &totals->all);
  return error;
}

}  // namespace sigmascope::device
