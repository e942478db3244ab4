// SPDX-License-Identifier: BSD-3-Clause
// Fibers: functions with stacks of their own, which hand the processor to each other by name.
#pragma once

#include <cstddef>
#include <memory>

#include "simulator/guarded_memory.hpp"

namespace sigmascope::simulator {

class Fiber {
 public:
  using Body = void (*)(void* argument);

  Fiber();  // the thread of the operating system that calls
  // A body must not return: it ends by a last switch, after end().
  Fiber(Body body, void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Begins the body again, from the top of the stack; what was on it is forgotten.
  void restart();
  static Fiber& running();
  // Leaves the running fiber for this one, until something switches back.
  void resume();
  void end() { ended_ = true; }

 private:
  static void enter();
  static void arrived(void* fake_stack);

  std::unique_ptr<GuardedMemory> stack_;  // null: that of the operating system's thread
  void* stack_pointer_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool ended_ = false;
  void* watched_ = nullptr;  // what ThreadSanitizer takes for a thread
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sigmascope::simulator
