// SPDX-License-Identifier: BSD-3-Clause
// Pinned memory of the process, lent to several threads at once, and copies through it: in the
// order and timing of the arguments, from the file of the last one. Exit status: the number of
// expectations that are not met, which are printed.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "memory/pinned_memory.hpp"
#include "memory/upload.hpp"
#include "simulator/settings.hpp"
#include "storage/file.hpp"

namespace {

using namespace sigmascope::device;
namespace simulator = sigmascope::simulator;

constexpr std::size_t kib = 1024;

int failures = 0;

void expect(bool met, const char* what) {
  if (met) return;
  std::printf("not met: %s\n", what);
  ++failures;
}

// How many pinned allocations there are, with those that are kept.
std::int64_t allocations() { return simulator::objects_in_use(); }

void what_is_given_back_is_lent_again() {
  PinnedMemory memory(1024 * kib);
  const std::int64_t before = simulator::counts().pinned_allocations;
  for (int call = 0; call < 3; ++call) {
    const auto small = memory.piece(1), large = memory.piece(200 * kib), other = memory.piece(5);
    expect(small.size() == 64 * kib && large.size() == 256 * kib, "few sizes");
    expect(small.data() != other.data(), "each piece is lent once");
  }
  expect(simulator::counts().pinned_allocations == before + 3, "a second call pins nothing");
  expect(memory.kept() == 3 && allocations() == 3, "three pieces are kept");
  memory.clear();
  expect(memory.kept() == 0 && allocations() == 0, "nothing is kept");
}

void memory_is_bounded() {
  PinnedMemory memory(256 * kib);
  {
    const auto first = memory.piece(128 * kib), second = memory.piece(128 * kib);
    const auto beyond = memory.piece(64 * kib);
    expect(beyond.data() != nullptr, "a call does not wait for others");
  }
  expect(memory.kept() == 2 && allocations() == 2, "what is beyond the bound is freed");
  {
    const auto other = memory.piece(64 * kib);
  }
  expect(memory.kept() == 2, "a piece that nobody uses makes room for one of another size");
  {
    const auto larger = memory.piece(256 * kib);
  }
  expect(memory.kept() == 1 && allocations() == 1, "and all of them for one of their size");
  memory.clear();
}

void a_failure_loses_nothing() {
  for (int failing = 0; failing < 4; ++failing) {
    simulator::Settings settings = simulator::settings();
    settings.failing_call = failing;
    simulator::restart(settings);
    PinnedMemory memory(192 * kib);
    int failed = 0;
    for (int call = 0; call < 4; ++call) {
      try {
        {
          const auto one = memory.piece(64 * kib);
        }
        const auto other = memory.piece(128 * kib);
      } catch (const CudaError&) {
        ++failed;
      }
    }
    expect(failed == (failing < 1 ? 1 : 0), "with memory to free, a call tries again");
    expect(memory.kept() == 2, "as much is kept as without a failure");
    memory.clear();
    expect(allocations() == 0, "nothing is lost");
  }
}

// Every piece is written and read by the thread that has it, and by no other one.
void threads_share_it() {
  PinnedMemory memory(512 * kib);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int mark = 1; mark <= 8; ++mark)
    threads.emplace_back([&, mark] {
      for (std::size_t call = 0; call < 50; ++call) {
        const std::size_t bytes = (64 * kib) << (call % 3);
        const auto one = memory.piece(bytes), other = memory.piece(bytes);
        for (const auto* piece : {&one, &other}) std::memset(piece->data(), mark, 4 * kib);
        std::this_thread::yield();
        for (const auto* piece : {&one, &other})
          for (std::size_t i = 0; i < 4 * kib; i += 512)
            if (piece->data()[i] != static_cast<std::byte>(mark)) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  expect(wrong == 0, "a piece is lent to one thread at a time");
  expect(static_cast<std::int64_t>(memory.kept()) == allocations(), "nothing is lost by threads");
  memory.clear();
}

std::byte pattern(std::size_t i) { return static_cast<std::byte>(i * 7 + i / 251); }

// Bytes of memory in steps, and of a file from an odd place on, through three buffers of 64 KiB,
// which so many threads fill.
void copies_are_whole(const char* path, int threads) {
  constexpr std::size_t count = 500 * kib + 3, offset = 5001;
  std::vector<std::byte> numbers(2 * count + offset);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = pattern(i);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size()));
  for (const auto caching : {sigmascope::Caching::kept, sigmascope::Caching::none}) {
    const auto file = std::make_shared<const sigmascope::File>(path, caching);
    const auto bytes = sigmascope::Bytes::in_file(file, 1000, count + offset);
    const DeviceArray<std::byte> there(2 * count + 64);
    const PinnedArray<std::byte> back(2 * count + 64);
    const Stream stream;
    sigmascope::ThreadPool pool(threads);
    Upload upload(stream, 64 * kib);
    upload.fill_by(pool);
    Event copied;
    for (int again = 0; again < 2; ++again) {
      upload.start(there.data(), 2 * count);
      upload.add({numbers.data(), 1, static_cast<std::int64_t>(count), 1, 0, 2});
      upload.align(16);
      upload.add(bytes, offset - 1000, count);
      upload.finish(copied);
      copied.precede(stream);
    }
    check(cudaMemcpyAsync(back.data(), there.data(), back.bytes(), cudaMemcpyDeviceToHost,
                          stream.handle()),
          "a copy");
    stream.wait();
    std::size_t wrong = 0;
    constexpr std::size_t second = (count + 15) / 16 * 16;
    for (std::size_t i = 0; i < count; ++i)
      wrong += (back[i] != pattern(2 * i)) + (back[second + i] != pattern(offset + i));
    expect(wrong == 0, "every byte is where it was sent");
  }
  pinned_memory().clear();
}

// While buffers are copied, the host fills the next ones: it waits for the first of three when it
// needs that again, and not before.
void buffers_are_filled_while_others_are_copied(const char* path) {
  constexpr std::size_t buffer = 64 * kib, most = 7;
  const std::vector<std::byte> numbers(most * buffer);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size()));
  const auto file = std::make_shared<const sigmascope::File>(path, sigmascope::Caching::kept);
  const auto bytes = sigmascope::Bytes::in_file(file, 0, numbers.size());
  for (const bool in_file : {false, true})
    for (std::size_t count = 1; count <= most; ++count) {
      const DeviceArray<std::byte> there(most * buffer);
      const Stream stream;
      sigmascope::ThreadPool pool(2);
      Upload upload(stream, buffer);
      upload.fill_by(pool);
      Event copied;
      const std::int64_t before = simulator::counts().waits;
      const std::size_t of_buffer =
          in_file ? 2 * sigmascope::ByteSource::most_in(buffer / 2) : buffer;
      upload.start(there.data(), most * buffer);
      if (in_file) upload.add(bytes, 0, count * of_buffer);
      else upload.add({numbers.data(), 1, static_cast<std::int64_t>(count * of_buffer), 1, 0, 1});
      upload.finish(copied);
      const std::int64_t waits = simulator::counts().waits - before;
      expect(waits == (count > 3 ? static_cast<std::int64_t>(count) - 3 : 0), "waits of the host");
      stream.wait();
    }
  pinned_memory().clear();
}

}  // namespace

int main(int, char** arguments) {
  simulator::Settings settings;
  settings.order = static_cast<simulator::Order>(std::atoi(arguments[1]));
  settings.timing = static_cast<simulator::Timing>(std::atoi(arguments[2]));
  simulator::restart(settings);
  what_is_given_back_is_lent_again();
  memory_is_bounded();
  threads_share_it();
  for (const int threads : {1, 3}) copies_are_whole(arguments[3], threads);
  buffers_are_filled_while_others_are_copied(arguments[3]);
  a_failure_loses_nothing();
  expect(simulator::violation().empty() && simulator::objects_in_use() == 0, "nothing is left");
  return failures;
}
