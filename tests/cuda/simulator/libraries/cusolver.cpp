// SPDX-License-Identifier: BSD-3-Clause
// cuSOLVER on simulated devices, by LAPACK.
#include <algorithm>
#include <vector>

#include "simulator/libraries/simulated_library.hpp"

using namespace sigmascope;
using namespace sigmascope::device;

extern "C" void scipy_dsyevd_(const char* jobz, const char* uplo, const int* n, double* a,
                              const int* lda, double* values, double* work, const int* lwork,
                              int* iwork, const int* liwork, int* info);

namespace sigmascope::device {

struct OpaqueCusolver {
  cudaStream_t stream = nullptr;
  CusolverMath math{};
};
struct OpaqueCusolverParams {};

}  // namespace sigmascope::device

namespace {

LibraryStatus status_of(cudaError_t error) {
  if (error == cudaSuccess) return 0;
  return error == cudaErrorMemoryAllocation ? 2 : 6;
}

template <class T>
LibraryStatus create(T** made) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  *made = new T;
  ++simulator::devices().open_handles;
  return 0;
}

template <class T>
LibraryStatus destroy(T* made) {
  const std::lock_guard lock(simulator::devices().mutex);
  delete made;
  --simulator::devices().open_handles;
  return 0;
}

std::size_t device_bytes(CusolverVectors vectors, std::int64_t n) {
  const std::int64_t columns = vectors == CusolverVectors::all ? n + 33 : 33;
  return static_cast<std::size_t>(n * columns) * 8;
}
constexpr std::size_t host_bytes = 512;

// Eigenvalues of the lower triangle of `a`, and vectors in its place, as LAPACK has them. Without
// vectors `a` holds no number of use afterwards.
int eigenvalues(CusolverVectors vectors, std::int64_t order, double* a, std::int64_t lda,
                double* values) {
  const int n = static_cast<int>(order), stride = static_cast<int>(lda);
  const bool all = vectors == CusolverVectors::all;
  const int lwork = all ? 1 + 6 * n + 2 * n * n : 34 * n, liwork = all ? 3 + 5 * n : 1;
  std::vector<double> work(static_cast<std::size_t>(lwork));
  std::vector<int> iwork(static_cast<std::size_t>(liwork));
  int info = 0;
  scipy_dsyevd_(all ? "V" : "N", "L", &n, a, &stride, values, work.data(), &lwork, iwork.data(),
                &liwork, &info);
  return info;
}

}  // namespace

SIGMASCOPE_EXPORTED LibraryStatus cusolverGetProperty(LibraryProperty property, int* value) {
  *value = simulator::part_of(simulator::settings().libraries.cusolver, property);
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnCreate(CusolverHandle* handle) {
  return create(handle);
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnDestroy(CusolverHandle handle) {
  return destroy(handle);
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnCreateParams(CusolverParams* params) {
  return create(params);
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnDestroyParams(CusolverParams params) {
  return destroy(params);
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnSetStream(CusolverHandle handle, cudaStream_t stream) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  handle->stream = stream;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnSetMathMode(CusolverHandle handle, CusolverMath math) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  handle->math = math;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnXsyevd_bufferSize(
    CusolverHandle, CusolverParams, CusolverVectors vectors, CublasFill, std::int64_t n,
    CudaDataType, const void*, std::int64_t, CudaDataType, const void*, CudaDataType,
    std::size_t* on_device, std::size_t* on_host) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  *on_device = device_bytes(vectors, n), *on_host = host_bytes;
  return 0;
}

SIGMASCOPE_EXPORTED LibraryStatus cusolverDnXsyevd(CusolverHandle handle, CusolverParams,
                                                   CusolverVectors vectors, CublasFill,
                                                   std::int64_t n, CudaDataType, void* a,
                                                   std::int64_t lda, CudaDataType, void* values,
                                                   CudaDataType, void* workspace,
                                                   std::size_t workspace_bytes, void* on_host,
                                                   std::size_t on_host_bytes, int* info) {
  const simulator::Call call;
  if (call.error() != cudaSuccess) return status_of(call.error());
  if (workspace_bytes < device_bytes(vectors, n) || on_host_bytes < host_bytes) return 3;
  if (handle->math != CusolverMath::standard)
    simulator::devices().violate("cuSOLVER with products that the environment may change");
  const auto act = [=, settings = simulator::devices().settings.libraries] {
    simulator::scribble(workspace, workspace_bytes), simulator::scribble(on_host, on_host_bytes);
    auto* eigenvalues_out = static_cast<double*>(values);
    const int failed = eigenvalues(vectors, n, static_cast<double*>(a), lda, eigenvalues_out);
    eigenvalues_out[n - 1] *= settings.scale;
    if (vectors == CusolverVectors::all)
      std::copy_n(static_cast<const double*>(a), settings.lost * lda,
                  static_cast<double*>(a) + (n - settings.lost) * lda);
    *info = settings.info != 0 ? settings.info : failed;
  };
  return status_of(simulator::enqueue(handle->stream, {.act = act}));
}
