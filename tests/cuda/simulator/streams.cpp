// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/devices.hpp"
#include "simulator/sanitizers.hpp"

namespace sigmascope::simulator {

namespace {

// Device memory is open to the host only while operations run.
class OpenMemory {
 public:
  OpenMemory() { open(true); }
  ~OpenMemory() { open(false); }
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;

 private:
  static void open(bool allowed) {
    for (const auto& [at, allocation] : devices().memory)
      if (allocation->begun) allocation->memory.allow_access(allowed);
  }
};

void perform(Stream& stream) {
  Operation& operation = stream.current;
  acquire(operation.enqueued.get());
  if (operation.awaited != nullptr) acquire(&operation.awaited->token);
  if (operation.act) operation.act();
  operation.act = nullptr;  // what it captured is destroyed by the stream
  if (operation.record != nullptr) {
    release(&operation.record->token);
    operation.record->done = operation.ticket;
  }
  release(&stream.token);
}

void serve(void* argument) {
  auto& stream = *static_cast<Stream*>(argument);
  for (;;) {
    perform(stream);
    stream.caller->resume();
  }
}

void run_first(Stream& stream) {
  stream.current = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (watches_races) {
    if (!stream.fiber) stream.fiber = std::make_unique<Fiber>(&serve, &stream);
    stream.caller = &Fiber::running();
    stream.fiber->resume();
  } else {
    perform(stream);
  }
}

Stream* any_ready() {
  std::vector<Stream*> ready;
  for (const auto& stream : devices().streams)
    if (stream->is_ready()) ready.push_back(stream.get());
  for (Stream& stream : devices().defaults)
    if (stream.is_ready()) ready.push_back(&stream);
  return ready.empty() ? nullptr : ready[devices().draw(ready.size())];
}

}  // namespace

void run_until(const std::function<bool()>& enough, Stream* wanted) {
  if (enough()) return;
  const OpenMemory open;
  while (!enough()) {
    Stream* next = wanted != nullptr && wanted->is_ready() ? wanted : any_ready();
    if (next == nullptr) {
      devices().violate("streams wait for each other, or for an event that nobody records");
      return;
    }
    run_first(*next);
  }
}

cudaError_t enqueue(cudaStream_t handle, Operation operation) {
  Devices& all = devices();
  if (handle == nullptr) {
    all.violate("an operation on the default stream, which waits for all others");
    return all.sticky;
  }
  Stream* stream = stream_of(handle);
  if (stream == nullptr) {
    all.violate("an operation on a stream that is not there");
    return all.sticky;
  }
  release(operation.enqueued.get());
  stream->queue.push_back(std::move(operation));
  if (all.settings.timing == Timing::eager)
    run_until([&] { return stream->queue.empty(); }, stream);
  if (all.settings.timing == Timing::random) {
    const OpenMemory open;
    for (auto runs = all.draw(4); runs > 0; --runs)
      if (Stream* ready = any_ready(); ready != nullptr) run_first(*ready);
  }
  return all.sticky;
}

}  // namespace sigmascope::simulator
