// SPDX-License-Identifier: BSD-3-Clause
// Calls of kernels. A kernel is a function for the device, its body, which run_calls() calls: once,
// or in one launch for several calls, whose arguments it takes by the second index of a block.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "device.cuh"
#include "operations.hpp"

namespace sigmascope::device {

// The arguments of one call.
template <class... Types>
struct Arguments {};
template <class First, class... Rest>
struct Arguments<First, Rest...> {
  First first;
  Arguments<Rest...> rest;
};

inline Arguments<> arguments_of() { return {}; }
template <class First, class... Rest>
Arguments<First, Rest...> arguments_of(const First& first, const Rest&... rest) {
  return {first, arguments_of(rest...)};
}

template <auto body, class... Taken>
__device__ void call(const Arguments<>&, const Taken&... taken) {
  body(taken...);
}
template <auto body, class First, class... Rest, class... Taken>
__device__ void call(const Arguments<First, Rest...>& arguments, const Taken&... taken) {
  call<body>(arguments.rest, taken..., arguments.first);
}

// The arguments of one call, or, if `many` is not null, of several.
template <class... Types>
struct Calls {
  Arguments<Types...> one;
  const Arguments<Types...>* many;
};

template <auto body, unsigned threads, class... Types>
__global__ void __launch_bounds__(threads)
    run_calls(const __grid_constant__ Calls<Types...> calls) {
  call<body>(calls.many == nullptr ? calls.one : calls.many[blockIdx.y]);
}

template <auto body, unsigned threads, class... Types>
cudaError_t start_calls(const Grid& grid, cudaStream_t stream, const void* arguments,
                        const void* many, unsigned count) {
  static_assert((std::is_trivially_copyable_v<Types> && ...));
  using All = Arguments<Types...>;
  Calls<Types...> calls{};
  std::memcpy(&calls.one, arguments, sizeof calls.one);
  calls.many = static_cast<const All*>(many);
  return launch_grids(&run_calls<body, threads, Types...>, grid, count, stream, calls);
}

template <auto body, unsigned threads, class... Parameters, class... Given>
cudaError_t launch_body(std::type_identity<void (*)(Parameters...)>, const Grid& grid,
                        cudaStream_t stream, const Given&... given) {
  const auto arguments =
      arguments_of(static_cast<const std::remove_cvref_t<Parameters>&>(given)...);
  constexpr StartKernel start = &start_calls<body, threads, std::remove_cvref_t<Parameters>...>;
  Recorder* const recorder = recorder_of(stream);
  if (recorder == nullptr) return start(grid, stream, &arguments, nullptr, 1);
  Operation operation{.kernel = start, .grid = grid, .arguments = {}, .other = nullptr};
  operation.arguments.resize(sizeof arguments);
  std::memcpy(operation.arguments.data(), &arguments, sizeof arguments);
  recorder->add(std::move(operation));
  return cudaSuccess;
}

// Starts the kernel of a body with at most so many threads in a block, or records it.
template <auto body, unsigned threads, class... Given>
cudaError_t launch(const Grid& grid, cudaStream_t stream, const Given&... given) {
  return launch_body<body, threads>(std::type_identity<decltype(body)>{}, grid, stream, given...);
}

}  // namespace sigmascope::device
