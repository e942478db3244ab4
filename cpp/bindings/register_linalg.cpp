// SPDX-License-Identifier: BSD-3-Clause
// The algorithms as functions that return dictionaries of arrays; the GIL is released while they
// run.
#include <stdexcept>
#include <string>

#include "algorithms/block_krylov.hpp"
#include "algorithms/gram_spectrum.hpp"
#include "algorithms/randomized_svd.hpp"
#include "bindings/bindings.hpp"
#include "bindings/prepared.hpp"
#include "bindings/spread.hpp"
#include "kernels/tridiagonal.hpp"

namespace sigmascope {

namespace {

template <class P, class Factors>
void put_factors(py::dict& result, const P& p, const Factors& f, bool vectors) {
  result["s"] = to_numpy(p.in_units(f.s));
  if (!vectors) return;
  result["u"] = to_numpy(p.flipped ? f.v : f.u, false);
  result["vt"] = to_numpy(p.flipped ? f.u : f.v, true);
}

template <class P>
void put_evidence(py::dict& result, const P& p) {
  result["reads"] = p.a->reads() + p.looks;
  result["fro2"] = p.in_squared_units(p.fro2);
  result["unit"] = p.unit();
}

Products products_of(const std::string& name) {
  if (name == "rounded") return Products::bf16;
  if (name == "split") return Products::bf16x2;
  if (name == "full") return Products::full;
  throw std::invalid_argument("products are rounded, split or full, not " + name);
}

py::dict quadrature_dict(const Quadrature& rule, const Problem& p) {
  const auto nodes = [&](std::vector<double> values) {
    for (double& value : values) value = p.in_squared_units(value);
    return to_numpy(values);
  };
  py::dict result;
  result["gauss_nodes"] = nodes(rule.gauss_nodes);
  result["gauss_weights"] = to_numpy(rule.gauss_weights);
  result["radau_nodes"] = nodes(rule.radau_nodes);
  result["radau_weights"] = to_numpy(rule.radau_weights);
  result["residuals"] = nodes(rule.residuals);
  result["columns"] = rule.columns;
  return result;
}

template <class P>
py::dict krylov(P& p, KrylovOptions options) {
  options.seed = p.start(options.seed);
  const auto top = [&] {
    py::gil_scoped_release release;
    return block_krylov(p.backend, *p.a, p.fro2, options);
  }();
  py::dict result;
  put_factors(result, p, top.triplets, options.vectors);
  result["residuals"] = to_numpy(p.in_units(top.residuals));
  result["errors"] = to_numpy(p.in_units(top.errors));
  result["converged"] = top.converged;
  result["injected"] = top.injected;
  result["restarted"] = top.restarted;
  result["refined"] = top.refined;
  result["consistent"] = top.consistent;
  result["costly"] = top.costly;
  result["columns"] = top.columns;
  result["unread"] = top.required_columns;
  result["steps"] = top.steps;
  put_evidence(result, p);
  if (top.quadrature) result["quadrature"] = quadrature_dict(*top.quadrature, p);
  return result;
}

// A run of a fixed number of steps, for its quadrature alone.
template <class P>
py::dict density(P& p, std::int64_t block, std::int64_t steps, std::uint64_t seed,
                 Products products) {
  std::int64_t taken = 0;
  const Quadrature rule = [&] {
    py::gil_scoped_release release;
    KrylovSpace<typename P::Backend> space(p.backend, p.a->cols(), std::min(block, p.a->cols()),
                                           p.start(seed));
    while (taken < steps && !space.exhausted()) {
      space.expand(*p.a, nullptr, Rounding{.products = products});
      ++taken;
    }
    return quadrature(space);
  }();
  py::dict result = quadrature_dict(rule, p);
  result["steps"] = taken;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict low_rank(P& p, std::int64_t k, std::int64_t block, std::int64_t passes,
                  std::uint64_t seed) {
  const auto factors = [&] {
    py::gil_scoped_release release;
    return randomized_svd(p.backend, *p.a, p.fro2, k, block, passes, p.start(seed));
  }();
  py::dict result;
  put_factors(result, p, factors.triplets, true);
  result["residuals"] = to_numpy(p.in_units(factors.triplets.residuals));
  result["errors"] = to_numpy(p.in_units(factors.errors));
  result["converged"] = factors.converged;
  result["columns"] = factors.columns;
  result["steps"] = factors.steps;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict gram_top(P& p, const GramOptions& options) {
  const auto top = [&] {
    py::gil_scoped_release release;
    GramOptions mixed = options;
    mixed.seed = p.start(options.seed);
    return gram_triplets(p.backend, *p.a, mixed);
  }();
  py::dict result;
  put_factors(result, p, top.triplets, true);
  result["residuals"] = to_numpy(p.in_units(top.triplets.residuals));
  result["errors"] = to_numpy(p.in_units(top.errors));
  result["converged"] = top.converged;
  result["complete"] = top.complete;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict every_value(P& p, bool fast) {
  const GramSpectrum spectrum = [&] {
    py::gil_scoped_release release;
    return gram_spectrum(p.backend, *p.a, fast);
  }();
  py::dict result;
  result["values"] = to_numpy(p.in_units(spectrum.values));
  result["errors"] = to_numpy(p.in_units(spectrum.errors));
  result["floor"] = p.in_units(spectrum.floor);
  result["precision"] = std::string(spectrum.precision);
  result["fallen_back"] = spectrum.fallen_back;
  result["fast_reduction"] = spectrum.fast_reduction;
  put_evidence(result, p);
  return result;
}

template <class T>
using Input = py::array_t<T, py::array::c_style | py::array::forcecast>;

// verb: "multiply" A x, "adjoint" A^T x, "gram" (A^T (A x), A x); "split", "steer": A^T (A x) with
// 16 bits, with 8; "multiply_bf16" A x with 8.
template <class T>
py::object product(const Matrix& matrix, const Input<T>& x, const std::string& verb,
                   const RunOptions& run) {
  CpuBackend<T> backend(cpu_options(run));
  const Block<T> block = from_numpy<T>(x);
  const bool flip = matrix.mostly_column_major(), adjoint = (verb == "adjoint") != flip;
  const Matrix stored = flip ? matrix.transposed() : matrix;
  // By rows as stored, A x is the adjoint of the transpose: the same sums, the same bits, ten times
  // as fast.
  const MatrixView view{&stored, flip, 1.0}, by_rows{&stored, false, 1.0};
  Block<T> image, result;
  {
    py::gil_scoped_release release;
    if (verb == "steer") result = backend.steer(view, block);
    else if (verb == "split") result = backend.gram_step(view, block, nullptr, 2);
    else if (verb == "multiply_bf16") result = backend.multiply_bf16(view, block);
    else if (verb == "gram") result = backend.gram_step(view, block, &image);
    else
      result =
          adjoint ? backend.multiply_adjoint(by_rows, block) : backend.multiply(by_rows, block);
  }
  if (verb == "gram") return py::make_tuple(to_numpy(result, false), to_numpy(image, false));
  return to_numpy(result, false);
}

// A^T A in fp64, its lower triangle if read by columns.
py::array_t<double> gram(const Matrix& matrix, const RunOptions& run) {
  CpuBackend<double> backend(cpu_options(run));
  const bool flip = matrix.mostly_column_major();
  const Matrix stored = flip ? matrix.transposed() : matrix;
  const Gram found = [&] {
    py::gil_scoped_release release;
    return backend.gram({&stored, flip, 1.0}, false);
  }();
  return py::array_t<double>({found.values.cols, found.values.rows}, found.values.data());
}

// Of a symmetric matrix; the reduction that large Gram matrices go through, for any order.
py::array_t<double> two_stage(const Input<double>& a, bool fast, int threads) {
  Small copy(a.shape(0), a.shape(1));
  std::copy_n(a.data(), a.size(), copy.data());
  py::gil_scoped_release release;
  ThreadPool pool(threads);
  std::vector<double> values = two_stage_eigenvalues(best_isa(), pool, copy, fast, [] {});
  py::gil_scoped_acquire acquire;
  return to_numpy(values);
}

py::array_t<double> gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                             std::int64_t column0, int threads) {
  CpuBackend<double> backend({.threads = threads, .panel_rows = 0, .observer = {}});
  return to_numpy(backend.gaussian(rows, cols, seed, column0), false);
}

}  // namespace

void register_linalg(py::module_& module) {
  module.def(
      "krylov",
      [](const py::object& a, std::int64_t k, double tol, std::int64_t block,
         std::int64_t max_steps, std::int64_t soft_restart_columns, std::int64_t hard_restart_columns,
         std::int64_t refusal_columns, std::int64_t full_readout_columns, std::uint64_t seed, bool vectors,
         bool bounded, bool with_density, const std::string& products, bool of_values,
         bool rounded_copy, bool f64, bool gather, bool separate, const py::kwargs& kwargs) {
        const KrylovOptions options{k,
                                 tol,
                                 block,
                                 max_steps,
                                 soft_restart_columns,
                                 hard_restart_columns,
                                 refusal_columns,
                                 full_readout_columns,
                                 seed,
                                 vectors,
                                 bounded,
                                 with_density,
                                 products_of(products),
                                 of_values};
        return solved(
            a, f64, run_options(kwargs, gather, separate),
            [&](auto& p) { return krylov(p, options); }, rounded_copy);
      },
      "a"_a, py::kw_only(), "k"_a, "tol"_a, "block"_a, "max_steps"_a, "restart_columns"_a,
      "max_columns"_a, "most_columns"_a, "readout_columns"_a, "seed"_a, "vectors"_a, "bounded"_a,
      "density"_a, "products"_a, "of_values"_a, "rounded_copy"_a, "f64"_a, "gather"_a = false,
      "separate"_a = false);
  module.def(
      "density",
      [](const py::object& a, std::int64_t block, std::int64_t steps, std::uint64_t seed, bool f64,
         const std::string& products, bool gather, bool separate, const py::kwargs& kwargs) {
        const auto run = [&](auto& p) {
          return density(p, block, steps, seed, products_of(products));
        };
        return solved(a, f64, run_options(kwargs, gather, separate), run);
      },
      "a"_a, py::kw_only(), "block"_a, "steps"_a, "seed"_a, "f64"_a, "products"_a = "full",
      "gather"_a = false, "separate"_a = false);
  module.def(
      "low_rank",
      [](const py::object& a, std::int64_t k, std::int64_t block, std::int64_t passes,
         std::uint64_t seed, bool f64, bool gather, const py::kwargs& kwargs) {
        return solved(a, f64, run_options(kwargs, gather),
                      [&](auto& p) { return low_rank(p, k, block, passes, seed); });
      },
      "a"_a, py::kw_only(), "k"_a, "block"_a, "passes"_a, "seed"_a, "f64"_a, "gather"_a = false);
  module.def(
      "gram_top",
      [](const py::object& a, std::int64_t k, double tol, bool vectors, bool may_complete,
         bool at_once, std::uint64_t seed, const py::kwargs& kwargs) {
        const GramOptions options{k, tol, vectors, may_complete, at_once, seed};
        return solved_in<double>(a, run_options(kwargs),
                                 [&](auto& p) { return gram_top(p, options); });
      },
      "a"_a, py::kw_only(), "k"_a, "tol"_a, "vectors"_a, "may_complete"_a, "at_once"_a, "seed"_a);
  module.def("gram_error", &gram_error, "n"_a);
  module.def(
      "every_value",
      [](const py::object& a, bool fast, const py::kwargs& kwargs) {
        return solved_in<double>(a, run_options(kwargs),
                                 [&](auto& p) { return every_value(p, fast); });
      },
      "a"_a, py::kw_only(), "fast"_a);
  module.def(
      "gram",
      [](const Matrix& a, const py::kwargs& kwargs) { return gram(a, run_options(kwargs)); }, "a"_a,
      py::kw_only());
  module.def("two_stage_eigenvalues", &two_stage, "a"_a, "fast"_a, "threads"_a);
  module.def(
      "product_f32",
      [](const Matrix& a, const Input<float>& x, const std::string& verb,
         const py::kwargs& kwargs) { return product<float>(a, x, verb, run_options(kwargs)); },
      "a"_a, "x"_a, "verb"_a);
  module.def(
      "product_f64",
      [](const Matrix& a, const Input<double>& x, const std::string& verb,
         const py::kwargs& kwargs) { return product<double>(a, x, verb, run_options(kwargs)); },
      "a"_a, "x"_a, "verb"_a);
  module.def("gaussian", &gaussian, "rows"_a, "cols"_a, "seed"_a, "column0"_a, "threads"_a);
}

}  // namespace sigmascope
