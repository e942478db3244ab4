// SPDX-License-Identifier: BSD-3-Clause
// Hints to the sanitizers on memory, stacks and order; empty without a sanitizer.
//
// ThreadSanitizer takes each CUDA thread, each stream and the host for a thread of its own. Only
// barriers, events and waits order them. The simulator itself is then compiled without
// -fsanitize=thread, and with SIGMASCOPE_SIMULATOR_TSAN: what it does to keep the fibers apart must
// not count as order between them.
#pragma once

#include <cstddef>

#if defined(SIGMASCOPE_SIMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace sigmascope::simulator {

#if defined(SIGMASCOPE_SIMULATOR_TSAN)
constexpr bool watches_races = true;
#else
constexpr bool watches_races = false;
#endif

inline void forbid_bytes([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(at, bytes);
#endif
}

inline void permit_bytes([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(at, bytes);
#endif
}

// All that was done before release(token) comes before what follows acquire(token).
inline void release([[maybe_unused]] const void* token) {
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  __tsan_release(const_cast<void*>(token));
#endif
}

inline void acquire([[maybe_unused]] const void* token) {
#if defined(SIGMASCOPE_SIMULATOR_TSAN)
  __tsan_acquire(const_cast<void*>(token));
#endif
}

}  // namespace sigmascope::simulator
