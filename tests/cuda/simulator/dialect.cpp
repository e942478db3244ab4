// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/dialect.hpp"

#include <iterator>

#include "simulator/devices.hpp"
#include "simulator/sanitizers.hpp"

namespace sigmascope::simulator {

namespace {

void count_copy(Work& work, const void* from, std::size_t bytes) {
  const auto after = devices().memory.upper_bound(const_cast<void*>(from));
  ++work.copies;
  if (after == devices().memory.begin()) return;  // memory that the program has mapped itself
  work.bytes_copied[std::prev(after)->second->memory.size()] += static_cast<std::int64_t>(bytes);
}

}  // namespace

Index thread_index() { return current_thread().index; }
Index block_index() { return current_thread().block->index; }
Index block_size() { return current_thread().block->size; }
Index grid_size() { return current_thread().block->grid; }
int lane() { return static_cast<int>(current_thread().index.x % warp_size); }
void* shared_memory() { return current_thread().block->shared->data(); }

void wait_at_barrier(const void* place) {
  Thread& self = current_thread();
  self.barrier = place;
  const char& token = self.block->barrier_tokens[self.barriers_passed++ % 2];
  release(&token);
  pause(State::at_barrier);
  acquire(&token);
}

void wait_for_warp(std::uint32_t lanes) {
  Thread& self = current_thread();
  self.lanes = lanes, self.meeting = Meeting::barrier;
  const char& token =
      self.block->warp_tokens[self.warp_barriers_passed++ % 2][self.index.x / warp_size];
  release(&token);
  pause(State::in_warp);
  acquire(&token);
}

std::uint64_t exchanged(std::uint32_t lanes, Meeting meeting, std::uint64_t value, int source) {
  Thread& self = current_thread();
  self.lanes = lanes, self.meeting = meeting, self.value = value, self.source = source;
  pause(State::in_warp);
  return self.value;
}

void multiply_tile(const MmaPart& part) {
  Thread& self = current_thread();
  if (Work* work = devices().work()) ++work->tiles;
  self.lanes = 0xffffffffU, self.meeting = Meeting::mma, self.mma = part;
  pause(State::in_warp);
}

void load_matrices(const MatrixLoad& load) {
  if (reinterpret_cast<std::uintptr_t>(load.row) % matrix_row_bytes != 0)
    return devices().violate("a row of a matrix of 8 x 8 starts at an address that is not aligned");
  Thread& self = current_thread();
  if (Work* work = devices().work()) ++work->fragments;
  self.lanes = 0xffffffffU, self.meeting = Meeting::matrices, self.load = load;
  pause(State::in_warp);
}

void copy_in_background(void* to, const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
    return devices().violate("a copy in the background from or to an address that is not aligned");
  if (Work* work = devices().work()) count_copy(*work, from, bytes);
  auto& open = current_thread().copies.back();
  open.push_back({to, from, bytes});
  if (devices().settings.timing == Timing::eager) perform(open);
}

void end_group_of_copies() { current_thread().copies.emplace_back(); }

void wait_for_copies(int groups_left) {
  auto& groups = current_thread().copies;
  while (static_cast<int>(groups.size()) - 1 > groups_left) {
    perform(groups.front());
    groups.erase(groups.begin());
  }
}

}  // namespace sigmascope::simulator
