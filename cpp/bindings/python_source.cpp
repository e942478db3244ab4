// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/python_source.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "matrix/sizes.hpp"

namespace sigmascope {

namespace {

// Bytes that cost a reader about as much as one more request.
constexpr std::size_t cheap_gap = std::size_t{1} << 20;
// Bytes that are read together; they are in memory twice meanwhile.
constexpr std::size_t together = std::size_t{8} << 20;

bool interpreter_ends() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

AlignedArray<std::byte> memory_for(std::size_t length) {
  return aligned_array<std::byte>(static_cast<std::int64_t>(std::max<std::size_t>(length, 1)));
}

}  // namespace

PythonSource::PythonSource(py::object source)
    : source_(std::move(source)),
      name_(py::cast<std::string>(source_.attr("name"))),
      size_(py::cast<std::uint64_t>(source_.attr("size"))) {}

// The last tile may go in a thread that does not have the GIL. To take it fails only where the
// interpreter has no memory left for its own state, and then the process ends.
// NOLINTNEXTLINE(bugprone-exception-escape)
PythonSource::~PythonSource() {
  if (interpreter_ends()) {
    source_.release();
    return;
  }
  const py::gil_scoped_acquire gil;
  source_ = py::object();
}

void PythonSource::fill(std::byte* memory, std::uint64_t offset, std::size_t length) const {
  if (length == 0) return;
  // A thread that asks for the GIL now would never return.
  if (interpreter_ends())
    throw std::runtime_error(name_ + ": not read, since the program is ending");
  const py::gil_scoped_acquire gil;
  source_.attr("read_into")(offset,
                            py::memoryview::from_memory(static_cast<void*>(memory),
                                                        static_cast<py::ssize_t>(length), false));
}

void PythonSource::stop_reading() const {
  if (interpreter_ends()) return;
  const py::gil_scoped_acquire gil;
  source_.attr("stop")();
}

Buffer PythonSource::read(std::uint64_t offset, std::size_t length) const {
  auto memory = memory_for(length);
  std::byte* data = memory.get();
  fill(data, offset, length);
  return {std::move(memory), data, length};
}

std::byte* PythonSource::read_into(std::byte* memory, std::uint64_t offset,
                                   std::size_t length) const {
  fill(memory, offset, length);
  return memory;
}

Buffer PythonSource::read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                               std::size_t count) const {
  auto memory = memory_for(count * length);
  std::byte* data = memory.get();
  const std::size_t runs = stride - length > cheap_gap || stride > together
                               ? 1
                               : std::max<std::size_t>(together / stride, 1);
  const auto buffer = memory_for(runs == 1 ? 0 : (runs - 1) * stride + length);
  for (std::size_t first = 0; first < count; first += runs) {
    const std::size_t few = std::min(runs, count - first);
    if (few == 1) {
      fill(data + first * length, offset + first * stride, length);
      continue;
    }
    fill(buffer.get(), offset + first * stride, (few - 1) * stride + length);
    for (std::size_t i = 0; i < few; ++i)
      std::memcpy(data + (first + i) * length, buffer.get() + i * stride, length);
  }
  return {std::move(memory), data, count * length};
}

std::shared_ptr<const ByteSource> python_source(py::object source) {
  return std::make_shared<const PythonSource>(std::move(source));
}

}  // namespace sigmascope
