// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/description.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/encoding_state.hpp"
#include "bindings/python_source.hpp"
#include "matrix/sizes.hpp"
#include "storage/file.hpp"

namespace sigmascope {

namespace {

constexpr int description_version = 3;

// The state of a file, and how it is read: absolute path, size, time of the last write, whether its
// pages stay in the page cache.
using Stamp = std::tuple<std::filesystem::path, std::uint64_t, std::int64_t, bool>;

Stamp stamp(const File& file) {
  return {file.absolute(), file.size(), file.modified(), file.caching() == Caching::kept};
}

// A source as an object that Python can pickle: the stamp of a file, or the object that reads.
py::object described_source(const ByteSource& source) {
  if (const auto* file = dynamic_cast<const File*>(&source)) return py::cast(stamp(*file));
  return dynamic_cast<const PythonSource&>(source).object();
}

std::shared_ptr<const ByteSource> opened_source(const py::handle& state) {
  if (!py::isinstance<py::tuple>(state))
    return python_source(py::reinterpret_borrow<py::object>(state));
  const auto then = state.cast<Stamp>();
  auto file = std::make_shared<const File>(std::get<0>(then).string(),
                                           std::get<3>(then) ? Caching::kept : Caching::none);
  if (const Stamp now = stamp(*file); now != then)
    throw ChangedFile(file->name() + " was changed: it had " + std::to_string(std::get<1>(then)) +
                      " bytes, last written at " + std::to_string(std::get<2>(then)) +
                      " ns; now it has " + std::to_string(std::get<1>(now)) + ", written at " +
                      std::to_string(std::get<2>(now)) + " ns");
  return file;
}

std::size_t place_in(py::list& sources, const py::object& wanted) {
  for (std::size_t i = 0; i < sources.size(); ++i)
    if (py::object(sources[i]).equal(wanted)) return i;
  sources.append(wanted);
  return sources.size() - 1;
}

// The scales that one tile uses, out of those of the tensor.
py::object described_scale(const Tile& tile) {
  if (!tile.scale || tile.rows == 0 || tile.cols == 0) return py::none();
  const Scale& s = *tile.scale;
  const std::int64_t row0 = tile.scale_row0 / s.block_rows, col0 = tile.scale_col0 / s.block_cols;
  const std::int64_t rows =
                         (tile.scale_row0 + (tile.rows - 1) * tile.scale_row_step) / s.block_rows -
                         row0 + 1,
                     cols =
                         (tile.scale_col0 + (tile.cols - 1) * tile.scale_col_step) / s.block_cols -
                         col0 + 1;
  std::vector<float> values;
  values.reserve(as_size(rows * cols));
  for (std::int64_t i = row0; i < row0 + rows; ++i)
    for (std::int64_t j = col0; j < col0 + cols; ++j)
      values.push_back(s.at(i * s.block_rows, j * s.block_cols));
  return py::make_tuple(
      py::bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)), cols,
      s.block_rows, s.block_cols, tile.scale_row0 % s.block_rows, tile.scale_col0 % s.block_cols,
      tile.scale_row_step, tile.scale_col_step);
}

void put_scale(Tile& tile, const py::tuple& state) {
  const auto bytes = state[0].cast<std::string>();
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  auto scale = std::make_shared<Scale>();
  scale->values = std::make_shared<const std::vector<float>>(std::move(values));
  scale->row_stride = state[1].cast<std::int64_t>();
  scale->block_rows = state[2].cast<std::int64_t>();
  scale->block_cols = state[3].cast<std::int64_t>();
  tile.scale_row0 = state[4].cast<std::int64_t>();
  tile.scale_col0 = state[5].cast<std::int64_t>();
  tile.scale_row_step = state[6].cast<std::int64_t>();
  tile.scale_col_step = state[7].cast<std::int64_t>();
  tile.scale = std::move(scale);
}

// Encodings of the tiles of a matrix, each once: tiles share the scales of their groups.
class DescribedEncodings {
 public:
  py::object place_of(const Encoding* encoding) {
    if (encoding == nullptr) return py::none();
    const auto position = std::find(seen_.begin(), seen_.end(), encoding);
    const auto place = position - seen_.begin();
    if (position == seen_.end()) {
      seen_.push_back(encoding);
      states_.append(described_encoding(*encoding));
    }
    return py::int_(place);
  }
  const py::list& states() const { return states_; }

 private:
  std::vector<const Encoding*> seen_;
  py::list states_;
};

py::tuple described_tile(const Tile& tile, std::size_t source, const py::object& encoding) {
  return py::make_tuple(source, tile.bytes.offset(), tile.bytes.size(),
                        tile.bytes.data() != nullptr, std::string(info(tile.dtype).name), tile.rows,
                        tile.cols, tile.origin, tile.row_stride, tile.col_stride, tile.row0,
                        tile.col0, tile.coefficient, described_scale(tile), encoding);
}

Tile opened_tile(const py::tuple& state,
                 const std::vector<std::shared_ptr<const ByteSource>>& sources,
                 const std::vector<std::shared_ptr<const Encoding>>& encodings) {
  Tile tile;
  const auto& source = sources.at(state[0].cast<std::size_t>());
  const auto offset = state[1].cast<std::uint64_t>(), length = state[2].cast<std::uint64_t>();
  tile.bytes = state[3].cast<bool>()
                   ? mapped(std::dynamic_pointer_cast<const File>(source), offset, length)
                   : Bytes::in_file(source, offset, length);
  tile.dtype = dtype_from_name(state[4].cast<std::string>());
  tile.rows = state[5].cast<std::int64_t>(), tile.cols = state[6].cast<std::int64_t>();
  tile.origin = state[7].cast<std::int64_t>();
  tile.row_stride = state[8].cast<std::int64_t>(), tile.col_stride = state[9].cast<std::int64_t>();
  tile.row0 = state[10].cast<std::int64_t>(), tile.col0 = state[11].cast<std::int64_t>();
  tile.coefficient = state[12].cast<double>();
  if (!state[13].is_none()) put_scale(tile, state[13]);
  if (!state[14].is_none()) tile.encoding = encodings.at(state[14].cast<std::size_t>());
  return tile;
}

}  // namespace

py::tuple describe(const Matrix& matrix) {
  py::list sources, tiles;
  DescribedEncodings encodings;
  for (const Tile& tile : matrix.tiles) {
    const ByteSource* source = tile.bytes.source();
    if (source == nullptr)
      throw py::type_error(
          "a matrix in memory cannot be sent to another process; write it to a file, and open that "
          "with "
          "sigmascope.matrix(path) or sigmascope.tensor");
    tiles.append(described_tile(tile, place_in(sources, described_source(*source)),
                                encodings.place_of(tile.encoding.get())));
  }
  return py::make_tuple(description_version, matrix.rows, matrix.cols, sources, tiles,
                        encodings.states());
}

Matrix described(const py::tuple& state) {
  if (state.size() != 6 || state[0].cast<int>() != description_version)
    throw std::invalid_argument(
        "this description of a matrix was written by another version of sigmascope");
  std::vector<std::shared_ptr<const ByteSource>> sources;
  for (const py::handle& each : state[3].cast<py::list>()) sources.push_back(opened_source(each));
  std::vector<std::shared_ptr<const Encoding>> encodings;
  for (const py::handle& each : state[5].cast<py::list>())
    encodings.push_back(opened_encoding(each));
  Matrix result{state[1].cast<std::int64_t>(), state[2].cast<std::int64_t>(), {}};
  for (const auto& tile : state[4].cast<py::list>())
    result.tiles.push_back(opened_tile(tile.cast<py::tuple>(), sources, encodings));
  return result;
}

}  // namespace sigmascope
