// SPDX-License-Identifier: BSD-3-Clause
// Facts about the engine that Python plans with: bytes of each kind of pass and of each
// decomposition, constants, and the criteria that a choice depends on.
#include "algorithms/randomized_svd.hpp"
#include "algorithms/rayleigh_ritz.hpp"
#include "algorithms/small_dense.hpp"
#include "algorithms/steering.hpp"
#include "algorithms/work.hpp"
#include "bindings/bindings.hpp"
#include "kernels/blocks/dense.hpp"
#include "kernels/blocks/pass_layout.hpp"
#include "kernels/eigenvalues/tridiagonal.hpp"
#include "kernels/elements/element_pass.hpp"
#include "kernels/gram/gram.hpp"
#include "kernels/panels/pass_bytes.hpp"
#include "kernels/panels/summed.hpp"

namespace sigmascope {

namespace {

// Converts the Python class `PassLayout`.
PassLayout layout_of(const py::object& layout) {
  const auto shape = layout.attr("shape").cast<std::pair<std::int64_t, std::int64_t>>();
  return {.rows = shape.first,
          .cols = shape.second,
          .element_bytes = layout.attr("stored").cast<double>(),
          .files = layout.attr("files").cast<bool>(),
          .threads = layout.attr("threads").cast<int>(),
          .panel_rows = layout.attr("panel_rows").cast<std::int64_t>(),
          .wide = layout.attr("wide").cast<bool>()};
}

PassProducts products_of(bool both) { return both ? PassProducts::both : PassProducts::one; }

// Columns of a block with what pads them, of numbers of so many bytes.
std::int64_t padded_columns(std::int64_t columns, std::int64_t width) {
  return width == 4 ? Block<float>::padded(columns) : Block<double>::padded(columns);
}

// The result of CpuBackend::inner before its parts are added up.
std::int64_t inner_bytes(std::int64_t rows, std::int64_t left, std::int64_t right,
                         std::int64_t width) {
  return 8 * chunks(rows, inner_part) * left * padded_columns(right, width);
}

}  // namespace

void register_planning(py::module_& module) {
  module.def(
      "number_pass_bytes",
      [](const py::object& layout, std::int64_t columns, std::int64_t width, bool both) {
        const auto bytes = width == 4 ? number_pass_bytes<float> : number_pass_bytes<double>;
        return bytes(layout_of(layout), columns, products_of(both));
      },
      "layout"_a, "columns"_a, "width"_a, py::kw_only(), "both"_a);
  module.def(
      "bf16_pass_bytes",
      [](const py::object& layout, std::int64_t columns) {
        return bf16_pass_bytes(layout_of(layout), columns);
      },
      "layout"_a, "columns"_a);
  module.def(
      "tile_pass_bytes",
      [](const py::object& layout, std::int64_t columns, bool both) {
        return tile_pass_bytes(layout_of(layout), columns, products_of(both));
      },
      "layout"_a, "columns"_a, py::kw_only(), "both"_a);
  module.def(
      "element_pass_bytes",
      [](const py::object& layout) { return element_pass_bytes(layout_of(layout)); }, "layout"_a);
  module.def(
      "gram_pass_bytes",
      [](const py::object& layout, bool fast) {
        return gram_pass_bytes(layout_of(layout), gram_products(fast));
      },
      "layout"_a, py::kw_only(), "fast"_a);
  module.def(
      "dense_bytes", [](const py::object& layout) { return dense_bytes(layout_of(layout)); },
      "layout"_a);
  module.def(
      "stored_panel_bytes",
      [](const py::object& layout, std::int64_t height, std::int64_t length, std::int64_t extent) {
        return layout_of(layout).stored_panels(height, length, extent);
      },
      "layout"_a, "height"_a, "length"_a, "extent"_a);
  module.def("eigenvalue_bytes", &eigenvalue_bytes, "order"_a, "threads"_a);
  module.def("inner_bytes", &inner_bytes, "rows"_a, "left"_a, "right"_a, "width"_a);
  module.def("padded_columns", &padded_columns, "columns"_a, "width"_a);
  module.def("remainder_bytes", &remainder_bytes, "elements"_a);
  module.def("is_fine", &is_fine, "tolerance"_a, "order"_a);
  module.def("resolution", &resolution, "epsilon"_a);
  module.attr("LARGEST_SVD") = largest_svd;
  module.attr("TEST_COLUMNS") = tests;
  module.attr("SMALL_ORDER") = Work::worth_saving;
}

}  // namespace sigmascope
