// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/grids.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "simulator/devices.hpp"
#include "simulator/sanitizers.hpp"

namespace sigmascope::simulator {

namespace {

constexpr unsigned largest_block = 1024;
constexpr unsigned most_grids = 65535;

[[gnu::noinline]] Thread*& current() {
  thread_local Thread* thread = nullptr;
  return thread;
}

void run_thread(void* argument) {
  auto& self = *static_cast<Thread*>(argument);
  (*self.block->kernel)();
  for (auto& group : self.copies) perform(group);
  release(self.block->kernel);
  self.fiber->end();
  pause(State::ended);
}

std::vector<std::size_t> ordered(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (devices().settings.order == Order::backward) std::ranges::reverse(order);
  if (devices().settings.order == Order::random) std::ranges::shuffle(order, devices().random);
  return order;
}

// Lets all threads go on, if all that have not ended wait at one barrier.
bool release_barrier(Block& block) {
  const void* barrier = nullptr;
  for (const auto& thread : block.threads) {
    if (thread->state == State::ended) continue;
    if (thread->state != State::at_barrier) return false;
    if (barrier != nullptr && thread->barrier != barrier) {
      devices().violate("threads of a block wait at two different barriers");
      return false;
    }
    barrier = thread->barrier;
  }
  for (const auto& thread : block.threads)
    if (thread->state == State::at_barrier) thread->state = State::ready;
  return barrier != nullptr;
}

// Runs every thread that is ready once; whether any ran.
bool run_ready(Block& block) {
  bool ran = false;
  for (const std::size_t i : ordered(block.threads.size())) {
    Thread& thread = *block.threads[i];
    if (thread.state != State::ready) continue;
    current() = &thread;
    thread.fiber->resume();
    ran = true;
  }
  return ran;
}

bool has_ended(const Block& block) {
  return std::ranges::all_of(block.threads,
                             [](const auto& thread) { return thread->state == State::ended; });
}

Block made_block(const Launch& launch, unsigned index, const std::function<void()>& kernel) {
  Block block;
  block.index = {index % launch.blocks, index / launch.blocks, 0};
  block.size = {launch.threads, 1, 1}, block.grid = {launch.blocks, launch.grids, 1};
  block.shared = std::make_unique<GuardedMemory>(launch.shared_bytes);
  block.kernel = &kernel;
  block.scheduler = &Fiber::running();
  for (auto& tokens : block.warp_tokens)
    tokens.resize((launch.threads + warp_size - 1) / warp_size);
  return block;
}

using Ended = std::vector<std::unique_ptr<Thread>>;

void run_block(Block& block, [[maybe_unused]] Ended& ended) {
  for (unsigned i = 0; i < block.size.x; ++i) {
    auto thread = std::make_unique<Thread>();
    thread->block = &block, thread->index = {i, 0, 0};
    thread->fiber = std::make_unique<Fiber>(&run_thread, thread.get());
    block.threads.push_back(std::move(thread));
  }
  while (devices().sticky == cudaSuccess) {
    const bool ran = run_ready(block);
    if (has_ended(block)) break;
    const bool met = release_warps(block), passed = release_barrier(block);
    if (!ran && !met && !passed)
      devices().violate("threads of a block wait for each other for ever");
  }
  for (auto& thread : block.threads) {
    thread->fiber.reset();
    // To ThreadSanitizer, memory that two threads had one after the other is shared.
    if (watches_races) ended.push_back(std::move(thread));
  }
}

}  // namespace

Thread& current_thread() { return *current(); }

void pause(State state) {
  Thread& self = current_thread();
  self.state = state;
  self.block->scheduler->resume();
}

void perform(std::vector<BackgroundCopy>& copies) {
  for (const BackgroundCopy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
  copies.clear();
}

void run_grid(const Launch& launch, const std::function<void()>& kernel) {
  Ended ended;
  for (const std::size_t index : ordered(std::size_t{launch.blocks} * launch.grids)) {
    if (devices().sticky != cudaSuccess) return;
    Block block = made_block(launch, static_cast<unsigned>(index), kernel);
    run_block(block, ended);
  }
  acquire(&kernel);
}

cudaError_t launch_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> kernel) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (launch.blocks == 0 || launch.grids == 0 || launch.grids > most_grids || launch.threads == 0 ||
      launch.threads > largest_block || launch.shared_bytes > devices().settings.shared_memory)
    return Call::failed(cudaErrorInvalidConfiguration);
  ++devices().counts.launches;
  return enqueue(stream,
                 {.act = [launch, kernel = std::move(kernel)] { run_grid(launch, kernel); }});
}

}  // namespace sigmascope::simulator
