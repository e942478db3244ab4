// SPDX-License-Identifier: BSD-3-Clause
// Settings of a simulated device, for what CUDA leaves open: order and content; and its counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sigmascope::simulator {

// Order of the threads of a block from one barrier to the next, and of the blocks of a grid.
enum class Order { forward, backward, random };

// When an operation of a stream runs: when it is enqueued, when something waits for it, or at a
// random time between these.
enum class Timing { eager, late, random };

// The sum that a tensor core makes of an fp32 number and `terms` products at a time: every addend
// is truncated to 24 + `extra_bits` bits below the largest, and the sum to 24 bits. A100: 8 terms,
// 1 bit; H100: 16 terms, 2 bits (Fasi et al. 2021; Li et al. 2024). With 0 terms the sum is exact
// and rounded once.
struct TensorCore {
  int terms = 16;
  int extra_bits = 2;
};

// cuBLAS and cuSOLVER, and the mistakes of an eigenvalue solver.
struct LibrarySettings {
  int cublas = 130100;  // version 13.1.0
  int cusolver = 120004;
  int info = 0;      // of every solver
  double scale = 1;  // of its largest value
  int lost = 0;      // so many leading vectors are those of the least values
};

constexpr std::int64_t no_call = -1;
constexpr int no_device = -1;

struct Settings {
  Order order = Order::random;
  Timing timing = Timing::late;
  std::uint64_t seed = 1;
  int devices = 1;
  int occupied = no_device;  // a device that another process has alone: no context can be made
  int driver = 13000;        // 0: no driver is installed
  int capability = 90;       // compute capability 9.0
  std::size_t memory = std::size_t{1} << 30;
  bool memory_pools = true;
  bool pools_keep = true;  // what a trim allows them to keep; CUDA promises no such thing
  std::size_t shared_memory = std::size_t{227} << 10;  // of a block
  std::int64_t failing_call = no_call;                 // number of the call that fails, from 0
  int failure = 2;                                     // its error: out of memory
  TensorCore tensor_core;
  LibrarySettings libraries;
  // Unless it is 0, so many blocks of every grid run and launches are listed, with what these did;
  // memory has no content and nothing is copied. So the work on a large matrix is counted.
  unsigned counted_blocks = 0;
};

// Calls of the runtime, and what they asked for.
struct Counts {
  std::int64_t calls = 0;
  std::int64_t launches = 0;
  std::int64_t allocations = 0;  // of the device's memory, by pools too
  std::int64_t pools = 0;
  std::int64_t streams = 0;
  std::int64_t pinned_allocations = 0;  // of the host's
  std::int64_t waits = 0;  // of the host, for a stream or an event; or it sees that it need not
  std::int64_t bytes_to_device = 0;
  std::int64_t bytes_to_host = 0;
};

// What blocks of a grid did. Instructions of a warp count once for each of its lanes.
struct Work {
  std::int64_t tiles = 0;                            // of tensor cores
  std::int64_t fragments = 0;                        // loads of four matrices of 8 x 8
  std::int64_t copies = 0;                           // in the background
  std::map<std::size_t, std::int64_t> bytes_copied;  // by the size of the memory they are from
};

struct Launched {
  std::string kernel;
  unsigned blocks, grids;
  std::int64_t blocks_run = 0;
  Work work;  // of these
};

// A copy to a device, or a wait of the host until so many of them have ended.
struct Uploaded {
  std::size_t bytes = 0;  // 0: a wait
  std::size_t copies = 0;
};

// Frees everything and begins anew: counts at zero, no launches, no violation.
void restart(const Settings& settings);
Settings settings();
Counts counts();
std::vector<Launched> launches();  // if they are listed
std::vector<Uploaded> uploads();   // if launches are listed

std::vector<int> contexts();    // devices that have one
std::size_t bytes_in_use();     // of the device's memory
std::int64_t objects_in_use();  // allocations, also pinned, pools, streams, events, handles
std::string violation();        // the first thing that a device must not be asked for; or empty

}  // namespace sigmascope::simulator
