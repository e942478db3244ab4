// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/array_import.hpp"

#include <pybind11/critical_section.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/dlpack.hpp"

namespace sigmascope {

namespace {

// What keeps an array alive: the Python object, and its exported tensor if there is one. Both are
// released with the GIL, whichever thread destroys the last tile.
struct Kept {
  py::object source;
  std::shared_ptr<const void> tensor;
};
using Owner = std::shared_ptr<const void>;

Owner owned(py::object source, std::shared_ptr<const void> tensor = nullptr) {
  return {new Kept{std::move(source), std::move(tensor)}, [](const Kept* kept) {
            py::gil_scoped_acquire gil;
            delete kept;
          }};
}

Matrix from_address(std::uintptr_t address, Owner owner, DType dtype, const Layout& layout,
                    int place) {
  const std::int64_t rows = layout.rows, cols = layout.cols;
  const std::int64_t down = std::max<std::int64_t>(rows - 1, 0) * layout.row_stride,
                     across = std::max<std::int64_t>(cols - 1, 0) * layout.col_stride;
  const std::int64_t before = -std::min<std::int64_t>(down, 0) - std::min<std::int64_t>(across, 0);
  const std::int64_t after =
      std::max<std::int64_t>(down, 0) + std::max<std::int64_t>(across, 0) + info(dtype).size;
  const auto* first = reinterpret_cast<const std::byte*>(address) - before;
  auto length = static_cast<std::uint64_t>(before + after);
  static constexpr std::byte nothing{};
  if (rows == 0 || cols == 0) first = &nothing, length = 0;  // the address may be null
  Tile tile;
  tile.bytes = place == on_host ? Bytes::in_memory(first, length, std::move(owner))
                                : Bytes::on_device(first, length, place, std::move(owner));
  tile.dtype = dtype;
  tile.rows = rows, tile.cols = cols;
  tile.origin = before;
  tile.row_stride = layout.row_stride, tile.col_stride = layout.col_stride;
  return {rows, cols, {std::move(tile)}};
}

void check_tensor(const DlpackTensor& t) {
  if (t.dimensions != 2)
    throw std::invalid_argument("a matrix has 2 dimensions, but this tensor has " +
                                std::to_string(t.dimensions));
  if (t.device_type != dlpack_host && t.device_type != dlpack_pinned && !on_cuda(t))
    throw std::invalid_argument("the tensor is on a device (DLPack device type " +
                                std::to_string(t.device_type) +
                                ") that is neither the host nor a CUDA device");
}

template <class Managed>
Matrix from_managed(const py::capsule& capsule, py::object source, const std::string& codes) {
  auto* managed = capsule.get_pointer<Managed>();
  managed->check_version();
  const DlpackTensor& t = managed->tensor;
  check_tensor(t);
  const DType dtype = dlpack_dtype(t, codes);
  const std::int64_t size = info(dtype).size, rows = t.shape[0], cols = t.shape[1];
  if (PyCapsule_SetName(capsule.ptr(), Managed::used) != 0) throw py::error_already_set();
  std::shared_ptr<const void> tensor(managed, [](Managed* m) {
    py::gil_scoped_acquire gil;
    if (m->deleter != nullptr) m->deleter(m);
  });
  return from_address(reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset,
                      owned(std::move(source), std::move(tensor)), dtype,
                      {.dtype = {},
                       .rows = rows,
                       .cols = cols,
                       .row_stride = (t.strides ? t.strides[0] : cols) * size,
                       .col_stride = (t.strides ? t.strides[1] : 1) * size},
                      on_cuda(t) ? t.device_id : on_host);
}

}  // namespace

Matrix from_memory(std::uintptr_t address, py::object owner, const Layout& layout) {
  return from_address(address, owned(std::move(owner)), dtype_from_name(layout.dtype), layout,
                      on_host);
}

Matrix from_device(std::uintptr_t address, py::object source, int device, const Layout& layout) {
  return from_address(address, owned(std::move(source)), dtype_from_name(layout.dtype), layout,
                      device);
}

Matrix from_dlpack(const py::capsule& capsule, py::object source, const std::string& codes) {
  // Without the GIL, two threads could take the tensor of one capsule.
  const py::scoped_critical_section alone(capsule);
  const std::string name = capsule.name();
  if (name == DlpackManaged::name)
    return from_managed<DlpackManaged>(capsule, std::move(source), codes);
  if (name == DlpackVersioned::name)
    return from_managed<DlpackVersioned>(capsule, std::move(source), codes);
  throw std::invalid_argument("not an unused DLPack capsule");
}

py::list sources_on_device(const Matrix& matrix) {
  py::list sources;
  std::vector<const void*> seen;
  for (const Tile& tile : matrix.tiles) {
    const void* owner = tile.bytes.owner();
    if (tile.bytes.device() == on_host || std::ranges::find(seen, owner) != seen.end()) continue;
    seen.push_back(owner);
    sources.append(static_cast<const Kept*>(owner)->source);  // bytes on a device are made here
  }
  return sources;
}

}  // namespace sigmascope
