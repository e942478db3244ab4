// SPDX-License-Identifier: BSD-3-Clause
// Compares our declarations of functions and values of cuBLAS and cuSOLVER with NVIDIA's headers.
// Only compiled; an error names what differs.
#include <cublas_v2.h>
#include <cusolverDn.h>

#include <type_traits>

#include "libraries/libraries.hpp"

namespace sigmascope::device {

namespace {

template <class T>
constexpr bool is_word = std::is_integral_v<T> || std::is_enum_v<T>;

// Whether a call passes both in the same way, and means numbers of the same type.
template <class Ours, class Theirs>
constexpr bool same() {
  if constexpr (std::is_same_v<Ours, Theirs>) {
    return true;
  } else if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
    using A = std::remove_pointer_t<Ours>;
    using B = std::remove_pointer_t<Theirs>;
    if (std::is_const_v<A> != std::is_const_v<B>) return false;
    if constexpr (std::is_arithmetic_v<A> || std::is_arithmetic_v<B>) return std::is_same_v<A, B>;
    else if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) return same<A, B>();
    else return std::is_class_v<A> && std::is_class_v<B>;  // handles
  } else {
    return is_word<Ours> && is_word<Theirs> && sizeof(Ours) == sizeof(Theirs);
  }
}

template <class Ours, class Theirs>
struct Comparison;
template <class Ours, class... OurParameters, class Theirs, class... TheirParameters>
struct Comparison<Ours (*)(OurParameters...), Theirs (*)(TheirParameters...)> {
  static constexpr bool equal() {
    if constexpr (sizeof...(OurParameters) != sizeof...(TheirParameters)) return false;
    else return same<Ours, Theirs>() && (same<OurParameters, TheirParameters>() && ...);
  }
};

template <class Ours, class Theirs>
constexpr bool equal = Comparison<Ours, Theirs>::equal();

static_assert(equal<decltype(Cublas::status_name), decltype(&cublasGetStatusName)>);
static_assert(equal<decltype(Cublas::property), decltype(&cublasGetProperty)>);
static_assert(equal<decltype(Cublas::create), decltype(&cublasCreate_v2)>);
static_assert(equal<decltype(Cublas::destroy), decltype(&cublasDestroy_v2)>);
static_assert(equal<decltype(Cublas::set_stream), decltype(&cublasSetStream_v2)>);
static_assert(equal<decltype(Cublas::set_workspace), decltype(&cublasSetWorkspace_v2)>);
static_assert(equal<decltype(Cublas::set_math_mode), decltype(&cublasSetMathMode)>);
static_assert(equal<decltype(Cublas::dsyrk), decltype(&cublasDsyrk_v2_64)>);

static_assert(equal<decltype(Cusolver::property), decltype(&cusolverGetProperty)>);
static_assert(equal<decltype(Cusolver::create), decltype(&cusolverDnCreate)>);
static_assert(equal<decltype(Cusolver::destroy), decltype(&cusolverDnDestroy)>);
static_assert(equal<decltype(Cusolver::create_params), decltype(&cusolverDnCreateParams)>);
static_assert(equal<decltype(Cusolver::destroy_params), decltype(&cusolverDnDestroyParams)>);
static_assert(equal<decltype(Cusolver::set_stream), decltype(&cusolverDnSetStream)>);
static_assert(equal<decltype(Cusolver::set_math_mode), decltype(&cusolverDnSetMathMode)>);
static_assert(equal<decltype(Cusolver::syevd_sizes), decltype(&cusolverDnXsyevd_bufferSize)>);
static_assert(equal<decltype(Cusolver::syevd), decltype(&cusolverDnXsyevd)>);

// The comparison notices another type, another number of parameters, and another const.
static_assert(!equal<void (*)(int), void (*)(std::int64_t)>);
static_assert(!equal<void (*)(int), void (*)(double)>);
static_assert(!equal<void (*)(int), void (*)(int, int)>);
static_assert(!equal<void (*)(const double*), void (*)(double*)>);
static_assert(!equal<void (*)(int*), void (*)(std::int64_t*)>);
static_assert(!equal<decltype(Cublas::dsyrk), decltype(&cublasDsyrk_v2)>);

static_assert(int(LibraryProperty::major) == MAJOR_VERSION);
static_assert(int(LibraryProperty::minor) == MINOR_VERSION);
static_assert(int(LibraryProperty::patch) == PATCH_LEVEL);
static_assert(int(CublasOperation::none) == CUBLAS_OP_N);
static_assert(int(CublasOperation::transpose) == CUBLAS_OP_T);
static_assert(int(CublasFill::lower) == CUBLAS_FILL_MODE_LOWER);
static_assert(int(CublasMath::pedantic) == CUBLAS_PEDANTIC_MATH);
static_assert(int(CusolverMath::standard) == CUSOLVER_DEFAULT_MATH);
static_assert(int(CusolverVectors::none) == CUSOLVER_EIG_MODE_NOVECTOR);
static_assert(int(CusolverVectors::all) == CUSOLVER_EIG_MODE_VECTOR);
static_assert(int(CudaDataType::float64) == CUDA_R_64F);
static_assert(CUBLAS_STATUS_SUCCESS == 0 && CUSOLVER_STATUS_SUCCESS == 0);

// The names in libraries.cpp.
static_assert(CUSOLVER_STATUS_NOT_INITIALIZED == 1 && CUSOLVER_STATUS_ALLOC_FAILED == 2 &&
              CUSOLVER_STATUS_INVALID_VALUE == 3 && CUSOLVER_STATUS_ARCH_MISMATCH == 4 &&
              CUSOLVER_STATUS_MAPPING_ERROR == 5 && CUSOLVER_STATUS_EXECUTION_FAILED == 6 &&
              CUSOLVER_STATUS_INTERNAL_ERROR == 7 && CUSOLVER_STATUS_NOT_SUPPORTED == 9);

}  // namespace

}  // namespace sigmascope::device
