// SPDX-License-Identifier: BSD-3-Clause
// cuBLAS on simulated devices, by OpenBLAS.
#include <array>
#include <cstdint>

#include "simulator/libraries/simulated_library.hpp"

using namespace sigmascope;
using namespace sigmascope::device;

extern "C" void scipy_dsyrk_(const char* uplo, const char* trans, const int* n, const int* k,
                             const double* alpha, const double* a, const int* lda,
                             const double* beta, double* c, const int* ldc);

namespace sigmascope::device {

struct OpaqueCublas {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  CublasMath math{};
};

}  // namespace sigmascope::device

namespace {

LibraryStatus status_of(cudaError_t error) {
  if (error == cudaSuccess) return 0;
  return error == cudaErrorMemoryAllocation ? 3 : 13;
}

}  // namespace

SIGMASCOPE_EXPORTED const char* cublasGetStatusName(LibraryStatus status) {
  return status == 3 ? "CUBLAS_STATUS_ALLOC_FAILED" : "CUBLAS_STATUS_EXECUTION_FAILED";
}

SIGMASCOPE_EXPORTED LibraryStatus cublasGetProperty(LibraryProperty property, int* value) {
  *value = simulator::part_of(simulator::settings().libraries.cublas, property);
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cublasCreate_v2(CublasHandle* handle) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  *handle = new OpaqueCublas;
  ++simulator::devices().open_handles;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cublasDestroy_v2(CublasHandle handle) {
  const std::lock_guard lock(simulator::devices().mutex);
  delete handle;
  --simulator::devices().open_handles;
  return 0;
}

// It resets the workspace, as cuBLAS does.
SIGMASCOPE_EXPORTED LibraryStatus cublasSetStream_v2(CublasHandle handle, cudaStream_t stream) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  handle->stream = stream, handle->workspace = nullptr;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cublasSetWorkspace_v2(CublasHandle handle, void* workspace,
                                                        std::size_t bytes) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  handle->workspace = workspace, handle->workspace_bytes = bytes;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cublasSetMathMode(CublasHandle handle, CublasMath math) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  handle->math = math;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cublasDsyrk_v2_64(CublasHandle handle, CublasFill,
                                                    CublasOperation operation, std::int64_t n,
                                                    std::int64_t k, const double* alpha,
                                                    const double* a, std::int64_t lda,
                                                    const double* beta, double* c,
                                                    std::int64_t ldc) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  if (handle->workspace == nullptr)
    simulator::devices().violate("cuBLAS with a workspace of its own, on which bits depend");
  if (handle->math != CublasMath::pedantic)
    simulator::devices().violate("cuBLAS with products that the environment may change");
  const auto act = [handle = *handle, operation, a, c, scales = std::array{*alpha, *beta},
                    sizes = std::array{n, k, lda, ldc}] {
    simulator::scribble(handle.workspace, handle.workspace_bytes);
    std::array<int, 4> small{};
    std::ranges::transform(sizes, small.begin(), [](std::int64_t size) { return int(size); });
    scipy_dsyrk_("L", operation == CublasOperation::none ? "N" : "T", &small[0], &small[1],
                 &scales[0], a, &small[2], &scales[1], c, &small[3]);
  };
  return status_of(simulator::enqueue(handle->stream, {.act = act}));
}
