// SPDX-License-Identifier: BSD-3-Clause
// Arrays of other libraries on a device: whose memory it is, and whether it is written already.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bindings/device_bindings.hpp"
#include "runtime/found_devices.hpp"

namespace sigmascope::device {

namespace {

// A stream that is made to wait for those that write arrays, and that the host then waits for. What
// any stream does with the arrays after that comes after those writes.
class ImportStream {
 public:
  explicit ImportStream(int device) : device_(device) {
    const ChosenDevice chosen(device);
    stream_ = std::make_unique<Stream>();
    event_ = std::make_unique<Event>();
  }

  std::uintptr_t handle() const { return reinterpret_cast<std::uintptr_t>(stream_->handle()); }

  // Waits for all that a stream of a __cuda_array_interface__ has been given: 1 is the legacy
  // default stream, 2 that of the thread, as in CUDA.
  void follow(std::uintptr_t stream) {
    if (stream == 0) throw py::value_error("stream 0 of a __cuda_array_interface__ is ambiguous");
    const ChosenDevice chosen(device_);
    event_->record(reinterpret_cast<cudaStream_t>(stream));
    event_->precede(*stream_);
  }

  void wait() const { stream_->wait(); }
  void close() { stream_.reset(), event_.reset(); }

 private:
  int device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Event> event_;
};

std::string hexadecimal(const void* at) {
  return py::str("{:#x}").format(reinterpret_cast<std::uintptr_t>(at)).cast<std::string>();
}

cudaPointerAttributes attributes_of(const void* at) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, at), "cudaPointerGetAttributes");
  return attributes;
}

// The device whose memory is at an address, which a __cuda_array_interface__ does not name.
int device_at(std::uintptr_t address) {
  const auto* at = reinterpret_cast<const void*>(address);
  const cudaPointerAttributes attributes = attributes_of(at);
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
    throw DeviceError("the array at " + hexadecimal(at) + " is not in the memory of a CUDA device");
  return attributes.device;
}

// Throws DeviceError unless the first and the last byte of every tile that is said to be on a
// device are in its memory.
void check_memory(const Matrix& matrix) {
  for (const Tile& tile : matrix.tiles) {
    const int device = tile.bytes.device();
    if (device == on_host || tile.bytes.size() == 0) continue;
    const std::byte* first = tile.bytes.data(device);
    for (const std::byte* at : {first, first + tile.bytes.size() - 1}) {
      const cudaPointerAttributes attributes = attributes_of(at);
      if (attributes.type == cudaMemoryTypeManaged ||
          (attributes.type == cudaMemoryTypeDevice && attributes.device == device))
        continue;
      const std::string there = attributes.type == cudaMemoryTypeDevice
                                    ? place_name(attributes.device)
                                : attributes.type == cudaMemoryTypeHost ? place_name(on_host)
                                                                        : "no CUDA device";
      throw DeviceError("an array that claims to be on " + place_name(device) + " has memory of " +
                        there + " at " + hexadecimal(at));
    }
  }
}

}  // namespace

void register_arrays(py::module_& module) {
  py::class_<ImportStream>(module, "ImportStream", py::module_local())
      .def(py::init<int>(), "device"_a)
      .def_property_readonly("handle", &ImportStream::handle)
      .def("follow", &ImportStream::follow, "stream"_a)
      .def("wait", &ImportStream::wait, py::call_guard<py::gil_scoped_release>())
      .def(
          "__enter__", [](ImportStream& stream) -> ImportStream& { return stream; },
          py::return_value_policy::reference)
      .def("__exit__", [](ImportStream& stream, const py::args&) { stream.close(); });
  module.def("device_at", &device_at, "address"_a);
  module.def("check_memory", &check_memory, "matrix"_a);
}

}  // namespace sigmascope::device
