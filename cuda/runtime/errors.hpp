// SPDX-License-Identifier: BSD-3-Clause
// Errors of the CUDA runtime. It keeps the last one of a thread and returns it again, even from a
// launch that succeeds, until it is asked for it: every error is taken from it here.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

// What a destructor could not throw.
struct Failure {
  cudaError_t code = cudaSuccess;
  const char* call = "";
};

inline Failure& unreported_failure() {
  thread_local Failure failure;
  return failure;
}

inline std::string text_of(cudaError_t code, const std::string& call) {
  return call + ": " + cudaGetErrorName(code) + " (" + cudaGetErrorString(code) + ")";
}

// A call of the CUDA runtime failed; and before it, maybe, one of a destructor.
class CudaError : public std::runtime_error {
 public:
  CudaError(cudaError_t code, const std::string& call, const Failure& before = {})
      : std::runtime_error(text_of(code, call) +
                           (before.code == cudaSuccess
                                ? ""
                                : "; before that, " + text_of(before.code, before.call))),
        code_(code) {}
  cudaError_t code() const { return code_; }

 private:
  cudaError_t code_;
};

inline void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // which would return it again
  throw CudaError(code, call, std::exchange(unreported_failure(), {}));
}

// The same for a destructor: the next error of the thread names the call. While an exception is
// under way, that one tells what went wrong.
inline void note(cudaError_t code, const char* call) noexcept {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  Failure& failure = unreported_failure();
  if (std::uncaught_exceptions() == 0 && failure.code == cudaSuccess) failure = {code, call};
}

}  // namespace sigmascope::device
