// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/batch.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

namespace sigmascope::device {

void Batch::Member::add(Operation operation) { recorded_.push_back(std::move(operation)); }

void Batch::Member::finish() {
  const cudaError_t error = finished();
  if (error != cudaSuccess) throw CudaError(error, "operations of several matrices");
}

// Waits for all operations; the first error of one.
cudaError_t Batch::Member::finished() {
  std::unique_lock lock(batch_.mutex_);
  if (recorded_.empty() && !direct_) return cudaSuccess;
  batch_.wait(*this, lock);
  direct_ = false;
  return std::exchange(error_, cudaSuccess);
}

void Batch::Member::precede_direct() {
  finish();
  direct_ = true;
}

// Nobody asks for the results, and so for the error of one.
void Batch::Member::settle() noexcept { static_cast<void>(finished()); }

void Batch::Member::settle_direct() noexcept {
  direct_ = true;
  settle();
}

Batch::Batch(int device, std::size_t matrices, std::size_t threads)
    : device_(device), turns_(std::max<std::size_t>(threads, 1)) {
  const ChosenDevice chosen(device);
  stream_ = std::make_unique<Stream>(device);
  for (std::size_t i = 0; i < matrices; ++i) members_.push_back(std::make_unique<Member>(*this));
}

Batch::Member& Batch::enter(std::size_t index) {
  std::unique_lock lock(mutex_);
  Member& member = *members_.at(index);
  if (member.state_ != Member::State::expected)
    throw std::invalid_argument("a matrix of a batch begins once, before the batch is closed");
  member.state_ = Member::State::running;
  take_turn(lock);
  return member;
}

void Batch::leave(Member& member) {
  const std::lock_guard lock(mutex_);
  member.state_ = Member::State::ended;
  member.recorded_.clear();
  give_turn();
}

void Batch::close() {
  const std::lock_guard lock(mutex_);
  for (const auto& member : members_)
    if (member->state_ == Member::State::expected) member->state_ = Member::State::ended;
  changed_.notify_all();
}

void Batch::take_turn(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return turns_ > 0; });
  --turns_;
}

void Batch::give_turn() {
  ++turns_;
  changed_.notify_all();
}

bool Batch::all_wait() const {
  return std::ranges::none_of(members_, [](const auto& member) {
    return member->state_ == Member::State::expected || member->state_ == Member::State::running;
  });
}

// Other threads run meanwhile. The last one that waits starts what all have recorded.
void Batch::wait(Member& member, std::unique_lock<std::mutex>& lock) {
  member.state_ = Member::State::waiting;
  give_turn();
  while (member.state_ == Member::State::waiting)
    if (all_wait()) start_all();
    else changed_.wait(lock);
  take_turn(lock);
}

// Each matrix has its operations in their order. The one with the most operations left is next, so
// that matrices with operations that others do not have catch up.
std::vector<Batch::Launch> Batch::launches() {
  std::vector<Launch> launches;
  const auto left = [](const auto& member) { return member->recorded_.size() - member->planned_; };
  for (;;) {
    const auto most = std::ranges::max_element(members_, {}, left);
    if (most == members_.end() || left(*most) == 0) return launches;
    const Operation& next = (*most)->recorded_[(*most)->planned_];
    Launch& launch = launches.emplace_back();
    for (const auto& member : members_) {
      if (left(member) == 0 || launch.size() == calls_of_launch) continue;
      const Operation& own = member->recorded_[member->planned_];
      if (&own != &next && !own.is_like(next)) continue;
      launch.push_back(&own);
      ++member->planned_;
    }
  }
}

cudaError_t Batch::start(const Launch& launch) const {
  const Operation& first = *launch[0];
  if (first.kernel == nullptr) return first.other(stream_->handle());
  std::vector<const void*> arguments;
  for (const Operation* call : launch) arguments.push_back(call->arguments.data());
  return first.kernel(first.grid, stream_->handle(), arguments);
}

// All members wait. An error is one of every matrix that has recorded something.
void Batch::start_all() {
  cudaError_t error = cudaSuccess;
  try {
    for (const Launch& launch : launches())
      if (error == cudaSuccess) error = start(launch);
  } catch (const std::bad_alloc&) {
    error = cudaErrorMemoryAllocation;
  }
  const cudaError_t waited = stream_->settled();
  if (error == cudaSuccess) error = waited;
  if (error != cudaSuccess) cudaGetLastError();  // which would return it again
  for (const auto& member : members_) {
    if (member->state_ != Member::State::waiting) continue;
    member->error_ = error;
    member->recorded_.clear(), member->planned_ = 0;
    member->state_ = Member::State::running;
  }
  changed_.notify_all();
}

}  // namespace sigmascope::device
