// SPDX-License-Identifier: BSD-3-Clause
// The functions of cuBLAS and cuSOLVER that are used, opened at run time, so that the module
// depends on neither library. NVIDIA's headers come with the libraries alone. The declarations
// are therefore our own, and tests/cuda/library_headers.cpp compares them with the headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/runtime.hpp"

namespace sigmascope::device {

// Paths of the libraries. Empty: there is none that can be used.
struct LibraryPaths {
  std::string cublas, cusolver;
};

using LibraryStatus = int;  // 0: success

using CublasHandle = struct OpaqueCublas*;
using CusolverHandle = struct OpaqueCusolver*;
using CusolverParams = struct OpaqueCusolverParams*;

enum class LibraryProperty : int { major = 0, minor = 1, patch = 2 };
enum class CublasOperation : int { none = 0, transpose = 1 };
enum class CublasFill : int { lower = 0 };
enum class CublasMath : int { pedantic = 2 };
enum class CusolverMath : int { standard = 1 };
enum class CusolverVectors : int { none = 0, all = 1 };
enum class CudaDataType : int { float64 = 1 };

// cuBLAS 13, the one of CUDA 13. Throws DeviceError if the library is not there, if it is another
// version, or if it has not every function.
struct Cublas {
  explicit Cublas(const std::string& path);
  std::string version() const;

  const char* (*status_name)(LibraryStatus);
  LibraryStatus (*property)(LibraryProperty, int*);
  LibraryStatus (*create)(CublasHandle*);
  LibraryStatus (*destroy)(CublasHandle);
  LibraryStatus (*set_stream)(CublasHandle, cudaStream_t);
  LibraryStatus (*set_workspace)(CublasHandle, void*, std::size_t);
  LibraryStatus (*set_math_mode)(CublasHandle, CublasMath);
  LibraryStatus (*dsyrk)(CublasHandle, CublasFill, CublasOperation, std::int64_t n, std::int64_t k,
                         const double* alpha, const double* a, std::int64_t lda, const double* beta,
                         double* c, std::int64_t ldc);

  void check(LibraryStatus status, const char* call) const;
};

// cuSOLVER 12, the one of CUDA 13. Throws as Cublas does.
struct Cusolver {
  explicit Cusolver(const std::string& path);
  std::string version() const;

  LibraryStatus (*property)(LibraryProperty, int*);
  LibraryStatus (*create)(CusolverHandle*);
  LibraryStatus (*destroy)(CusolverHandle);
  LibraryStatus (*create_params)(CusolverParams*);
  LibraryStatus (*destroy_params)(CusolverParams);
  LibraryStatus (*set_stream)(CusolverHandle, cudaStream_t);
  LibraryStatus (*set_math_mode)(CusolverHandle, CusolverMath);
  LibraryStatus (*syevd_sizes)(CusolverHandle, CusolverParams, CusolverVectors, CublasFill,
                               std::int64_t n, CudaDataType, const void* a, std::int64_t lda,
                               CudaDataType, const void* values, CudaDataType,
                               std::size_t* device_bytes, std::size_t* host_bytes);
  LibraryStatus (*syevd)(CusolverHandle, CusolverParams, CusolverVectors, CublasFill,
                         std::int64_t n, CudaDataType, void* a, std::int64_t lda, CudaDataType,
                         void* values, CudaDataType, void* device_bytes, std::size_t, void* host,
                         std::size_t, int* info);

  void check(LibraryStatus status, const char* call) const;
};

// A handle of a library, which goes with its owner.
template <class Handle>
class OwnedHandle {
 public:
  explicit OwnedHandle(LibraryStatus (*destroy)(Handle)) : destroy_(destroy) {}
  ~OwnedHandle() {
    if (handle_ != nullptr) destroy_(handle_);
  }
  OwnedHandle(const OwnedHandle&) = delete;
  OwnedHandle& operator=(const OwnedHandle&) = delete;

  Handle get() const { return handle_; }
  Handle* to_create() { return &handle_; }

 private:
  LibraryStatus (*destroy_)(Handle);
  Handle handle_ = nullptr;
};

}  // namespace sigmascope::device
