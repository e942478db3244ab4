// SPDX-License-Identifier: BSD-3-Clause
// Instructions of tensor cores, with any registers. Argument: mma, ldmatrix or ldmatrix.trans. Each
// block is one warp and executes the instruction once. Standard input has the operands of every
// block, and standard output gets the registers of every lane.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/device.cuh"
#include "runtime/handles.hpp"
#include "simulator/settings.hpp"

namespace {

using namespace sigmascope::device;
namespace simulator = sigmascope::simulator;

constexpr unsigned lanes = 32, rows = 64, columns = 8;

struct Operands {
  struct {
    MmaSums sums;
    MmaLeft left;
    MmaRight right;
  } of_lane[lanes];
};
struct Sums {
  MmaSums of_lane[lanes];
};

__global__ void multiply(const Operands* operands, Sums* sums) {
  const auto& own = operands[blockIdx.x].of_lane[threadIdx.x];
  MmaSums& results = sums[blockIdx.x].of_lane[threadIdx.x];
  for (int i = 0; i < 4; ++i) results[i] = own.sums[i];
  mma_bf16(results, own.left, own.right);
}

// The content of shared memory, and the row that each lane names.
struct Rows {
  std::uint16_t codes[rows * columns];
  std::uint32_t of_lane[lanes];
};
struct Matrices {
  Fragments of_lane[lanes];
};

template <bool transposed>
__global__ void load(const Rows* memory, Matrices* matrices) {
  std::uint16_t* shared = shared_memory<std::uint16_t>();
  const Rows& own = memory[blockIdx.x];
  for (unsigned i = threadIdx.x; i < rows * columns; i += lanes) shared[i] = own.codes[i];
  __syncthreads();
  const std::uint16_t* row = shared + own.of_lane[threadIdx.x] * columns;
  Fragments& results = matrices[blockIdx.x].of_lane[threadIdx.x];
  if (transposed) load_transposed_matrices(results, row);
  else load_matrices(results, row);
}

template <class Input, class Output>
void run(void (*kernel)(const Input*, Output*), std::size_t shared_bytes) {
  std::vector<Input> inputs;
  for (Input next; std::fread(&next, sizeof next, 1, stdin) == 1;) inputs.push_back(next);
  const std::size_t count = inputs.size();
  const PinnedArray<Input> sent(count);
  const PinnedArray<Output> received(count);
  const DeviceArray<Input> from(count);
  const DeviceArray<Output> to(count);
  const Stream stream;
  std::memcpy(sent.data(), inputs.data(), sent.bytes());
  check(cudaMemcpyAsync(from.data(), sent.data(), from.bytes(), cudaMemcpyHostToDevice,
                        stream.handle()),
        "copy");
  check(launch(kernel, {static_cast<unsigned>(count), lanes, shared_bytes}, stream.handle(),
               from.data(), to.data()),
        "launch");
  check(cudaMemcpyAsync(received.data(), to.data(), to.bytes(), cudaMemcpyDeviceToHost,
                        stream.handle()),
        "copy");
  stream.wait();
  std::fwrite(received.data(), sizeof(Output), count, stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string instruction = argc > 1 ? argv[1] : "";
  simulator::restart({});
  if (instruction == "mma") run(multiply, 0);
  else if (instruction == "ldmatrix") run(load<false>, sizeof Rows::codes);
  else if (instruction == "ldmatrix.trans") run(load<true>, sizeof Rows::codes);
  else return 2;
  std::fputs(simulator::violation().c_str(), stderr);
  return simulator::violation().empty() ? 0 : 1;
}
