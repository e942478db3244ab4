// SPDX-License-Identifier: BSD-3-Clause
// Single verbs of a device, and of the processor where the device is None, for tests: arrays in,
// arrays out.
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/device_bindings.hpp"

namespace sigmascope::device {

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// A backend, and arrays as its blocks.
template <class B>
struct Verbs {
  using T = typename B::Real;
  using Block = typename B::Block;

  B backend;

  template <class... Device>
  explicit Verbs(const RunOptions& options, const Device&... device)
      : backend(cpu_options(options), device...) {}

  Block block(const py::handle& array) {
    return backend.from_host(small_of(py::cast<Array<double>>(array)));
  }
  std::vector<Block> blocks(const py::list& arrays) {
    std::vector<Block> blocks;
    for (const py::handle array : arrays) blocks.push_back(block(array));
    return blocks;
  }
  py::array array(const Block& x) { return to_numpy(backend, x, false); }

  py::array gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                     std::int64_t column0) {
    return array(backend.gaussian(rows, cols, seed, column0));
  }
  py::array inner(const py::list& xs, const py::array& y) {
    const auto all = blocks(xs);
    return sigmascope::to_numpy(backend.inner(all, block(y)));
  }
  py::array combine(const py::array& y, const py::list& xs, const py::array& c) {
    const auto all = blocks(xs);
    Block sum = block(y);
    backend.combine(sum, all, small_of(c));
    return array(sum);
  }
  py::array product(const MatrixView& a, const std::string& name, const py::array& x) {
    if (name == "multiply") return array(backend.multiply(a, block(x)));
    if (name == "multiply_adjoint") return array(backend.multiply_adjoint(a, block(x)));
    if (name == "gram_step") return array(backend.gram_step(a, block(x), nullptr));
    if (name == "steer") return array(backend.steer(a, block(x)));
    throw std::invalid_argument("there is no product " + name);
  }
};

// act(verbs) for the device and the type that keywords ask for.
template <class Act>
py::array with_verbs(bool f64, const py::kwargs& kwargs, const Act& act) {
  const RunOptions run = run_options(kwargs);
  const auto in = [&]<class T>() -> py::array {
    if (kwargs["device"].is_none()) {
      Verbs<CpuBackend<T>> verbs(run);
      return act(verbs);
    }
    Verbs<CudaBackend<T>> verbs(run, device_options(kwargs));
    return act(verbs);
  };
  return f64 ? in.template operator()<double>() : in.template operator()<float>();
}

}  // namespace

void register_verbs(py::module_& module) {
  module.def(
      "gaussian",
      [](std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t column0, bool f64,
         const py::kwargs& kwargs) {
        return with_verbs(f64, kwargs,
                          [&](auto& verbs) { return verbs.gaussian(rows, cols, seed, column0); });
      },
      "rows"_a, "cols"_a, py::kw_only(), "seed"_a, "column0"_a, "f64"_a);
  module.def(
      "inner",
      [](const py::list& xs, const py::array& y, bool f64, const py::kwargs& kwargs) {
        return with_verbs(f64, kwargs, [&](auto& verbs) { return verbs.inner(xs, y); });
      },
      "xs"_a, "y"_a, py::kw_only(), "f64"_a);
  module.def(
      "combine",
      [](const py::array& y, const py::list& xs, const py::array& c, bool f64,
         const py::kwargs& kwargs) {
        return with_verbs(f64, kwargs, [&](auto& verbs) { return verbs.combine(y, xs, c); });
      },
      "y"_a, "xs"_a, "c"_a, py::kw_only(), "f64"_a);
  module.def(
      "product",
      [](const Matrix& a, const std::string& name, const py::array& x, bool transposed,
         double factor, bool f64, const py::kwargs& kwargs) {
        return with_verbs(f64, kwargs, [&](auto& verbs) {
          return verbs.product({&a, transposed, factor}, name, x);
        });
      },
      "a"_a, "name"_a, "x"_a, py::kw_only(), "transposed"_a, "factor"_a = 1.0, "f64"_a);
  module.def(
      "dense",
      [](const Matrix& a, bool transposed, double factor, const py::kwargs& kwargs) {
        return with_verbs(true, kwargs, [&](auto& verbs) {
          return sigmascope::to_numpy(verbs.backend.dense({&a, transposed, factor}));
        });
      },
      "a"_a, py::kw_only(), "transposed"_a, "factor"_a = 1.0);
  module.def(
      "gram",
      [](const Matrix& a, bool transposed, const py::kwargs& kwargs) {
        return with_verbs(true, kwargs, [&](auto& verbs) {
          return sigmascope::to_numpy(
              verbs.backend.gram({&a, transposed}, GramProducts::full).values);
        });
      },
      "a"_a, py::kw_only(), "transposed"_a);
}

}  // namespace sigmascope::device
