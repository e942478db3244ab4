// SPDX-License-Identifier: BSD-3-Clause
// Matrices of a batch, each computed by a thread of its own, for the sanitizers: random blocks,
// inner products and combinations, with the bits of one thread alone. Some matrices have fewer
// steps or other widths. Arguments: order, timing, seed, matrices, threads that run at a time.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "kernels/verbs.hpp"
#include "matrix/sizes.hpp"
#include "memory/device_context.hpp"
#include "runtime/batch.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope;
using namespace sigmascope::device;

using Numbers = std::vector<double>;

Numbers received(DeviceContext& device, const DeviceBlock<double>& x) {
  Numbers numbers(as_size(x.size()));
  device.staging.receive(numbers.data(), x.data(), x.bytes(), device.compute);
  return numbers;
}

// The inner products of two random blocks after each of a few steps, which change one of them.
Numbers computed(std::int64_t matrix) {
  DeviceContext device(0);
  const cudaStream_t stream = device.compute.handle();
  const std::int64_t rows = 70, cols = 2 + matrix % 2, steps = 2 + matrix % 3;
  const auto x = device.block<double>(rows, cols), y = device.block<double>(rows, cols);
  check(set_bytes(y.data(), 0, y.bytes(), stream), "a fill");
  check(fill_gaussian(BlockView<double>{x.data(), rows, cols}, 5, matrix, stream), "gaussian");
  Row<double> row;
  row.add(x.data(), cols);
  Numbers results;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto factors = device.block<double>(cols, cols), sums = device.block<double>(cols, cols),
               partial = device.block<double>(cols, cols);
    auto* numbers = reinterpret_cast<double*>(device.staging.to_fill(factors.bytes()));
    for (std::int64_t i = 0; i < factors.size(); ++i)
      numbers[i] = 1 / static_cast<double>(matrix + step + i + 1);
    device.staging.send(factors.data(), factors.bytes(), device.compute);
    check(combine(BlockView<double>{y.data(), rows, cols}, row,
                  static_cast<const double*>(factors.data()), stream),
          "a combination");
    check(inner(row, BlockView<const double>{y.data(), rows, cols}, partial.data(), sums.data(),
                stream),
          "inner products");
    const Numbers one = received(device, sums);
    results.insert(results.end(), one.begin(), one.end());
  }
  const Numbers all = received(device, y);
  results.insert(results.end(), all.begin(), all.end());
  return results;
}

std::vector<Numbers> computed_together(std::size_t matrices, std::size_t threads) {
  std::vector<Numbers> results(matrices);
  Batch batch(0, matrices, threads);
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < matrices; ++i)
    running.emplace_back([&, i] {
      Batch::Member& member = batch.enter(i);
      Recorder::of_thread() = &member;
      results[i] = computed(static_cast<std::int64_t>(i));
      Recorder::of_thread() = nullptr;
      batch.leave(member);
    });
  for (std::thread& thread : running) thread.join();
  return results;
}

}  // namespace

int main(int, char** arguments) {
  simulator::Settings settings;
  settings.order = static_cast<simulator::Order>(std::atoi(arguments[1]));
  settings.timing = static_cast<simulator::Timing>(std::atoi(arguments[2]));
  settings.seed = static_cast<std::uint64_t>(std::atoi(arguments[3]));
  const auto matrices = static_cast<std::size_t>(std::atoi(arguments[4])),
             threads = static_cast<std::size_t>(std::atoi(arguments[5]));
  simulator::restart(settings);
  const std::vector<Numbers> together = computed_together(matrices, threads);
  if (!simulator::violation().empty()) {
    std::printf("violation: %s\n", simulator::violation().c_str());
    return 1;
  }
  for (std::size_t i = 0; i < matrices; ++i)
    if (const Numbers alone = computed(static_cast<std::int64_t>(i)); together[i] != alone) {
      std::printf("matrix %zu has other bits\n", i);
      return 1;
    }
  return 0;
}
