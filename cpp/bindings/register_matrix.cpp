// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <string>
#include <tuple>

#include "bindings/array_import.hpp"
#include "bindings/bindings.hpp"
#include "bindings/description.hpp"
#include "kernels/blocks/dense.hpp"
#include "kernels/encodings/block_encoding.hpp"

namespace sigmascope {

namespace {

// `length` bytes of a file, which must have them. `what` is their dtype, for the message.
Bytes bytes_of_file(const std::filesystem::path& path, std::uint64_t offset, std::uint64_t length,
                    const std::string& what, const Matrix& shape, const std::string& reading) {
  auto file = std::make_shared<const File>(path.string(),
                                           reading == "uncached" ? Caching::none : Caching::kept);
  if (length > file->size() || offset > file->size() - length)
    throw TruncatedFile(path.string() + " has " + std::to_string(file->size()) + " bytes; a " +
                        what + " matrix of " + std::to_string(shape.rows) + " x " +
                        std::to_string(shape.cols) + " at offset " + std::to_string(offset) +
                        " needs " + std::to_string(length) + " more");
  return Bytes::in_file(std::move(file), offset, length);
}

// `row_stride` is in bytes, or in elements if the dtype packs several into a byte.
Matrix from_file(const std::filesystem::path& path, std::uint64_t offset, std::int64_t rows,
                 std::int64_t cols, const std::string& dtype, std::int64_t row_stride,
                 const std::string& reading) {
  Tile tile;
  tile.dtype = dtype_from_name(dtype);
  tile.rows = rows, tile.cols = cols;
  tile.row_stride = row_stride, tile.col_stride = info(tile.dtype).size;
  const std::int64_t packed = info(tile.dtype).packed;
  const std::uint64_t length =
      rows > 0 && cols > 0
          ? static_cast<std::uint64_t>(
                ((rows - 1) * row_stride + cols * tile.col_stride + packed - 1) / packed)
          : 0;
  tile.bytes = bytes_of_file(path, offset, length, dtype, {rows, cols, {}}, reading);
  const bool mapped = reading == "mapped";
  if (mapped && packed > 1)
    throw std::invalid_argument(dtype + " is packed in a file: it is read, never mapped");
  if (mapped) tile.bytes = tile.bytes.map();
  return {rows, cols, {std::move(tile)}};
}

// Rows of blocks of one layout, which follow each other.
Matrix from_blocks(const std::filesystem::path& path, std::uint64_t offset, std::int64_t rows,
                   std::int64_t cols, const std::string& layout, const std::string& reading) {
  if (reading == "mapped")
    throw std::invalid_argument(layout + " is decoded when it is read, and cannot be mapped");
  constexpr std::int64_t size = info(DType::f32).size;
  Tile tile;
  tile.rows = rows, tile.cols = cols;
  tile.row_stride = cols * size, tile.col_stride = size;
  const auto encoding = block_encoding(layout, cols);
  tile.encoding = encoding;
  const auto length = static_cast<std::uint64_t>(rows * encoding->row_bytes());
  tile.bytes = bytes_of_file(path, offset, length, layout, {rows, cols, {}}, reading);
  return {rows, cols, {std::move(tile)}};
}

// Elements and bytes of a block of each layout, by its name.
py::dict layouts_of_blocks() {
  py::dict found;
  for (const BlockLayout& layout : block_layouts())
    found[py::str(std::string(layout.name))] = py::make_tuple(layout.elements, layout.bytes);
  return found;
}

Matrix with_scale(const Matrix& matrix,
                  const py::array_t<float, py::array::c_style | py::array::forcecast>& values,
                  std::int64_t block_rows, std::int64_t block_cols) {
  if (block_rows < 1 || block_cols < 1)
    throw std::invalid_argument("scale blocks of " + std::to_string(block_rows) + " x " +
                                std::to_string(block_cols) +
                                " must have at least one row and one column");
  const auto wanted_rows = (matrix.rows + block_rows - 1) / block_rows,
             wanted_cols = (matrix.cols + block_cols - 1) / block_cols;
  if (values.ndim() != 2 || values.shape(0) != wanted_rows || values.shape(1) != wanted_cols)
    throw std::invalid_argument(
        "scales of " + std::to_string(matrix.rows) + " x " + std::to_string(matrix.cols) +
        " in blocks of " + std::to_string(block_rows) + " x " + std::to_string(block_cols) +
        " must be " + std::to_string(wanted_rows) + " x " + std::to_string(wanted_cols));
  auto scale = std::make_shared<Scale>();
  scale->values =
      std::make_shared<const std::vector<float>>(values.data(), values.data() + values.size());
  scale->block_rows = block_rows, scale->block_cols = block_cols;
  scale->row_stride = wanted_cols, scale->col_stride = 1;
  Matrix result = matrix;
  for (Tile& tile : result.tiles) tile.scale = scale;
  return result;
}

template <class T>
py::array_t<T> decode(const Matrix& matrix, int threads) {
  py::array_t<T> out({matrix.rows, matrix.cols});
  T* data = out.mutable_data();
  py::gil_scoped_release release;
  Cpu cpu({.threads = threads, .panel_rows = 0, .observer = {}});
  decode_block(cpu, matrix, 0, matrix.rows, 0, matrix.cols, data);
  return out;
}

}  // namespace

void register_matrix(py::module_& module) {
  py::class_<Matrix>(module, "Matrix")
      .def(py::init([](std::int64_t rows, std::int64_t cols) { return Matrix{rows, cols, {}}; }),
           "rows"_a, "cols"_a)
      .def_static(
          "from_memory",
          [](std::uintptr_t address, py::object owner, const std::string& dtype, std::int64_t rows,
             std::int64_t cols, std::int64_t row_stride, std::int64_t col_stride) {
            return from_memory(address, std::move(owner),
                               {dtype, rows, cols, row_stride, col_stride});
          },
          "address"_a, "owner"_a, "dtype"_a, "rows"_a, "cols"_a, "row_stride"_a, "col_stride"_a)
      .def_static(
          "from_device",
          [](std::uintptr_t address, py::object source, int device, const std::string& dtype,
             std::int64_t rows, std::int64_t cols, std::int64_t row_stride,
             std::int64_t col_stride) {
            return from_device(address, std::move(source), device,
                               {dtype, rows, cols, row_stride, col_stride});
          },
          "address"_a, "source"_a, "device"_a, "dtype"_a, "rows"_a, "cols"_a, "row_stride"_a,
          "col_stride"_a)
      .def_static("from_dlpack", &from_dlpack, "capsule"_a, "source"_a, "codes"_a)
      .def_static("from_file", &from_file, "path"_a, "offset"_a, "rows"_a, "cols"_a, "dtype"_a,
                  "row_stride"_a, "reading"_a)
      .def_static("from_blocks", &from_blocks, "path"_a, "offset"_a, "rows"_a, "cols"_a, "layout"_a,
                  "reading"_a)
      .def_readonly("rows", &Matrix::rows)
      .def_readonly("cols", &Matrix::cols)
      .def_property_readonly("nbytes", &Matrix::stored_bytes)
      .def_property_readonly("in_memory", &Matrix::in_memory)
      .def_property_readonly("device",
                             [](const Matrix& m) -> std::optional<int> {
                               const int device = m.device();
                               return device == on_host ? std::nullopt : std::optional(device);
                             })
      .def_property_readonly("sources_on_device", &sources_on_device)
      .def_property_readonly("column_major", &Matrix::mostly_column_major)
      .def_property_readonly("layers", &Matrix::layers)
      .def(py::pickle(&describe, &described))
      .def_property_readonly("dtypes",
                             [](const Matrix& m) {
                               std::vector<std::string> names;
                               names.reserve(m.tiles.size());
                               for (const Tile& tile : m.tiles)
                                 names.emplace_back(info(tile.dtype).name);
                               return names;
                             })
      .def("transposed", &Matrix::transposed)
      .def("slice", &Matrix::slice, "row0"_a, "row1"_a, "col0"_a, "col1"_a, "row_step"_a,
           "col_step"_a)
      .def("scaled", &Matrix::scaled, "factor"_a)
      // (matrix, row, column) of each part: linear in their tiles, which a chain of `added` is not.
      .def_static(
          "joined",
          [](std::int64_t rows, std::int64_t cols,
             const std::vector<std::tuple<const Matrix*, std::int64_t, std::int64_t>>& parts) {
            Matrix sum{rows, cols, {}};
            for (const auto& [part, row0, col0] : parts) sum.add(*part, row0, col0);
            return sum;
          },
          "rows"_a, "cols"_a, "parts"_a)
      .def(
          "added",
          [](const Matrix& m, const Matrix& other, std::int64_t row0, std::int64_t col0) {
            Matrix sum = m;
            sum.add(other, row0, col0);
            return sum;
          },
          "other"_a, "row0"_a, "col0"_a)
      .def("with_scale", &with_scale, "values"_a, "block_rows"_a, "block_cols"_a)
      .def("loaded", &Matrix::loaded, py::call_guard<py::gil_scoped_release>())
      .def("copied", &Matrix::copied, py::call_guard<py::gil_scoped_release>())
      .def("decode_f32", &decode<float>, "threads"_a)
      .def("decode_f64", &decode<double>, "threads"_a);
  module.def("block_layouts", &layouts_of_blocks);
  py::class_<KeepingMemory>(module, "KeepingMemory")
      .def(py::init<>())
      .def("end", &KeepingMemory::end);
}

}  // namespace sigmascope
