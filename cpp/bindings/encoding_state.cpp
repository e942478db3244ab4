// SPDX-License-Identifier: BSD-3-Clause
#include "bindings/encoding_state.hpp"

#include <string>
#include <utility>

#include "kernels/encodings/block_encoding.hpp"

namespace sigmascope {

namespace {

template <class T>
std::vector<T> values_of(const py::dict& state, const char* key) {
  const py::object value = state[key];
  if (value.is_none()) return {};
  const auto array = value.cast<py::array_t<T, py::array::c_style | py::array::forcecast>>();
  return std::vector<T>(array.data(), array.data() + array.size());
}

template <class T>
py::object array_or_none(const std::vector<T>& values) {
  if (values.empty()) return py::none();
  return to_numpy(values);
}

}  // namespace

std::shared_ptr<const GroupEncoding> group_encoding(const py::dict& state) {
  GroupLayout a;
  a.rows = state["rows"].cast<std::int64_t>(), a.cols = state["cols"].cast<std::int64_t>();
  a.bits = state["bits"].cast<int>();
  a.word = state["word"].cast<std::int64_t>();
  a.down = state["down"].cast<bool>();
  a.order = values_of<std::uint8_t>(state, "order");
  a.table = values_of<float>(state, "table");
  a.row_groups = values_of<std::int32_t>(state, "row_groups");
  a.col_groups = values_of<std::int32_t>(state, "col_groups");
  a.grid_cols = state["grid_cols"].cast<std::int64_t>();
  a.block = state["block"].cast<std::int64_t>();
  a.scales = values_of<float>(state, "scales");
  a.zeros = values_of<float>(state, "zeros");
  a.biases = values_of<float>(state, "biases");
  return std::make_shared<const GroupEncoding>(std::move(a));
}

py::object described_encoding(const Encoding& encoding) {
  const auto* groups = dynamic_cast<const GroupEncoding*>(&encoding);
  if (groups == nullptr) return py::make_tuple(std::string(encoding.name()), encoding.cols());
  const GroupLayout& a = groups->layout();
  return py::dict("rows"_a = a.rows, "cols"_a = a.cols, "bits"_a = a.bits, "word"_a = a.word,
                  "down"_a = a.down, "order"_a = to_numpy(a.order), "table"_a = to_numpy(a.table),
                  "row_groups"_a = to_numpy(a.row_groups), "col_groups"_a = to_numpy(a.col_groups),
                  "grid_cols"_a = a.grid_cols, "block"_a = a.block, "scales"_a = to_numpy(a.scales),
                  "zeros"_a = array_or_none(a.zeros), "biases"_a = array_or_none(a.biases));
}

std::shared_ptr<const Encoding> opened_encoding(const py::handle& state) {
  if (py::isinstance<py::dict>(state)) return group_encoding(state.cast<py::dict>());
  const auto [name, cols] = state.cast<std::pair<std::string, std::int64_t>>();
  return block_encoding(name, cols);
}

}  // namespace sigmascope
