// SPDX-License-Identifier: BSD-3-Clause
// Kernels: every CUDA thread is a fiber, which runs until it waits for others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "simulator/fibers.hpp"
#include "simulator/guarded_memory.hpp"
#include "simulator/runtime.hpp"

namespace sigmascope::simulator {

constexpr unsigned warp_size = 32;

struct Index {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

struct Launch {
  unsigned blocks;
  unsigned grids;  // the second dimension
  unsigned threads;
  std::size_t shared_bytes;
  const char* kernel;  // its name
};

enum class State { ready, at_barrier, in_warp, ended };
enum class Meeting { barrier, shuffle, ballot, mma, matrices };

struct BackgroundCopy {
  void* to;
  const void* from;
  std::size_t bytes;
};

// The operands of a lane: its part of a 16 x 8 tile of sums, of a 16 x 16 and of a 16 x 8 one.
struct MmaPart {
  float* sums = nullptr;
  const std::uint32_t* left = nullptr;
  const std::uint32_t* right = nullptr;
};

// What a lane gets of four matrices of 8 x 8 numbers of 16 bits, and the row that it names.
struct MatrixLoad {
  std::uint32_t* to = nullptr;
  const void* row = nullptr;
  bool transposed = false;
};
constexpr std::size_t matrix_row_bytes = 16;

struct Block;

struct Thread {
  Block* block = nullptr;
  Index index;
  State state = State::ready;
  const void* barrier = nullptr;  // the place in the source
  std::uint32_t lanes = 0;        // of its warp, that take part
  Meeting meeting = Meeting::barrier;
  std::uint64_t value = 0;  // of a shuffle or ballot
  int source = 0;
  MmaPart mma;
  MatrixLoad load;
  unsigned barriers_passed = 0;
  unsigned warp_barriers_passed = 0;
  std::vector<std::vector<BackgroundCopy>> copies{{}};  // by group; the last one is open
  std::unique_ptr<Fiber> fiber;
};

struct Block {
  Index index;
  Index size;
  Index grid;
  std::unique_ptr<GuardedMemory> shared;
  std::vector<Thread> threads;
  std::size_t ended = 0;           // threads
  std::vector<std::size_t> order;  // of threads
  const std::function<void()>* kernel = nullptr;
  Fiber* scheduler = nullptr;
  // Two tokens, used in turn: a thread that leaves one barrier must not be taken for one that has
  // seen what others did on their way to the next.
  std::array<char, 2> barrier_tokens{};
  std::array<std::vector<char>, 2> warp_tokens;
};

Thread& current_thread();

// Leaves the thread until the state is ready again.
void pause(State state);

// Lets the lanes go on that have met for one operation of their warp; whether there were any.
bool release_warps(Block& block);

void perform(std::vector<BackgroundCopy>& copies);

void run_grid(const Launch& launch, const std::function<void()>& kernel);

// Enqueues a kernel, which is the body of one thread.
cudaError_t launch_kernel(cudaStream_t stream, const Launch& launch, std::function<void()> kernel);

}  // namespace sigmascope::simulator
