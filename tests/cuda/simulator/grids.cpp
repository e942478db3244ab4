// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/grids.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>

#include "simulator/devices.hpp"
#include "simulator/sanitizers.hpp"

namespace sigmascope::simulator {

namespace {

constexpr unsigned largest_block = 1024;
constexpr unsigned most_grids = 65535;
// Dynamic shared memory of a block, of a kernel for which no attribute allows more.
constexpr std::size_t most_shared_memory = std::size_t{48} << 10;

[[gnu::noinline]] Thread*& current() {
  [[gnu::tls_model("initial-exec")]] static constinit thread_local Thread* thread = nullptr;
  return thread;
}

void run_thread(void* argument) {
  auto& self = *static_cast<Thread*>(argument);
  (*self.block->kernel)();
  for (auto& group : self.copies) perform(group);
  release(self.block->kernel);
  ++self.block->ended;
  self.fiber->end();
  pause(State::ended);
}

std::vector<std::size_t> first_order(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (devices().settings.order == Order::backward) std::ranges::reverse(order);
  return order;
}

// A random order is another one each time.
void draw_order(std::vector<std::size_t>& order) {
  if (devices().settings.order == Order::random) std::ranges::shuffle(order, devices().random);
}

// Lets all threads go on, if all that have not ended wait at one barrier.
bool release_barrier(Block& block) {
  const void* barrier = nullptr;
  for (const Thread& thread : block.threads) {
    if (thread.state == State::ended) continue;
    if (thread.state != State::at_barrier) return false;
    if (barrier != nullptr && thread.barrier != barrier) {
      devices().violate("threads of a block wait at two different barriers");
      return false;
    }
    barrier = thread.barrier;
  }
  for (Thread& thread : block.threads)
    if (thread.state == State::at_barrier) thread.state = State::ready;
  return barrier != nullptr;
}

// Runs every thread that is ready once; whether any ran.
bool run_ready(Block& block) {
  bool ran = false;
  draw_order(block.order);
  for (const std::size_t i : block.order) {
    Thread& thread = block.threads[i];
    if (thread.state != State::ready) continue;
    current() = &thread;
    thread.fiber->resume();
    ran = true;
  }
  return ran;
}

// What all blocks of a grid have in common; they run one after the other in the same memory.
Block made_block(const Launch& launch, const std::function<void()>& kernel) {
  Block block;
  block.size = {launch.threads, 1, 1}, block.grid = {launch.blocks, launch.grids, 1};
  block.shared = std::make_unique<GuardedMemory>(launch.shared_bytes, Content::undefined);
  block.threads.resize(launch.threads);
  block.order = first_order(launch.threads);
  block.kernel = &kernel;
  block.scheduler = &Fiber::running();
  return block;
}

void begin_thread(Block& block, unsigned i) {
  Thread& thread = block.threads[i];
  std::unique_ptr<Fiber> fiber = std::move(thread.fiber);
  thread = {};
  thread.block = &block, thread.index = {i, 0, 0};
  if (fiber) {
    fiber->restart();
    thread.fiber = std::move(fiber);
  } else {
    thread.fiber = std::make_unique<Fiber>(&run_thread, &thread);
  }
}

void begin_block(Block& block, unsigned index) {
  block.index = {index % block.grid.x, index / block.grid.x, 0};
  block.ended = 0;
  block.shared->fill();
  for (auto& tokens : block.warp_tokens)
    tokens.assign((block.size.x + warp_size - 1) / warp_size, 0);
  for (unsigned i = 0; i < block.size.x; ++i) begin_thread(block, i);
}

void run_block(Block& block) {
  while (devices().sticky == cudaSuccess) {
    const bool ran = run_ready(block);
    if (block.ended == block.threads.size()) break;
    const bool met = release_warps(block), passed = release_barrier(block);
    if (!ran && !met && !passed)
      devices().violate("threads of a block wait for each other for ever");
  }
}

// Begins the list of what a launch does.
void list(const Launch& launch, std::size_t blocks_run) {
  devices().launches.push_back({.kernel = launch.kernel,
                                .blocks = launch.blocks,
                                .grids = launch.grids,
                                .blocks_run = static_cast<std::int64_t>(blocks_run),
                                .work = {}});
}

void leave_block(Block& block) {
  block.shared.reset();
  for (Thread& thread : block.threads) thread.fiber.reset();
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
  std::vector<std::size_t> order = first_order(std::size_t{launch.blocks} * launch.grids);
  draw_order(order);
  if (const std::size_t most = devices().settings.counted_blocks; most > 0) {
    const std::size_t all = order.size();
    order.resize(std::min(all, most));
    list(launch, order.size());
  }
  // To ThreadSanitizer, memory that two threads had one after the other is shared: there each block
  // has its own, which the next one does not get.
  std::deque<Block> blocks;
  for (const std::size_t index : order) {
    if (devices().sticky != cudaSuccess) return;
    if (watches_races || blocks.empty()) blocks.push_back(made_block(launch, kernel));
    begin_block(blocks.back(), static_cast<unsigned>(index));
    run_block(blocks.back());
    if (watches_races) leave_block(blocks.back());
  }
  acquire(&kernel);
}

cudaError_t launch_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> kernel) {
  const Call call;
  if (call.error() != cudaSuccess) return call.error();
  if (launch.blocks == 0 || launch.grids == 0 || launch.grids > most_grids || launch.threads == 0 ||
      launch.threads > largest_block)
    return Call::failed(cudaErrorInvalidConfiguration);
  if (launch.shared_bytes > std::min(most_shared_memory, devices().settings.shared_memory))
    return Call::failed(cudaErrorInvalidValue);
  ++devices().counts.launches;
  return enqueue(stream,
                 {.act = [launch, kernel = std::move(kernel)] { run_grid(launch, kernel); }});
}

}  // namespace sigmascope::simulator
