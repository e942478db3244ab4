// SPDX-License-Identifier: BSD-3-Clause
// Calls of the simulated runtime and operations of its language, each against what CUDA documents.
// Exit status: the number of expectations that are not met, which are printed.
#include <cmath>
#include <cstdio>

#include "memory/memory_pool.hpp"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace runtime_check {
cudaError_t run_exchange(double* shifted, int* third, unsigned* odd, int* least, double* fused,
                         cudaStream_t stream);
}  // namespace runtime_check

namespace {

using namespace sigmascope::device;
namespace simulator = sigmascope::simulator;

int failures = 0;

void expect(bool met, const char* what) {
  if (met) return;
  std::printf("not met: %s\n", what);
  ++failures;
}

void devices() {
  int value = 0;
  expect(cudaGetDeviceCount(&value) == cudaSuccess && value == 2, "two devices");
  expect(cudaSetDevice(2) == cudaErrorInvalidDevice, "there is no third device");
  expect(cudaSetDevice(1) == cudaSuccess && cudaGetDevice(&value) == cudaSuccess && value == 1,
         "the second device is chosen");
  expect(
      cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 1) == cudaSuccess &&
          value == 227 * 1024,
      "shared memory of a block");
  expect(cudaDriverGetVersion(&value) == cudaSuccess && value == 13000, "version of the driver");
  std::size_t free = 0, total = 0;
  {
    const DeviceArray<char> held(1000);
    expect(cudaMemGetInfo(&free, &total) == cudaSuccess && total - free == 1000, "memory in use");
    cudaPointerAttributes attributes{};
    expect(cudaPointerGetAttributes(&attributes, held.data() + 999) == cudaSuccess &&
               attributes.type == cudaMemoryTypeDevice && attributes.device == 1,
           "a pointer to the second device");
    const PinnedArray<char> pinned(10);
    expect(cudaPointerGetAttributes(&attributes, pinned.data()) == cudaSuccess &&
               attributes.type == cudaMemoryTypeHost,
           "a pointer to pinned memory");
    expect(cudaPointerGetAttributes(&attributes, &total) == cudaSuccess &&
               attributes.type == cudaMemoryTypeUnregistered,
           "a pointer to other memory");
    void* at = nullptr;
    expect(cudaMalloc(&at, total) == cudaErrorMemoryAllocation, "more memory than there is");
    expect(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess,
           "the last error, once");
  }
  expect(cudaSetDevice(0) == cudaSuccess, "the first device again");
}

void exchanges() {
  const DeviceArray<double> numbers(64);
  const DeviceArray<int> integers(33);
  const DeviceArray<unsigned> odd(32);
  const PinnedArray<double> got(64);
  const PinnedArray<int> whole(33);
  const PinnedArray<unsigned> votes(32);
  const Stream stream;
  const auto copy = [&](void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream.handle()), "copy");
  };
  check(cudaMemsetAsync(integers.data(), 0x7f, integers.bytes(), stream.handle()), "memset");
  check(runtime_check::run_exchange(numbers.data(), integers.data(), odd.data(),
                                    integers.data() + 32, numbers.data() + 32, stream.handle()),
        "exchange");
  copy(got.data(), numbers.data(), numbers.bytes());
  copy(whole.data(), integers.data(), integers.bytes());
  copy(votes.data(), odd.data(), odd.bytes());
  stream.wait();
  for (std::size_t lane = 0; lane < 32; ++lane) {
    expect(got[lane] == (lane < 31 ? static_cast<double>(lane) + 1 : 31.0), "the next lane's");
    expect(whole[lane] == 30, "lane 3's");
    expect(votes[lane] == 0xaaaaaaaaU, "the votes of odd lanes");
    expect(got[32 + lane] == std::fma(0.1, 10.0, -1.0) && got[32 + lane] != 0, "one rounding");
  }
  expect(whole[32] == 7 - 31, "the least");
}

// Rows of 3 out of rows of 5.
void copies_of_rectangles() {
  const PinnedArray<int> from(10), to(6);
  const DeviceArray<int> between(6);
  const Stream stream;
  for (std::size_t i = 0; i < 10; ++i) from[i] = static_cast<int>(i);
  check(cudaMemcpy2DAsync(between.data(), 12, from.data(), 20, 12, 2, cudaMemcpyHostToDevice,
                          stream.handle()),
        "copy");
  check(cudaMemcpyAsync(to.data(), between.data(), 24, cudaMemcpyDeviceToHost, stream.handle()),
        "copy");
  stream.wait();
  for (std::size_t i = 0; i < 6; ++i)
    expect(to[i] == static_cast<int>(i / 3 * 5 + i % 3), "an element of the rectangle");
  const simulator::Counts counts = simulator::counts();
  expect(counts.bytes_to_device == 24 && counts.launches == 1 && counts.waits == 2, "counts");
}

// What a pool has given out, taken back, and keeps.
void pools() {
  const std::int64_t allocations = simulator::counts().allocations;
  const Stream stream;
  {
    MemoryPool pool(0);
    pool.follow(stream);
    pool.reserve(4096);
    expect(simulator::bytes_in_use() == 4096, "what is planned is reserved");
    void* const first = pool.take(3000);
    void* const second = pool.take(1096);
    expect(simulator::counts().allocations == allocations + 1, "and given out");
    pool.give_back(first);
    void* const third = pool.take(2000);
    expect(simulator::counts().allocations == allocations + 1, "again before a wait");
    void* const more = pool.take(1001);
    expect(simulator::bytes_in_use() == 4097, "a pool grows");
    for (void* at : {second, third, more}) pool.give_back(at);
    stream.wait();
    expect(simulator::bytes_in_use() == 4097, "and keeps what it has");
    expect(pool.shrink(5000) == cudaSuccess && pool.kept() == 4097, "which may be less than asked");
    expect(pool.shrink(1000) == cudaSuccess && pool.kept() == 1000, "or is given back in part");
    expect(simulator::bytes_in_use() == 1000, "to the device");
  }
  expect(simulator::bytes_in_use() == 0, "until its end");
  cudaMemPool_t none = nullptr;
  void* at = nullptr;
  expect(cudaMallocFromPoolAsync(&at, 1, none, stream.handle()) == cudaErrorInvalidValue,
         "there is no such pool");
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 0};
  check(cudaMemPoolCreate(&none, &properties), "cudaMemPoolCreate");
  check(cudaMallocFromPoolAsync(&at, 100, none, stream.handle()), "cudaMallocFromPoolAsync");
  cudaFreeAsync(at, stream.handle());
  expect(simulator::bytes_in_use() == 100, "reserved until the stream is waited for");
  stream.wait();
  expect(simulator::bytes_in_use() == 0, "a pool without a threshold keeps nothing");
  cudaMemPoolDestroy(none);
}

}  // namespace

int main() {
  simulator::Settings settings;
  settings.devices = 2;
  simulator::restart(settings);
  devices(), exchanges(), copies_of_rectangles(), pools();
  expect(simulator::violation().empty() && simulator::objects_in_use() == 0, "nothing is left");
  settings.driver = 12040;
  simulator::restart(settings);
  int count = -1;
  expect(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver && count == 0, "an old driver");
  settings.driver = 13000, settings.devices = 0;
  simulator::restart(settings);
  expect(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0, "no device");
  return failures;
}
