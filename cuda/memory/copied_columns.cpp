// SPDX-License-Identifier: BSD-3-Clause
#include "memory/copied_columns.hpp"

#include <algorithm>
#include <cstring>

#include "matrix/sizes.hpp"

namespace sigmascope::device {

namespace {

// Calls act(offset, numbers) for groups of columns with `rows` numbers each.
template <class Act>
void each_group(std::int64_t rows, std::int64_t cols, const Act& act) {
  constexpr std::int64_t number = sizeof(double);
  const std::int64_t step =
      std::max<std::int64_t>(copied_at_once / (number * std::max<std::int64_t>(rows, 1)), 1);
  for (std::int64_t first = 0; first < cols && rows > 0; first += step)
    act(first * rows, std::min(step, cols - first) * rows);
}

}  // namespace

DeviceBlock<double> sent_columns(DeviceContext& device, const Small& a) {
  auto block = device.block<double>(a.rows, a.cols);
  each_group(a.rows, a.cols, [&](std::int64_t offset, std::int64_t numbers) {
    const std::size_t bytes = as_size(numbers) * sizeof(double);
    std::memcpy(device.staging.to_fill(bytes), a.data() + offset, bytes);
    device.staging.send(block.data() + offset, bytes, device.compute);
  });
  return block;
}

Small received_columns(DeviceContext& device, const DeviceBlock<double>& a, std::int64_t first,
                       std::int64_t count) {
  Small values(a.rows, count);
  device.staging.receive(values.data(), a.data() + first * a.rows,
                         as_size(a.rows * count) * sizeof(double), device.compute);
  return values;
}

}  // namespace sigmascope::device
