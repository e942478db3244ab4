// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>

#include "kernels/bytes.hpp"
#include "kernels/codes.cuh"
#include "kernels/digest.cuh"
#include "kernels/launches.cuh"
#include "kernels/moments.hpp"
#include "kernels/vector_order.cuh"

namespace sigmascope::device {

namespace {

__device__ inline bool is_finite(double number) { return magnitude_bits(number) < infinity_bits; }

// What the lanes of a stretch have seen of it, but for sums of powers.
struct Seen {
  double minimum = HUGE_VAL, maximum = -HUGE_VAL, least = HUGE_VAL;
  int first_nonfinite = stretch_length;
  // Of zeros, NaN and infinities, 16 bits for each: a stretch has at most 2^12.
  std::uint64_t counts = 0;

  __device__ void add(double number, int place) {
    if (!is_finite(number)) {
      counts += std::uint64_t{1} << (number != number ? 16 : 32);
      if (place < first_nonfinite) first_nonfinite = place;
      return;
    }
    if (number < minimum) minimum = number;
    if (number > maximum) maximum = number;
    if (number == 0) ++counts;
    else if (fabs(number) < least) least = fabs(number);
  }
  __device__ std::int64_t zeros() const { return static_cast<std::int64_t>(counts & 0xffffU); }
  __device__ std::int64_t nans() const { return static_cast<std::int64_t>(counts >> 16 & 0xffffU); }
  __device__ std::int64_t infinities() const { return static_cast<std::int64_t>(counts >> 32); }

  // That of `width` lanes, for each of them.
  template <int width>
  __device__ void join() {
    for (int by = width / 2; by > 0; by /= 2) {
      minimum = fmin(minimum, __shfl_xor_sync(all_lanes, minimum, by));
      maximum = fmax(maximum, __shfl_xor_sync(all_lanes, maximum, by));
      least = fmin(least, __shfl_xor_sync(all_lanes, least, by));
      counts += __shfl_xor_sync(all_lanes, counts, by);
      const int other = __shfl_xor_sync(all_lanes, first_nonfinite, by);
      if (other < first_nonfinite) first_nonfinite = other;
    }
    minimum += 0.0, maximum += 0.0;  // never -0, see Extremes in kernels/simd/element_extremes.hpp
  }
};

// The numbers of a stretch, and the place of this lane in its vectors.
struct Numbers {
  const double* first;
  int count;
  int lane;
  bool finite;  // all of them
};

template <int width>
struct PowerLane {
  PowerSums sums{};

  __device__ void add(double d) {
    const double square = d * d;
    sums.first += d;
    sums.second += square;
    sums.third = MultiplyAdd<width>{}(square, d, sums.third);
    sums.fourth = MultiplyAdd<width>{}(square, square, sums.fourth);
  }
  __device__ PowerSums over_vector(int first_lane) const {
    return {sum_of_vector<width>(sums.first, first_lane),
            sum_of_vector<width>(sums.second, first_lane),
            sum_of_vector<width>(sums.third, first_lane),
            sum_of_vector<width>(sums.fourth, first_lane)};
  }
};

// Sums about a pivot. Where numbers are left out, the others close up before vectors are formed.
template <int width>
__device__ PowerLane<width> powers_about(double pivot, const Numbers& numbers) {
  PowerLane<width> powers;
  if (numbers.finite) {
    for (int j = numbers.lane; j < numbers.count; j += width) powers.add(numbers.first[j] - pivot);
    return powers;
  }
  int place = 0;
  for (int j = 0; j < numbers.count; ++j) {
    const double number = numbers.first[j];
    if (!is_finite(number)) continue;
    if (place % width == numbers.lane) powers.add(number - pivot);
    ++place;
  }
  return powers;
}

// Until they are central, the fields mean, m2, m3 and m4 of a stretch are its sums of powers.
__device__ inline void set_powers(const PowerSums& sums, Stretch* out) {
  out->mean = sums.first, out->m2 = sums.second, out->m3 = sums.third, out->m4 = sums.fourth;
}
__device__ inline PowerSums powers_of(const Stretch& stretch) {
  return {stretch.mean, stretch.m2, stretch.m3, stretch.m4};
}

// Sums about zero. Divisions, which are calls, are left to kernels without shuffles: registers
// would be spilled here.
template <int width>
__global__ void __launch_bounds__(usual_threads) sum_stretches(MomentsRows rows) {
  using Own = StretchOfLanes<width>;
  for (std::int64_t start = Own::start(); start < rows.all_stretches(); start += Own::step()) {
    const Own own(start, rows.rows, rows.cols);
    Numbers numbers{rows.numbers + own.row * rows.cols + own.col0, own.count, own.lane, true};
    Seen seen;
    for (int j = numbers.lane; j < numbers.count; j += width) seen.add(numbers.first[j], j);
    seen.join<width>();
    numbers.finite = seen.nans() + seen.infinities() == 0;
    const PowerSums sums = powers_about<width>(0.0, numbers).over_vector(own.first_lane);
    if (!own.reports()) continue;
    Stretch out;
    out.count = static_cast<double>(numbers.count - seen.nans() - seen.infinities());
    set_powers(sums, &out);
    out.sum_squares = sums.second, out.zeros = seen.zeros();
    out.minimum = seen.minimum, out.maximum = seen.maximum;
    const bool decoded = !numbers.finite || rows.formats[own.index] == DType::f64;
    out.least = decoded ? seen.least : HUGE_VAL;
    out.nans = seen.nans(), out.infinities = seen.infinities();
    out.first_nonfinite = numbers.finite ? -1 : seen.first_nonfinite;
    rows.stretches[own.index] = out;
  }
}

// The pivots about which powers are to be summed: 0 where sums about zero serve.
__global__ void __launch_bounds__(usual_threads) find_pivots(MomentsRows rows) {
  for (std::int64_t e = first_element(); e < rows.all_stretches(); e += element_step()) {
    const Stretch& stretch = rows.stretches[e];
    const double mean = stretch.mean / stretch.count,
                 pivot = stretch.minimum == stretch.maximum ? stretch.minimum : mean;
    const bool serve = stretch.count == 0 || serves(powers_of(stretch), mean);
    rows.pivots[e] = serve ? 0.0 : pivot;
  }
}

template <int width>
__global__ void __launch_bounds__(usual_threads) sum_about_pivots(MomentsRows rows) {
  using Own = StretchOfLanes<width>;
  for (std::int64_t start = Own::start(); start < rows.all_stretches(); start += Own::step()) {
    const Own own(start, rows.rows, rows.cols);
    const double pivot = own.count > 0 ? rows.pivots[own.index] : 0.0;
    if (__ballot_sync(all_lanes, pivot != 0) == 0) continue;
    PowerLane<width> powers;
    if (pivot != 0) {
      const Stretch& stretch = rows.stretches[own.index];
      powers = powers_about<width>(pivot, {rows.numbers + own.row * rows.cols + own.col0, own.count,
                                           own.lane, stretch.first_nonfinite < 0});
    }
    const PowerSums sums = powers.over_vector(own.first_lane);
    if (own.reports() && pivot != 0) set_powers(sums, &rows.stretches[own.index]);
  }
}

// With the second bound ptxas spills no register around the division.
template <int width>
__global__ void __launch_bounds__(usual_threads, 1) center_stretches(MomentsRows rows) {
  for (std::int64_t e = first_element(); e < rows.all_stretches(); e += element_step()) {
    Stretch& stretch = rows.stretches[e];
    const double count = stretch.count;  // if it is 0, so are all sums
    set_central(count == 0 ? 1.0 : count, rows.pivots[e], powers_of(stretch), MultiplyAdd<width>{},
                &stretch);
    stretch.count = count;
  }
}

// The first stretch of a row becomes the sum of all its stretches.
__global__ void __launch_bounds__(usual_threads)
    sum_rows(Stretch* stretches, std::int64_t rows, std::int64_t across, double* row_squares) {
  for (std::int64_t i = first_element(); i < rows; i += element_step()) {
    const Stretch row = merged_row(stretches + i * across, across, 1, stretch_length);
    row_squares[i] = row.sum_squares;
    stretches[i * across] = row;
  }
}

// Rows of one group among those of a part of a matrix.
struct GroupRows {
  std::int64_t from, to;

  __device__ GroupRows(std::int64_t group, const MomentsRows& rows)
      : from(group * group_rows < rows.row0 ? 0 : group * group_rows - rows.row0),
        to(smaller((group + 1) * group_rows - rows.row0, rows.rows)) {}
};

__global__ void __launch_bounds__(usual_threads)
    add_to_groups(MomentsRows rows, std::int64_t across, RowGroup* groups) {
  const std::int64_t first = rows.row0 / group_rows, end = groups_of(rows.row0 + rows.rows);
  for (std::int64_t g = first + first_element(); g < end; g += element_step()) {
    const GroupRows own(g, rows);
    RowGroup group = groups[g];
    for (std::int64_t i = own.from; i < own.to; ++i)
      add_row(group, rows.stretches[i * across], rows.row0 + i);
    groups[g] = group;
  }
}

// Column sums of squares of each group, row after row; the first group may have begun before.
__global__ void __launch_bounds__(usual_threads)
    sum_columns(MomentsRows rows, const double* open_columns) {
  const std::int64_t first = rows.row0 / group_rows,
                     groups = groups_of(rows.row0 + rows.rows) - first;
  for (std::int64_t e = first_element(); e < groups * rows.cols; e += element_step()) {
    const std::int64_t g = e / rows.cols, j = e - g * rows.cols;
    const GroupRows own(first + g, rows);
    double sum = g == 0 && rows.row0 % group_rows > 0 ? open_columns[j] : 0.0;
    for (std::int64_t i = own.from; i < own.to; ++i) {
      const double number = rows.numbers[i * rows.cols + j];
      if (is_finite(number)) sum += number * number;
    }
    rows.column_groups[e] = sum;
  }
}

__global__ void __launch_bounds__(usual_threads) add_columns(MomentsRows rows, MomentsSums sums) {
  const std::int64_t first = rows.row0 / group_rows, end = rows.row0 + rows.rows,
                     groups = groups_of(end) - first;
  const bool ends = end % group_rows == 0 || end == rows.all_rows;
  for (std::int64_t j = first_element(); j < rows.cols; j += element_step()) {
    LongSum sum{sums.column_squares[j], sums.column_losses[j]};
    for (std::int64_t g = 0; g < groups - !ends; ++g)
      sum.add(rows.column_groups[g * rows.cols + j]);
    sums.column_squares[j] = end == rows.all_rows ? sum.value() : sum.total;
    sums.column_losses[j] = sum.lost;
    if (!ends) sums.open_columns[j] = rows.column_groups[(groups - 1) * rows.cols + j];
  }
}

__global__ void __launch_bounds__(usual_threads)
    clear_groups(RowGroup* groups, std::int64_t count) {
  for (std::int64_t g = first_element(); g < count; g += element_step()) groups[g] = empty_group();
}

template <class Code>
__global__ void __launch_bounds__(usual_threads)
    count_codes_of(StoredPiece piece, unsigned long long* counts) {
  for (std::int64_t e = first_element(); e < piece.rows * piece.cols; e += element_step()) {
    const std::int64_t i = e / piece.cols, j = e - i * piece.cols;
    const std::byte* at = piece.data + i * piece.row_stride + j * piece.col_stride;
    atomicAdd(&counts[code_at<Code>(at)], 1ULL);
  }
}

}  // namespace

cudaError_t start_moments(const MomentsSums& sums, std::int64_t rows, std::int64_t cols,
                          cudaStream_t stream) {
  const auto bytes = static_cast<std::size_t>(cols) * sizeof(double);
  for (double* columns : {sums.column_squares, sums.column_losses}) {
    const cudaError_t error = set_bytes(columns, 0, bytes, stream);
    if (error != cudaSuccess) return error;
  }
  return launch(clear_groups, grid_over(groups_of(rows)), stream, sums.groups, groups_of(rows));
}

cudaError_t add_moments(const MomentsRows& rows, const MomentsSums& sums, cudaStream_t stream) {
  if (rows.rows <= 0) return cudaSuccess;
  const std::int64_t across = tiles_over(rows.cols, stretch_length),
                     groups = groups_of(rows.row0 + rows.rows) - rows.row0 / group_rows;
  const std::int64_t all = rows.rows * across;
  cudaError_t error = with_width(rows.vector_lanes, all, [&]<int width>() {
    cudaError_t code = launch(sum_stretches<width>, grid_over(all * width), stream, rows);
    if (code == cudaSuccess) code = launch(find_pivots, grid_over(all), stream, rows);
    if (code == cudaSuccess)
      code = launch(sum_about_pivots<width>, grid_over(all * width), stream, rows);
    if (code != cudaSuccess) return code;
    return launch(center_stretches<width>, grid_over(all), stream, rows);
  });
  if (error == cudaSuccess)
    error = launch(sum_rows, grid_over(rows.rows), stream, rows.stretches, rows.rows, across,
                   sums.row_squares + rows.row0);
  if (error == cudaSuccess)
    error = launch(add_to_groups, grid_over(groups), stream, rows, across, sums.groups);
  if (error == cudaSuccess)
    error = launch(sum_columns, grid_over(groups * rows.cols), stream, rows,
                   static_cast<const double*>(sums.open_columns));
  if (error == cudaSuccess) error = launch(add_columns, grid_over(rows.cols), stream, rows, sums);
  return error;
}

cudaError_t count_codes(const StoredPiece& piece, unsigned long long* counts, cudaStream_t stream) {
  const Grid grid = grid_over(piece.rows * piece.cols);
  switch (info(piece.dtype).size) {
    case 1: return launch(count_codes_of<std::uint8_t>, grid, stream, piece, counts);
    case 2: return launch(count_codes_of<std::uint16_t>, grid, stream, piece, counts);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace sigmascope::device
