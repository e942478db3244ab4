// SPDX-License-Identifier: BSD-3-Clause
// Settings and counters of the simulated devices, and their memory as another library of the
// process uses it, for tests.
#if defined(SIGMASCOPE_SIMULATED)

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "bindings/device_bindings.hpp"
#include "bindings/module.hpp"
#include "memory/pinned_memory.hpp"
#include "runtime/handles.hpp"
#include "simulator/devices.hpp"
#include "simulator/settings.hpp"
#include "simulator/tensor_core.hpp"

namespace sigmascope {

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

simulator::Order order_named(const std::string& name) {
  if (name == "forward") return simulator::Order::forward;
  if (name == "backward") return simulator::Order::backward;
  if (name == "random") return simulator::Order::random;
  throw py::value_error("order is forward, backward or random, not " + name);
}

simulator::Timing timing_named(const std::string& name) {
  if (name == "eager") return simulator::Timing::eager;
  if (name == "late") return simulator::Timing::late;
  if (name == "random") return simulator::Timing::random;
  throw py::value_error("timing is eager, late or random, not " + name);
}

// Takes the value of `name` out of `options` if it is there.
template <class T>
void take(py::dict& options, const char* name, T& value) {
  if (options.contains(name)) value = options.attr("pop")(name).template cast<T>();
}

void restart(const py::kwargs& given) {
  simulator::Settings s;
  py::dict options(given);
  std::string order = "random", timing = "late";
  take(options, "order", order), take(options, "timing", timing);
  s.order = order_named(order), s.timing = timing_named(timing);
  take(options, "seed", s.seed);
  take(options, "devices", s.devices);
  take(options, "occupied", s.occupied);
  take(options, "driver", s.driver);
  take(options, "capability", s.capability);
  take(options, "memory", s.memory);
  take(options, "memory_pools", s.memory_pools);
  take(options, "pools_keep", s.pools_keep);
  take(options, "shared_memory", s.shared_memory);
  take(options, "failing_call", s.failing_call);
  take(options, "failure", s.failure);
  take(options, "tensor_core_terms", s.tensor_core.terms);
  take(options, "tensor_core_extra_bits", s.tensor_core.extra_bits);
  take(options, "cublas", s.libraries.cublas);
  take(options, "cusolver", s.libraries.cusolver);
  take(options, "counted_blocks", s.counted_blocks);
  take(options, "solver_info", s.libraries.info);
  take(options, "solver_scale", s.libraries.scale);
  take(options, "solver_lost", s.libraries.lost);
  if (!options.empty()) throw py::type_error("no such setting: " + std::string(py::str(options)));
  device::free_spares();
  simulator::restart(s);
}

// Without what is kept for the next call: pinned memory, pools, streams with an event each.
std::int64_t objects_in_use() {
  const std::size_t kept = device::pinned_memory().kept() + device::spare_pools().size() +
                           2 * device::spare_streams().size();
  return simulator::objects_in_use() - static_cast<std::int64_t>(kept);
}

py::dict counts() {
  const simulator::Counts c = simulator::counts();
  py::dict result;
  result["calls"] = c.calls;
  result["launches"] = c.launches;
  result["allocations"] = c.allocations;
  result["pools"] = c.pools;
  result["streams"] = c.streams;
  result["pinned_allocations"] = c.pinned_allocations;
  result["waits"] = c.waits;
  result["bytes_to_device"] = c.bytes_to_device;
  result["bytes_to_host"] = c.bytes_to_host;
  return result;
}

// What a launch asked for, and what the blocks did that ran.
py::dict described(const simulator::Launched& launch) {
  py::dict result;
  result["kernel"] = launch.kernel;
  result["blocks"] = std::int64_t{launch.blocks} * launch.grids;
  result["blocks_run"] = launch.blocks_run;
  result["tiles"] = launch.work.tiles;
  result["fragments"] = launch.work.fragments;
  result["copies"] = launch.work.copies;
  result["bytes_copied"] = launch.work.bytes_copied;
  return result;
}

py::list launches() {
  py::list all;
  for (const simulator::Launched& launch : simulator::launches()) all.append(described(launch));
  return all;
}

py::list uploads() {
  py::list all;
  for (const simulator::Uploaded& each : simulator::uploads())
    all.append(py::make_tuple(each.bytes, each.copies));
  return all;
}

// Multiplies a block of zeros by A^T A so often, on one backend, as a search does; with `rounded`,
// by A and its numbers rounded to bf16. before(number) is called before each product and at the
// end.
template <class T>
void steps_in(const device::DeviceOptions& device, const RunOptions& run, const MatrixView& a,
              std::int64_t columns, int count, bool rounded, const py::function& before) {
  device::CudaBackend<T> backend(cpu_options(run), device);
  const auto block = backend.zeros(a.cols(), columns);
  for (int step = 0; step < count; ++step) {
    before(step);
    if (rounded) backend.steer(a, block);
    else backend.gram_step(a, block, nullptr);
  }
  before(count);
}

void steps(const Matrix& a, std::int64_t columns, int count, bool f64, bool transposed,
           bool rounded, const py::function& before, const py::kwargs& kwargs) {
  const device::DeviceOptions device = device::device_options(kwargs);
  const RunOptions run = run_options(kwargs);
  const MatrixView view{&a, transposed};
  if (f64) steps_in<double>(device, run, view, columns, count, rounded, before);
  else steps_in<float>(device, run, view, columns, count, rounded, before);
}

using Numbers = py::array_t<float, py::array::c_style | py::array::forcecast>;

// left right^T (m x K times K x n), every entry of it one chain of sums of a tensor core. K is a
// multiple of 16, the numbers are of bf16.
py::array_t<float> tensor_core_chains(const Numbers& left, const Numbers& right) {
  const auto depth = left.shape(1);
  if (right.shape(1) != depth || depth % simulator::mma_depth != 0)
    throw py::value_error("rows of a multiple of 16 numbers");
  py::array_t<float> result({left.shape(0), right.shape(0)});
  const auto terms = [](const float* from) {
    simulator::Terms numbers;
    std::copy_n(from, numbers.size(), numbers.begin());
    return numbers;
  };
  for (py::ssize_t i = 0; i < left.shape(0); ++i)
    for (py::ssize_t j = 0; j < right.shape(0); ++j) {
      float sum = 0;
      for (py::ssize_t k = 0; k < depth; k += simulator::mma_depth)
        sum = simulator::tensor_core_sum(simulator::settings().tensor_core, sum,
                                         terms(left.data(i, k)), terms(right.data(j, k)));
      result.mutable_at(i, j) = sum;
    }
  return result;
}

// The call of the runtime after `calls` others fails.
void fail_after(std::int64_t calls) {
  simulator::Devices& all = simulator::devices();
  const std::lock_guard lock(all.mutex);
  all.settings.failing_call = all.counts.calls + calls;
}

std::uintptr_t allocate(std::size_t bytes, int device) {
  const device::ChosenDevice chosen(device);
  void* at = nullptr;
  device::check(cudaMalloc(&at, bytes), "cudaMalloc");
  return reinterpret_cast<std::uintptr_t>(at);
}

std::uintptr_t new_stream() {
  cudaStream_t stream = nullptr;
  device::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                "cudaStreamCreateWithFlags");
  return reinterpret_cast<std::uintptr_t>(stream);
}

cudaStream_t handle(std::uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Adds to a stream that bytes are written, in memory of a device.
void write(std::uintptr_t at, const std::string& bytes, std::uintptr_t stream) {
  const std::lock_guard lock(simulator::devices().mutex);
  device::check(
      simulator::enqueue(
          handle(stream),
          {.act = [=] { std::memcpy(reinterpret_cast<void*>(at), bytes.data(), bytes.size()); }}),
      "a write");
}

// The bytes in memory of a device when a stream has done all that it was given.
py::bytes read(std::uintptr_t at, std::size_t count, std::uintptr_t stream) {
  std::string bytes(count, '\0');
  const std::lock_guard lock(simulator::devices().mutex);
  device::check(
      simulator::enqueue(
          handle(stream),
          {.act = [&] { std::memcpy(bytes.data(), reinterpret_cast<void*>(at), count); }}),
      "a read");
  simulator::Stream* reader = simulator::stream_of(handle(stream));
  simulator::run_until([&] { return reader->queue.empty(); }, reader);
  return bytes;
}

// Makes a stream wait for all that another one was given.
void follow(std::uintptr_t stream, std::uintptr_t writer) {
  device::Event event;
  event.record(handle(writer));
  event.precede(handle(stream));
}

}  // namespace

void register_simulator(py::module_& module) {
  auto part = module.def_submodule("simulator", "settings and counters of the simulated devices");
  part.def("restart", &restart, "Frees everything and begins anew with settings, by keyword");
  part.def("counts", &counts);
  part.def("launches", &launches, "Those since the start, if counted_blocks is not 0");
  part.def("uploads", &uploads, "Copies (bytes, 0) and waits (0, copies), as launches");
  part.def("steps", &steps, "a"_a, "columns"_a, "count"_a, py::kw_only(), "f64"_a, "transposed"_a,
           "rounded"_a, "before"_a);
  part.def("contexts", &simulator::contexts, "Devices that have a context");
  part.def("device_of_thread", &simulator::device_of_thread);
  part.def("last_error", [] { return static_cast<int>(simulator::last_error_of_thread()); });
  part.def("bytes_in_use", &simulator::bytes_in_use);
  part.def("objects_in_use", &objects_in_use);
  part.def("violation", &simulator::violation);
  part.def("tensor_core_chains", &tensor_core_chains);
  part.def("free_spares", &device::free_spares);
  part.def("fail_after", &fail_after, "calls"_a);
  part.def("allocate", &allocate, "bytes"_a, "device"_a = 0);
  part.def("free", [](std::uintptr_t at) { cudaFree(reinterpret_cast<void*>(at)); }, "at"_a);
  part.def("new_stream", &new_stream);
  part.def("write", &write, "at"_a, "bytes"_a, "stream"_a);
  part.def("read", &read, "at"_a, "count"_a, "stream"_a);
  part.def("follow", &follow, "stream"_a, "writer"_a);
}

}  // namespace sigmascope

#endif
