// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "kernels/bytes.hpp"
#include "kernels/digest.cuh"
#include "kernels/launches.cuh"
#include "kernels/simd/stretch_sums.hpp"
#include "kernels/survey.hpp"
#include "kernels/vector_order.cuh"
#include "kernels/warps.cuh"
#include "runtime/calls.cuh"

namespace sigmascope::device {

namespace {

constexpr int chains = 4;  // vectors whose sums are made at a time, see survey_as

// What one lane has found.
template <int width>
struct Found {
  double squares = 0;
  std::uint64_t largest = 0;  // bits of a magnitude
  DigestSums digest{};
  unsigned long long nans = 0, infinities = 0, place = ~0ULL;

  __device__ void add(double number, unsigned long long at, std::uint32_t key, bool whole) {
    const std::uint64_t magnitude = magnitude_bits(number);
    if (magnitude >= infinity_bits) {
      ++(magnitude > infinity_bits ? nans : infinities);
      if (at < place) place = at;
      return;
    }
    squares = MultiplyAdd<width>{}(number, number, squares);
    if (magnitude > largest) largest = magnitude;
    digest.add(number, key, whole);
  }
};

// The sum over the lanes of a stretch, as a CPU adds its vectors: the first two and the last two of
// the four, each pair over its lanes in their order.
template <int width>
__device__ double sum_of_chains(double sum, int first) {
  const double pair = sum + __shfl_xor_sync(all_lanes, sum, width);
  return sum_of_vector<width>(pair, first) + sum_of_vector<width>(pair, first + 2 * width);
}

// `chains width` lanes of a warp have a stretch at a time, see sum_stretches in moments.cu.
template <int width, class T>
__device__ void survey_stretches(const SurveyedPanel<T>& panel, double* squares,
                                 SurveyTotals* totals) {
  using Own = StretchOfLanes<chains * width>;
  const std::int64_t parts = panel.rows * tiles_over(panel.cols, stretch_length);
  Found<width> row_survey;
  for (std::int64_t start = Own::start(); start < parts; start += Own::step()) {
    const Own own(start, panel.rows, panel.cols);
    const std::int64_t i = panel.row0 + own.row, first = i * panel.cols + own.col0;
    const T* numbers = panel.numbers + own.row * panel.cols + own.col0;
    const std::uint32_t row_key = Keys(panel.hashed_row0 + i, panel.tall)(0);
    const Keys keys(panel.hashed_col0 + own.col0, !panel.tall);
    row_survey.squares = 0;
    for (int j = own.lane; j < own.count; j += chains * width)
      row_survey.add(static_cast<double>(numbers[j]), static_cast<unsigned long long>(first + j),
                     keys(static_cast<std::uint32_t>(j)) ^ row_key, panel.whole);
    const double sum = sum_of_chains<width>(row_survey.squares, own.first_lane);
    if (own.reports()) squares[own.index] = sum;
  }
  const SurveyTotals::Sums sums{
      sum_over_lanes(row_survey.digest.sum), sum_over_lanes(row_survey.digest.zeros),
      sum_over_lanes(row_survey.nans), sum_over_lanes(row_survey.infinities)};
  const unsigned long long place = least_of_lanes(row_survey.place),
                           largest = least_of_lanes(~row_survey.largest);
  if (threadIdx.x % lanes != 0) return;
  atomicAdd(&totals->sums.digest, sums.digest);
  atomicAdd(&totals->sums.digest_zeros, sums.digest_zeros);
  atomicAdd(&totals->sums.nans, sums.nans);
  atomicAdd(&totals->sums.infinities, sums.infinities);
  atomicMin(&totals->least.place, place);
  atomicMin(&totals->least.largest, largest);
}

__device__ void add_stretches(const double* squares, std::int64_t rows, std::int64_t across,
                              double* sums) {
  for (std::int64_t i = first_element(); i < rows; i += element_step()) {
    LongSum sum;
    for (std::int64_t part = 0; part < across; ++part) sum.add(squares[i * across + part]);
    sums[i] = sum.value();
  }
}

}  // namespace

cudaError_t start_survey(SurveyTotals* totals, cudaStream_t stream) {
  const cudaError_t error = set_bytes(&totals->sums, 0, sizeof totals->sums, stream);
  if (error != cudaSuccess) return error;
  return set_bytes(&totals->least, 0xff, sizeof totals->least, stream);
}

template <class T>
cudaError_t survey(const SurveyedPanel<T>& panel, double* workspace, double* row_squares,
                   SurveyTotals* totals, cudaStream_t stream) {
  if (panel.rows <= 0) return cudaSuccess;
  if (panel.cols > 0) {
    constexpr unsigned most = 1024;  // blocks, each of which adds to the totals once
    const cudaError_t error = with_width(panel.vector_lanes, panel.workspace(), [&]<int width>() {
      Grid grid = grid_over(panel.workspace() * chains * width);
      grid.blocks = std::min(grid.blocks, most);
      return launch<survey_stretches<width, T>, usual_threads>(grid, stream, panel, workspace,
                                                               totals);
    });
    if (error != cudaSuccess) return error;
  }
  return launch<add_stretches, usual_threads>(grid_over(panel.rows), stream, workspace, panel.rows,
                                              tiles_over(panel.cols, stretch_length), row_squares);
}

template cudaError_t survey(const SurveyedPanel<float>&, double*, double*, SurveyTotals*,
                            cudaStream_t);
template cudaError_t survey(const SurveyedPanel<double>&, double*, double*, SurveyTotals*,
                            cudaStream_t);

}  // namespace sigmascope::device
