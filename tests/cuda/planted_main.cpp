// SPDX-License-Identifier: BSD-3-Clause
// Runs every kernel of planted.cu with one mistake, and checks the answers.
//
//   planted MISTAKE ORDER TIMING SEED [FAILING_CALL]
//
// Exit status 0: all answers are right, and the device was asked for nothing that it must not be.
// Prints the number of calls of the runtime, and of objects left behind.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "memory/memory_pool.hpp"
#include "planted.hpp"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope::device;
using planted::Mistake;

float number(std::uint64_t i) {
  i = (i + 1) * 0x9E3779B97F4A7C15ULL;
  i ^= i >> 31, i *= 0xBF58476D1CE4E5B9ULL, i ^= i >> 29;
  return static_cast<float>(static_cast<double>(i >> 11) * 0x1p-52 - 1);
}

std::uint16_t code(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<std::uint16_t>(bits >> 16);
}

float value(std::uint16_t code) {
  const std::uint32_t bits = static_cast<std::uint32_t>(code) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const Stream& on) {
  check(cudaMemcpyAsync(to, from, bytes, kind, on.handle()), "cudaMemcpyAsync");
}

bool near(double value, double expected) { return std::abs(value - expected) < 1e-4; }

// Sums of the rows of a matrix whose panels go through two pinned buffers.
bool rows_through_a_ring(Mistake mistake) {
  constexpr std::size_t rows = 37, columns = 500, height = 8;
  std::vector<float> matrix(rows * columns);
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] = number(i);
  std::array staged{PinnedArray<float>(height * columns), PinnedArray<float>(height * columns)};
  std::array panels{DeviceArray<float>(height * columns), DeviceArray<float>(height * columns)};
  const PinnedArray<double> answer(rows);
  const DeviceArray<double> sums(rows);
  std::array<Event, 2> copied, used;
  const Stream copying, working;
  for (std::size_t i = 0, panel = 0; i < rows; i += height, ++panel) {
    const std::size_t slot = panel % 2, many = std::min(height, rows - i) * columns;
    const bool again = panel >= 2;
    if (again && mistake != Mistake::pinned_refilled) copied[slot].wait();
    std::copy_n(matrix.data() + i * columns, many, staged[slot].data());
    if (again && mistake != Mistake::panel_overwritten) used[slot].precede(copying);
    copy(panels[slot].data(), staged[slot].data(), many * sizeof(float), cudaMemcpyHostToDevice,
         copying);
    copied[slot].record(copying);
    if (mistake != Mistake::panel_not_awaited) copied[slot].precede(working);
    check(planted::run_sum_rows(panels[slot].data(), static_cast<std::int64_t>(many / columns),
                                columns, sums.data() + i, mistake, working.handle()),
          "sum_rows");
    used[slot].record(working);
  }
  copy(answer.data(), sums.data(), sums.bytes(), cudaMemcpyDeviceToHost, working);
  if (mistake != Mistake::answer_not_awaited) working.wait();
  bool right = true;
  for (std::size_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < columns; ++j) sum += static_cast<double>(matrix[i * columns + j]);
    right = right && near(answer[i], sum);
  }
  if (mistake == Mistake::device_read_by_host) right = right && near(sums.data()[0], answer[0]);
  working.wait(), copying.wait();
  return right;
}

bool small_kernels(Mistake mistake) {
  constexpr std::size_t count = 4 * 128, odd = count - 37;
  const PinnedArray<float> x(count), y(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = number(i + 5);
  const DeviceArray<float> on_device(count), reversed(count), swapped(32), added(odd);
  const DeviceArray<unsigned> positive(1);
  const PinnedArray<unsigned> positive_on_host(1);
  const Stream stream;
  std::vector<float> pageable(x.data(), x.data() + count);
  if (mistake != Mistake::memory_not_set)
    copy(on_device.data(), mistake == Mistake::pageable_copy ? pageable.data() : x.data(),
         x.bytes(), cudaMemcpyHostToDevice, stream);
  const cudaStream_t on = mistake == Mistake::default_stream ? nullptr : stream.handle();
  check(planted::run_reverse_tiles(on_device.data(), count, reversed.data(), mistake, on),
        "reverse_tiles");
  check(planted::run_swap_pairs(on_device.data(), swapped.data(), mistake, on), "swap_pairs");
  check(planted::run_add_one(on_device.data(), odd, added.data(), mistake, on), "add_one");
  check(cudaMemsetAsync(positive.data(), 0, sizeof(unsigned), stream.handle()), "cudaMemsetAsync");
  check(planted::run_count_positive(on_device.data(), count, positive.data(), mistake, on),
        "count_positive");
  copy(positive_on_host.data(), positive.data(), sizeof(unsigned), cudaMemcpyDeviceToHost, stream);
  const auto fetched = [&](const DeviceArray<float>& from) {
    copy(y.data(), from.data(), from.bytes(), cudaMemcpyDeviceToHost, stream);
    stream.wait();
    return y.data();
  };
  bool right = true;
  const float* back = fetched(reversed);
  for (std::size_t i = 0; i < count; ++i)
    right = right && back[i] == x[i / 128 * 128 + 127 - i % 128];
  back = fetched(swapped);
  for (std::size_t i = 0; i < 32; ++i) right = right && back[i] == x[i ^ 1U];
  back = fetched(added);
  for (std::size_t i = 0; i < odd; ++i) right = right && back[i] == x[i] + 1.0F;
  const auto above = std::count_if(x.data(), x.data() + count, [](float each) { return each > 0; });
  if (mistake == Mistake::freed_too_early) {
    DeviceArray<float> gone(odd);
    check(planted::run_add_one(on_device.data(), odd, gone.data(), Mistake::none, on), "add_one");
  }
  if (mistake == Mistake::freed_twice) {
    const DeviceArray<float> twice(odd);
    cudaFree(twice.data());
  }
  stream.wait();
  return right && positive_on_host[0] == static_cast<unsigned>(above);
}

bool tensor_core(Mistake mistake) {
  constexpr std::size_t steps = 5, width = steps * 16;
  const PinnedArray<std::uint16_t> a(16 * width + 8), x(8 * width);
  const PinnedArray<float> y(16 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = code(number(i));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = code(number(i + 99));
  const DeviceArray<std::uint16_t> left(a.size()), right(x.size());
  const DeviceArray<float> sums(y.size());
  const Stream stream;
  copy(left.data(), a.data(), a.bytes(), cudaMemcpyHostToDevice, stream);
  copy(right.data(), x.data(), x.bytes(), cudaMemcpyHostToDevice, stream);
  check(planted::run_multiply(left.data(), right.data(), steps, sums.data(), mistake,
                              stream.handle()),
        "multiply");
  copy(y.data(), sums.data(), y.bytes(), cudaMemcpyDeviceToHost, stream);
  stream.wait();
  bool good = true;
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j) {
      double sum = 0;
      for (std::size_t e = 0; e < width; ++e)
        sum += static_cast<double>(value(a[i * width + e]) * value(x[j * width + e]));
      good = good && near(y[i * 8 + j], sum);
    }
  return good;
}

// Waits for a stream in the end, whether or not something failed.
struct Settled {
  const Stream& stream;
  explicit Settled(const Stream& waited_for) : stream(waited_for) {}
  ~Settled() { stream.settle(); }
};

// Memory of a pool, which is taken and given back in the order of one stream and read by another.
bool pooled(Mistake mistake) {
  const PinnedArray<float> x(64), y(64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = number(i + 3), y[i] = 0;
  const Stream filling, reading;
  MemoryPool pool(0);
  pool.follow(filling);
  pool.reserve(4096);
  const auto await = [](const Stream& stream, const Stream& other, bool forgotten) {
    Event reached;
    reached.record(other);
    if (!forgotten) reached.precede(stream);
  };
  auto array = std::make_unique<PoolArray>(pool, x.bytes());
  const Settled settled(reading);
  std::byte* const at = array->data();
  copy(at, x.data(), x.bytes(), cudaMemcpyHostToDevice, filling);
  await(reading, filling, mistake == Mistake::pool_not_awaited);
  copy(y.data(), at, y.bytes(), cudaMemcpyDeviceToHost, reading);
  await(filling, reading, mistake == Mistake::given_back_early);
  array.reset();
  if (mistake == Mistake::given_back_twice) pool.give_back(at);
  reading.wait(), filling.wait();
  return std::equal(x.data(), x.data() + x.size(), y.data());
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i) { return argc > i ? std::atoi(argv[i]) : 0; };
  namespace simulator = sigmascope::simulator;
  const auto mistake = static_cast<Mistake>(argument(1));
  simulator::Settings settings;
  settings.order = static_cast<simulator::Order>(argument(2));
  settings.timing = static_cast<simulator::Timing>(argument(3));
  settings.seed = static_cast<std::uint64_t>(argument(4));
  if (argc > 5) settings.failing_call = argument(5);
  simulator::restart(settings);
  bool right = false;
  std::string error;
  try {
    right = rows_through_a_ring(mistake) && small_kernels(mistake) && tensor_core(mistake) &&
            pooled(mistake);
  } catch (const CudaError& thrown) {
    error = thrown.what();
  }
  std::printf("%lld calls, %lld objects left; %s; %s; %s\n",
              static_cast<long long>(simulator::counts().calls),
              static_cast<long long>(simulator::objects_in_use()),
              right ? "right answers" : "wrong answers", error.c_str(),
              simulator::violation().c_str());
  return right && error.empty() && simulator::violation().empty() ? 0 : 1;
}
