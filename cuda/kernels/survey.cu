// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>

#include "kernels/launches.cuh"
#include "kernels/survey.hpp"

namespace sigmascope::device {

namespace {

constexpr int lanes = 32;
constexpr unsigned all_lanes = 0xffffffffU;
// Vectors of 64 bytes have 8 numbers, and 4 of them are summed at a time: a lane of a warp has one
// of these 32 sums.
constexpr int vector_lanes = 8;

// See digest_keys and add_number in kernels/simd/digest.hpp.
__device__ inline std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ x >> 16) * 0x85ebca6bU;
  x = (x ^ x >> 13) * 0xc2b2ae35U;
  return x ^ x >> 16;
}

// Keys of the places from `start` on, of one side of the matrix.
struct Keys {
  std::uint32_t start, base;
  bool longer;

  __device__ Keys(std::int64_t first, bool is_longer)
      : start(static_cast<std::uint32_t>(first)),
        base(mixed(static_cast<std::uint32_t>(first >> 32) +
                   (is_longer ? 0x9e3779b9U : 0x7f4a7c15U))),
        longer(is_longer) {}

  __device__ std::uint32_t operator()(std::uint32_t i) const {
    const std::uint32_t key = mixed(mixed(start + i) ^ base);
    return longer ? key | 1U : key & ~1U;
  }
};

__device__ inline std::uint64_t bits_of(double number) {
  return static_cast<std::uint64_t>(__double_as_longlong(number));
}

// What one lane has found.
struct Found {
  double squares = 0;
  std::uint64_t largest = 0;  // bits of a magnitude
  SurveyTotals::Sums sums{};
  unsigned long long place = ~0ULL;

  __device__ void add(double number, unsigned long long at, std::uint32_t key, bool whole) {
    const std::uint64_t magnitude = bits_of(number) << 1 >> 1;
    constexpr std::uint64_t infinity = std::uint64_t{0x7ff} << 52;
    if (magnitude >= infinity) {
      ++(magnitude > infinity ? sums.nans : sums.infinities);
      if (at < place) place = at;
      return;
    }
    squares = fused(number, number, squares);
    if (magnitude > largest) largest = magnitude;
    if (magnitude == 0) sums.digest_zeros += key;
    else sums.digest += hashed(number, key, whole);
  }

 private:
  __device__ static std::uint64_t hashed(double number, std::uint32_t key, bool whole) {
    constexpr std::uint64_t fraction_rest = (std::uint64_t{1} << 29) - 1;
    constexpr std::uint32_t rest_key = 0x85ebca6aU;
    std::uint64_t bits = bits_of(number), bias = std::uint64_t{896} << 23;
    if (bits << 1 >> 53 == 0) {  // subnormal
      bits = bits_of(number * 0x1p54);
      bias += std::uint64_t{54} << 23;
    }
    const std::uint64_t magnitude = bits << 1 >> 1, sign = bits >> 63 << 31;
    if (!whole)
      return (((magnitude + (fraction_rest >> 1) + (magnitude >> 29 & 1)) >> 29) - bias + sign) *
             key;
    return ((magnitude >> 29) - bias + sign) * key + (magnitude & fraction_rest) * (key ^ rest_key);
  }
};

// The sum of a warp's sums, as a CPU adds its vectors: the first two and the last two of the four,
// each pair over its lanes in their order.
__device__ inline double sum_of_lanes(double sum) {
  const double pair = sum + __shfl_xor_sync(all_lanes, sum, vector_lanes);
  double first = 0, second = 0;
  for (int lane = 0; lane < vector_lanes; ++lane) {
    first += __shfl_sync(all_lanes, pair, lane);
    second += __shfl_sync(all_lanes, pair, lane + 2 * vector_lanes);
  }
  return first + second;
}

__device__ inline unsigned long long sum_over_lanes(unsigned long long value) {
  for (int by = lanes / 2; by > 0; by /= 2) value += __shfl_xor_sync(all_lanes, value, by);
  return value;
}
__device__ inline unsigned long long least_of_lanes(unsigned long long value) {
  for (int by = lanes / 2; by > 0; by /= 2) {
    const unsigned long long other = __shfl_xor_sync(all_lanes, value, by);
    if (other < value) value = other;
  }
  return value;
}

// A warp surveys a stretch of a row at a time.
template <class T>
__global__ void __launch_bounds__(usual_threads)
    survey_stretches(SurveyedPanel<T> panel, double* squares, SurveyTotals* totals) {
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const std::int64_t across = tiles_over(panel.cols, stretch_length);
  Found found;
  for (std::int64_t part = first_element() / lanes; part < panel.rows * across;
       part += element_step() / lanes) {
    const std::int64_t i = part / across, j0 = part % across * stretch_length,
                       first = (panel.row0 + i) * panel.cols + j0;
    const T* numbers = panel.numbers + i * panel.cols + j0;
    const std::uint32_t row_key = Keys(panel.hashed_row0 + panel.row0 + i, panel.tall)(0);
    const Keys keys(panel.hashed_col0 + j0, !panel.tall);
    const int count = static_cast<int>(smaller(stretch_length, panel.cols - j0));
    found.squares = 0;
    for (int j = lane; j < count; j += lanes)
      found.add(static_cast<double>(numbers[j]), static_cast<unsigned long long>(first + j),
                keys(static_cast<std::uint32_t>(j)) ^ row_key, panel.whole);
    const double sum = sum_of_lanes(found.squares);
    if (lane == 0) squares[part] = sum;
  }
  const SurveyTotals::Sums sums{
      sum_over_lanes(found.sums.digest), sum_over_lanes(found.sums.digest_zeros),
      sum_over_lanes(found.sums.nans), sum_over_lanes(found.sums.infinities)};
  const unsigned long long place = least_of_lanes(found.place),
                           largest = least_of_lanes(~found.largest);
  if (lane != 0) return;
  atomicAdd(&totals->sums.digest, sums.digest);
  atomicAdd(&totals->sums.digest_zeros, sums.digest_zeros);
  atomicAdd(&totals->sums.nans, sums.nans);
  atomicAdd(&totals->sums.infinities, sums.infinities);
  atomicMin(&totals->least.place, place);
  atomicMin(&totals->least.largest, largest);
}

__global__ void __launch_bounds__(usual_threads)
    add_stretches(const double* squares, std::int64_t rows, std::int64_t across, double* sums) {
  for (std::int64_t i = first_element(); i < rows; i += element_step()) {
    double sum = 0;
    for (std::int64_t part = 0; part < across; ++part) sum += squares[i * across + part];
    sums[i] = sum;
  }
}

}  // namespace

cudaError_t start_survey(SurveyTotals* totals, cudaStream_t stream) {
  const cudaError_t error = cudaMemsetAsync(&totals->sums, 0, sizeof totals->sums, stream);
  if (error != cudaSuccess) return error;
  return cudaMemsetAsync(&totals->least, 0xff, sizeof totals->least, stream);
}

template <class T>
cudaError_t survey(const SurveyedPanel<T>& panel, double* workspace, double* row_squares,
                   SurveyTotals* totals, cudaStream_t stream) {
  if (panel.rows <= 0) return cudaSuccess;
  if (panel.cols > 0) {
    constexpr unsigned most = 1024;  // blocks, each of which adds to the totals once
    Grid grid = grid_over(panel.workspace() * lanes);
    grid.blocks = std::min(grid.blocks, most);
    const cudaError_t error = launch(survey_stretches<T>, grid, stream, panel, workspace, totals);
    if (error != cudaSuccess) return error;
  }
  return launch(add_stretches, grid_over(panel.rows), stream, static_cast<const double*>(workspace),
                panel.rows, tiles_over(panel.cols, stretch_length), row_squares);
}

template cudaError_t survey(const SurveyedPanel<float>&, double*, double*, SurveyTotals*,
                            cudaStream_t);
template cudaError_t survey(const SurveyedPanel<double>&, double*, double*, SurveyTotals*,
                            cudaStream_t);

}  // namespace sigmascope::device
