// SPDX-License-Identifier: BSD-3-Clause
#include "simulator/fibers.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "simulator/sanitizers.hpp"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace sigmascope::simulator {

namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10;

// Stacks are used again, except where ThreadSanitizer watches: it would take two fibers that had
// one stack after the other for threads that share memory.
std::vector<std::unique_ptr<GuardedMemory>>& spare_stacks() {
  thread_local std::vector<std::unique_ptr<GuardedMemory>> stacks;
  return stacks;
}

std::unique_ptr<GuardedMemory> new_stack() {
  auto& spare = spare_stacks();
  if (watches_races || spare.empty()) {
    auto stack = std::make_unique<GuardedMemory>(stack_bytes);
    permit_bytes(stack->inside(), stack->inside_size());
    return stack;
  }
  auto stack = std::move(spare.back());
  spare.pop_back();
  return stack;
}

// The fibers of an operating system's thread: the one that runs, and the one that ran before it.
struct Switched {
  Fiber* running = nullptr;
  Fiber* left = nullptr;
};

// Not inlined: a fiber must not keep the address of a variable of the operating system's thread.
[[gnu::noinline]] Switched& switched() {
  [[gnu::tls_model("initial-exec")]] static constinit thread_local Switched fibers;
  return fibers;
}

Fiber& of_thread() {
  thread_local Fiber fiber;
  return fiber;
}

}  // namespace

#if defined(__x86_64__)
// Saves the registers that a called function keeps, and the stack pointer; loads another's.
extern "C" void sigmascope_switch_stacks(void** from, void* to);
asm(R"(
.text
.globl sigmascope_switch_stacks
.hidden sigmascope_switch_stacks
.type sigmascope_switch_stacks, @function
sigmascope_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sigmascope_switch_stacks, .-sigmascope_switch_stacks
)");
#endif

Fiber::Fiber() {
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  watched_ = __tsan_get_current_fiber();
#endif
#if !defined(__x86_64__)
  stack_pointer_ = new ucontext_t;
#endif
}

Fiber::Fiber(Body body, void* argument) : stack_(new_stack()), body_(body), argument_(argument) {
  bottom_ = stack_->inside(), size_ = stack_->inside_size();
#if !defined(__x86_64__)
  stack_pointer_ = new ucontext_t;
#endif
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  watched_ = __tsan_create_fiber(0);
#endif
  restart();
}

void Fiber::restart() {
  ended_ = false, fake_stack_ = nullptr;
#if defined(__x86_64__)
  constexpr int saved = 6;
  auto* top = reinterpret_cast<void**>(stack_->inside() + stack_->inside_size());
  *--top = nullptr;  // aligns the stack as after a call
  *--top = reinterpret_cast<void*>(&Fiber::enter);
  top -= saved;
  std::memset(top, 0, saved * sizeof(void*));
  stack_pointer_ = top;
#else
  auto* context = static_cast<ucontext_t*>(stack_pointer_);
  getcontext(context);
  context->uc_stack.ss_sp = stack_->inside();
  context->uc_stack.ss_size = stack_->inside_size();
  context->uc_link = nullptr;
  makecontext(context, &Fiber::enter, 0);
#endif
}

Fiber::~Fiber() {
#if !defined(__x86_64__)
  delete static_cast<ucontext_t*>(stack_pointer_);
#endif
  if (!stack_) return;
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  __tsan_destroy_fiber(watched_);
#else
  spare_stacks().push_back(std::move(stack_));
#endif
}

Fiber& Fiber::running() {
  Fiber* const running = switched().running;
  return running != nullptr ? *running : *(switched().running = &of_thread());
}

void Fiber::resume() {
  Fiber& from = running();
  switched() = {.running = this, .left = &from};
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from.ended_ ? nullptr : &from.fake_stack_, bottom_, size_);
#endif
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  __tsan_switch_to_fiber(watched_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
  sigmascope_switch_stacks(&from.stack_pointer_, stack_pointer_);
#else
  swapcontext(static_cast<ucontext_t*>(from.stack_pointer_),
              static_cast<ucontext_t*>(stack_pointer_));
#endif
  arrived(from.fake_stack_);
}

// AddressSanitizer tells the bounds of the stack that was left: those of the operating system's
// thread are known in no other way.
void Fiber::arrived([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
  Fiber& left = *switched().left;
  if (!left.stack_) left.bottom_ = bottom, left.size_ = size;
#endif
}

void Fiber::enter() {
  arrived(nullptr);
  Fiber& self = running();
  self.body_(self.argument_);
  std::abort();
}

}  // namespace sigmascope::simulator
