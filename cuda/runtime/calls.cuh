// SPDX-License-Identifier: BSD-3-Clause
// Calls of kernels. A kernel is a function for the device, its body, which run_calls() calls, for
// several calls in one launch: the second index of a block is that of its call.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "runtime/device.cuh"
#include "runtime/operations.hpp"

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

// The arguments of one call or of several, as parameters of a kernel: constants, which take no
// registers. A kernel for one call has few parameters to copy.
template <std::size_t most, class... Types>
struct Calls {
  Arguments<Types...> each[most];
  static_assert(sizeof each <= 32764, "parameters of kernels are 32,764 bytes at most");
};

template <auto body, unsigned threads, std::size_t most, class... Types>
__global__ void __launch_bounds__(threads)
    run_calls(const __grid_constant__ Calls<most, Types...> calls) {
  call<body>(calls.each[blockIdx.y]);
}

template <auto body, unsigned threads, std::size_t most, class... Types>
cudaError_t start_at_most(const Grid& grid, cudaStream_t stream,
                          std::span<const void* const> arguments) {
  Calls<most, Types...> calls{};
  for (std::size_t i = 0; i < arguments.size(); ++i)
    std::memcpy(&calls.each[i], arguments[i], sizeof calls.each[i]);
  return launch_grids<body>(&run_calls<body, threads, most, Types...>, grid,
                            static_cast<unsigned>(arguments.size()), stream, calls);
}

template <auto body, unsigned threads, class... Types>
cudaError_t start_calls(const Grid& grid, cudaStream_t stream,
                        std::span<const void* const> arguments) {
  static_assert((std::is_trivially_copyable_v<Types> && ...));
  return arguments.size() == 1
             ? start_at_most<body, threads, 1, Types...>(grid, stream, arguments)
             : start_at_most<body, threads, calls_of_launch, Types...>(grid, stream, arguments);
}

template <auto body, unsigned threads, class... Parameters, class... Given>
cudaError_t launch_body(std::type_identity<void (*)(Parameters...)>, const Grid& grid,
                        cudaStream_t stream, const Given&... given) {
  const auto arguments =
      arguments_of(static_cast<const std::remove_cvref_t<Parameters>&>(given)...);
  constexpr StartKernel start = &start_calls<body, threads, std::remove_cvref_t<Parameters>...>;
  Recorder* const recorder = recorder_of(stream);
  if (recorder == nullptr) {
    const void* const one = &arguments;
    return start(grid, stream, {&one, 1});
  }
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
