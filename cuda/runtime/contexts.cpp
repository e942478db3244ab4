// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/contexts.hpp"

#include "runtime/runtime.hpp"

namespace sigmascope::device {

namespace {

// cuDevicePrimaryCtxGetState() of the driver: 0 for success; `active` is 1 if there is a context.
using ContextState = int (*)(int device, unsigned* flags, int* active);

// The function, or null. The runtime does not have it, and the module is not linked to the driver.
ContextState context_state() noexcept {
  constexpr unsigned since = 7000;  // version of CUDA
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  if (cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &function, since,
                                       cudaEnableDefault, &result) == cudaSuccess &&
      result == cudaDriverEntryPointSuccess)
    return reinterpret_cast<ContextState>(function);
  cudaGetLastError();  // which would return it again
  return nullptr;
}

}  // namespace

bool has_context(int device) noexcept {
  static const ContextState state = context_state();
  unsigned flags = 0;
  int active = 0;
  return state != nullptr && state(device, &flags, &active) == 0 && active != 0;
}

}  // namespace sigmascope::device
