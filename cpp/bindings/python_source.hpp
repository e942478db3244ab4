// SPDX-License-Identifier: BSD-3-Clause
// A source of bytes whose reader is a Python object: sigmascope.matrices.byte_source.ByteSource.
#pragma once

#include <memory>
#include <string>

#include "bindings/bindings.hpp"
#include "storage/byte_source.hpp"

namespace sigmascope {

// Reads take the GIL, from whichever thread they come; nothing else does. An error of the object
// passes through C++ as it is.
class PythonSource final : public ByteSource {
 public:
  explicit PythonSource(py::object source);
  ~PythonSource() override;

  const std::string& name() const override { return name_; }
  std::uint64_t size() const override { return size_; }
  Buffer read(std::uint64_t offset, std::size_t length) const override;
  std::byte* read_into(std::byte* memory, std::uint64_t offset, std::size_t length) const override;
  // Runs that lie close to each other are read together, with what is between them: a request
  // costs more than these bytes do.
  Buffer read_runs(std::uint64_t offset, std::size_t length, std::size_t stride,
                   std::size_t count) const override;
  void stop_reading() const override;

  const py::object& object() const { return source_; }

 private:
  void fill(std::byte* memory, std::uint64_t offset, std::size_t length) const;

  py::object source_;
  std::string name_;
  std::uint64_t size_;
};

std::shared_ptr<const ByteSource> python_source(py::object source);

}  // namespace sigmascope
