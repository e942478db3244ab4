// SPDX-License-Identifier: BSD-3-Clause
// Operations of a warp: its lanes meet, exchange values or multiply a tile, and go on.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <string>

#include "simulator/devices.hpp"
#include "simulator/grids.hpp"
#include "simulator/tensor_core.hpp"

namespace sigmascope::simulator {

namespace {

using Lanes = std::span<Thread>;

bool has_lane(std::uint32_t lanes, std::size_t lane) { return (lanes >> lane & 1U) != 0; }

// Whether every lane that takes part has arrived at the same operation.
bool have_met(Lanes warp, const Thread& leader) {
  for (std::size_t lane = 0; lane < warp_size; ++lane) {
    if (!has_lane(leader.lanes, lane)) continue;
    if (lane >= warp.size() || warp[lane].state == State::ended) {
      devices().violate("lane " + std::to_string(lane) +
                        " takes part in an operation of its warp, but has ended or is not there");
      return false;
    }
    const Thread& other = warp[lane];
    if (other.state != State::in_warp || other.lanes != leader.lanes ||
        other.meeting != leader.meeting)
      return false;
  }
  return true;
}

void shuffle(Lanes warp, std::uint32_t lanes) {
  std::array<std::uint64_t, warp_size> received{};
  for (std::size_t lane = 0; lane < warp.size(); ++lane) {
    if (!has_lane(lanes, lane)) continue;
    const auto source = static_cast<std::size_t>(warp[lane].source);
    if (source >= warp_size || !has_lane(lanes, source))
      return devices().violate("a shuffle reads from a lane that takes no part");
    received[lane] = warp[source].value;
  }
  for (std::size_t lane = 0; lane < warp.size(); ++lane)
    if (has_lane(lanes, lane)) warp[lane].value = received[lane];
}

void ballot(Lanes warp, std::uint32_t lanes) {
  std::uint64_t votes = 0;
  for (std::size_t lane = 0; lane < warp.size(); ++lane)
    if (has_lane(lanes, lane) && warp[lane].value != 0) votes |= std::uint64_t{1} << lane;
  for (std::size_t lane = 0; lane < warp.size(); ++lane)
    if (has_lane(lanes, lane)) warp[lane].value = votes;
}

double bf16_of(std::uint32_t pair, bool second) {
  return static_cast<double>(std::bit_cast<float>(second ? pair & 0xffff0000U : pair << 16));
}

// The fragments of mma.m16n8k16, as the PTX manual lays them over the lanes.
void multiply(Lanes warp) {
  std::array<Terms, 16> left;
  std::array<Terms, 8> right;  // by columns
  for (std::size_t lane = 0; lane < warp_size; ++lane) {
    const MmaPart& part = warp[lane].mma;
    const std::size_t row = lane / 4, column = lane % 4 * 2;
    for (std::size_t half = 0; half < 2; ++half) {
      const bool second = half == 1;
      left[row][column + half] = bf16_of(part.left[0], second);
      left[row + 8][column + half] = bf16_of(part.left[1], second);
      left[row][column + 8 + half] = bf16_of(part.left[2], second);
      left[row + 8][column + 8 + half] = bf16_of(part.left[3], second);
      right[row][column + half] = bf16_of(part.right[0], second);
      right[row][column + 8 + half] = bf16_of(part.right[1], second);
    }
  }
  const TensorCore& core = devices().settings.tensor_core;
  for (std::size_t lane = 0; lane < warp_size; ++lane)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float& sum = warp[lane].mma.sums[i];
      sum = tensor_core_sum(core, sum, left[row], right[column]);
    }
}

// The fragments of ldmatrix.m8n8.x4, as the PTX manual lays them over the lanes.
void load_matrices(Lanes warp) {
  const auto number = [&](std::size_t matrix, std::size_t row, std::size_t column) {
    std::uint16_t code = 0;
    std::memcpy(&code,
                static_cast<const char*>(warp[matrix * 8 + row].load.row) + column * sizeof code,
                sizeof code);
    return std::uint32_t{code};
  };
  for (std::size_t lane = 0; lane < warp_size; ++lane) {
    const MatrixLoad& load = warp[lane].load;
    const std::size_t i = lane / 4, j = lane % 4 * 2;
    for (std::size_t matrix = 0; matrix < 4; ++matrix)
      load.to[matrix] = load.transposed ? number(matrix, j, i) | number(matrix, j + 1, i) << 16
                                        : number(matrix, i, j) | number(matrix, i, j + 1) << 16;
  }
}

bool release_warp(Lanes warp) {
  bool any = false;
  for (std::size_t lane = 0; lane < warp.size(); ++lane) {
    const Thread& leader = warp[lane];
    if (leader.state != State::in_warp) continue;
    const std::uint32_t lanes = leader.lanes;
    if (!has_lane(lanes, lane)) {
      devices().violate("a lane is not among those of its own warp operation");
      return false;
    }
    if (!have_met(warp, leader)) continue;
    switch (leader.meeting) {
      case Meeting::barrier: break;
      case Meeting::shuffle: shuffle(warp, lanes); break;
      case Meeting::ballot: ballot(warp, lanes); break;
      case Meeting::mma: multiply(warp); break;
      case Meeting::matrices: load_matrices(warp); break;
    }
    for (std::size_t other = 0; other < warp.size(); ++other)
      if (has_lane(lanes, other)) warp[other].state = State::ready;
    any = true;
  }
  return any;
}

}  // namespace

bool release_warps(Block& block) {
  bool any = false;
  for (std::size_t first = 0; first < block.threads.size(); first += warp_size) {
    const std::size_t count = std::min<std::size_t>(warp_size, block.threads.size() - first);
    any = release_warp(Lanes(block.threads).subspan(first, count)) || any;
  }
  return any;
}

}  // namespace sigmascope::simulator
