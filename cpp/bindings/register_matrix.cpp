// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <string>
#include <tuple>

#include "bindings/array_import.hpp"
#include "bindings/bindings.hpp"
#include "bindings/description.hpp"
#include "bindings/encoding_state.hpp"
#include "bindings/python_source.hpp"
#include "bindings/scales.hpp"
#include "kernels/blocks/dense.hpp"
#include "kernels/encodings/block_encoding.hpp"
#include "kernels/encodings/rounding_errors.hpp"
#include "storage/file.hpp"

namespace sigmascope {

namespace {

using Source = std::shared_ptr<const ByteSource>;

std::shared_ptr<const File> opened_file(const std::filesystem::path& path,
                                        const std::string& reading) {
  return std::make_shared<const File>(path.string(),
                                      reading == "uncached" ? Caching::none : Caching::kept);
}

// The place of a matrix in a source, row after row.
struct Rows {
  std::uint64_t offset;
  std::int64_t rows, cols;
  std::string dtype;            // or layout of blocks
  std::int64_t row_stride = 0;  // in bytes, or in elements if the dtype packs several into a byte
};

// `length` bytes of a source, which must have them.
Bytes bytes_of(Source source, const Rows& at, std::uint64_t length) {
  if (length > source->size() || at.offset > source->size() - length)
    throw TruncatedFile(source->name() + " has " + std::to_string(source->size()) + " bytes; a " +
                        at.dtype + " matrix of " + std::to_string(at.rows) + " x " +
                        std::to_string(at.cols) + " at offset " + std::to_string(at.offset) +
                        " needs " + std::to_string(length) + " more");
  return Bytes::in_file(std::move(source), at.offset, length);
}

Matrix from_source(Source source, const Rows& at) {
  Tile tile;
  tile.dtype = dtype_from_name(at.dtype);
  tile.rows = at.rows, tile.cols = at.cols;
  tile.row_stride = at.row_stride, tile.col_stride = info(tile.dtype).size;
  const std::int64_t packed = info(tile.dtype).packed;
  const std::uint64_t length =
      at.rows > 0 && at.cols > 0
          ? static_cast<std::uint64_t>(
                ((at.rows - 1) * at.row_stride + at.cols * tile.col_stride + packed - 1) / packed)
          : 0;
  tile.bytes = bytes_of(std::move(source), at, length);
  return {at.rows, at.cols, {std::move(tile)}};
}

Matrix from_file(const std::filesystem::path& path, const Rows& at, const std::string& reading) {
  const auto file = opened_file(path, reading);
  Matrix matrix = from_source(file, at);
  if (reading != "mapped") return matrix;
  Tile& tile = matrix.tiles.front();
  if (info(tile.dtype).packed > 1)
    throw std::invalid_argument(at.dtype + " is packed in files: it can be read, but not mapped");
  tile.bytes = mapped(file, tile.bytes.offset(), tile.bytes.size());
  return matrix;
}

Matrix encoded(Source source, const Rows& at, std::shared_ptr<const Encoding> encoding,
               std::int64_t length) {
  constexpr std::int64_t size = info(DType::f32).size;
  Tile tile;
  tile.rows = at.rows, tile.cols = at.cols;
  tile.row_stride = at.cols * size, tile.col_stride = size;
  tile.encoding = std::move(encoding);
  tile.bytes = bytes_of(std::move(source), at, static_cast<std::uint64_t>(length));
  return {at.rows, at.cols, {std::move(tile)}};
}

// Rows of blocks of one layout, which follow each other.
Matrix from_blocks(Source source, const Rows& at) {
  const auto encoding = block_encoding(at.dtype, at.cols);
  return encoded(std::move(source), at, encoding, at.rows * encoding->row_bytes());
}

// Codes of `state`, from an offset on.
Matrix from_groups(Source source, std::uint64_t offset, const py::dict& state) {
  const auto encoding = group_encoding(state);
  const GroupLayout& a = encoding->layout();
  const Rows at{offset, a.rows, a.cols, std::to_string(a.bits) + "-bit"};
  return encoded(std::move(source), at, encoding, a.bytes());
}

// Elements and bytes of a block of each layout, by its name.
py::dict layouts_of_blocks() {
  py::dict layouts;
  for (const BlockLayout& layout : block_layouts())
    layouts[py::str(std::string(layout.name))] = py::make_tuple(layout.elements, layout.bytes);
  return layouts;
}

template <class T>
py::array_t<T> decode(const Matrix& matrix, int threads) {
  py::array_t<T> out({matrix.rows, matrix.cols});
  T* data = out.mutable_data();
  const Observer observer = make_observer(py::none());
  py::gil_scoped_release release;
  Cpu cpu({.threads = threads, .panel_rows = 0, .observer = observer});
  decode_block(cpu, matrix, 0, matrix.rows, 0, matrix.cols, data);
  matrix.check_mappings();
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
      .def_static(
          "from_file",
          [](const std::filesystem::path& path, std::uint64_t offset, std::int64_t rows,
             std::int64_t cols, const std::string& dtype, std::int64_t row_stride,
             const std::string& reading) {
            return from_file(path, {offset, rows, cols, dtype, row_stride}, reading);
          },
          "path"_a, "offset"_a, "rows"_a, "cols"_a, "dtype"_a, "row_stride"_a, "reading"_a)
      .def_static(
          "from_source",
          [](py::object source, std::uint64_t offset, std::int64_t rows, std::int64_t cols,
             const std::string& dtype, std::int64_t row_stride) {
            return from_source(python_source(std::move(source)),
                               {offset, rows, cols, dtype, row_stride});
          },
          "source"_a, "offset"_a, "rows"_a, "cols"_a, "dtype"_a, "row_stride"_a)
      .def_static(
          "from_blocks",
          [](const std::filesystem::path& path, std::uint64_t offset, std::int64_t rows,
             std::int64_t cols, const std::string& layout, const std::string& reading) {
            if (reading == "mapped")
              throw std::invalid_argument(layout +
                                          " is decoded when it is read, so it cannot be mapped");
            return from_blocks(opened_file(path, reading), {offset, rows, cols, layout});
          },
          "path"_a, "offset"_a, "rows"_a, "cols"_a, "layout"_a, "reading"_a)
      .def_static(
          "from_blocks_of_source",
          [](py::object source, std::uint64_t offset, std::int64_t rows, std::int64_t cols,
             const std::string& layout) {
            return from_blocks(python_source(std::move(source)), {offset, rows, cols, layout});
          },
          "source"_a, "offset"_a, "rows"_a, "cols"_a, "layout"_a)
      .def_static(
          "from_groups",
          [](const std::filesystem::path& path, std::uint64_t offset, const py::dict& state,
             const std::string& reading) {
            return from_groups(opened_file(path, reading), offset, state);
          },
          "path"_a, "offset"_a, "state"_a, "reading"_a)
      .def_static(
          "from_groups_of_source",
          [](py::object source, std::uint64_t offset, const py::dict& state) {
            return from_groups(python_source(std::move(source)), offset, state);
          },
          "source"_a, "offset"_a, "state"_a)
      .def_readonly("rows", &Matrix::rows)
      .def_readonly("cols", &Matrix::cols)
      .def_property_readonly("nbytes", &Matrix::stored_bytes)
      .def_property_readonly("parameter_nbytes", &Matrix::parameter_bytes)
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
      .def("times_rows", &times_rows, "factors"_a)
      .def_property_readonly("quantised", &is_quantised)
      .def_property_readonly("encoded", &is_encoded)
      .def("deviations", &deviations_of)
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
