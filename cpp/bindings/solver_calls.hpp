// SPDX-License-Identifier: BSD-3-Clause
// The solvers as functions that return dictionaries of arrays, on whichever device a problem was
// prepared. The GIL is released while they run.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include "algorithms/block_krylov.hpp"
#include "algorithms/gram_spectrum.hpp"
#include "algorithms/gram_triplets.hpp"
#include "algorithms/randomized_svd.hpp"
#include "bindings/bindings.hpp"
#include "bindings/prepared.hpp"

namespace sigmascope {

// Singular vectors as an array, by default one of NumPy's. A problem on a device has its own.
template <class P, class Block>
py::object vector_array(P& p, const Block& block, bool transposed) {
  return to_numpy(p.backend, block, transposed);
}

template <class P, class Factors>
void put_triplets(py::dict& result, P& p, const Factors& f, bool vectors) {
  result["s"] = to_numpy(p.in_units(f.s));
  if (!vectors) return;
  result["u"] = vector_array(p, p.flipped ? f.v : f.u, false);
  result["vt"] = vector_array(p, p.flipped ? f.u : f.v, true);
}

// Works without the GIL, then checks that mapped files are those that were opened.
template <class P, class Work>
auto solved(const P& p, const Work& work) {
  if constexpr (requires { p.source.check_mappings(); }) {
    return unlocked(p.source, work);
  } else {  // workers open the files
    const py::gil_scoped_release release;
    return work();
  }
}

template <class P>
void put_evidence(py::dict& result, const P& p) {
  result["reads"] = p.a->reads() + p.survey_reads;
  result["fro2"] = p.in_squared_units(p.fro2);
  result["unit"] = p.unit();
}

inline py::dict quadrature_dict(const Quadrature& rule, const Problem& p) {
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

// The tolerance of a search whose residuals get the relative error of products on top. Where that
// error is most of the tolerance, or more, the search ends a little above the error: a bound on a
// value is up to four residuals.
inline double searched_tolerance(double tolerance, const ProductErrors& errors) {
  const double own = errors.relative;
  return tolerance > 2 * own ? tolerance - own : std::max(tolerance, 4 * own);
}

template <class P>
py::dict krylov(P& p, KrylovOptions options) {
  options.tolerance = searched_tolerance(options.tolerance, p.product_errors);
  options.seed = p.start(options.seed);
  options.norm_is_bound = p.norm_is_bound;
  options.product_errors = p.product_errors;
  const auto top = solved(p, [&] { return block_krylov(p.backend, *p.a, p.fro2, options); });
  py::dict result;
  put_triplets(result, p, top.triplets, options.vectors);
  result["residuals"] = to_numpy(p.in_units(top.residuals));
  result["errors"] = to_numpy(p.in_units(top.errors));
  result["converged"] = top.converged;
  result["injected"] = top.injected;
  result["restarted"] = top.restarted;
  result["refined"] = top.refined;
  result["consistent"] = top.consistent;
  result["costly"] = top.costly;
  result["columns"] = top.columns;
  result["required_columns"] = top.required_columns;
  result["steps"] = top.steps;
  put_evidence(result, p);
  if (top.quadrature) result["quadrature"] = quadrature_dict(*top.quadrature, p);
  return result;
}

// The quadrature of a space after a fixed number of steps.
template <class P>
py::dict density(P& p, std::int64_t block, std::int64_t steps, std::uint64_t seed,
                 Products products) {
  std::int64_t taken = 0;
  const Quadrature rule = solved(p, [&] {
    KrylovSpace<typename P::Backend> space(p.backend, p.a->cols(), std::min(block, p.a->cols()),
                                           p.start(seed));
    while (taken < steps && !space.exhausted()) {
      space.expand(*p.a, nullptr, Rounding{.products = products});
      ++taken;
    }
    return quadrature(space);
  });
  py::dict result = quadrature_dict(rule, p);
  result["steps"] = taken;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict low_rank(P& p, RandomizedOptions options) {
  options.seed = p.start(options.seed);
  options.norm_is_bound = p.norm_is_bound;
  options.product_errors = p.product_errors;
  const auto factors = solved(p, [&] { return randomized_svd(p.backend, *p.a, p.fro2, options); });
  py::dict result;
  put_triplets(result, p, factors.triplets, true);
  result["residuals"] = to_numpy(p.in_units(factors.triplets.residuals));
  result["errors"] = to_numpy(p.in_units(factors.errors));
  result["converged"] = factors.converged;
  result["contradicted"] = factors.contradicted;
  result["columns"] = factors.columns;
  result["steps"] = factors.steps;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict gram_top(P& p, GramOptions options) {
  options.tolerance = searched_tolerance(options.tolerance, p.product_errors);
  options.seed = p.start(options.seed);
  options.product_errors = p.product_errors;
  const auto top = solved(p, [&] { return gram_triplets(p.backend, *p.a, options); });
  py::dict result;
  put_triplets(result, p, top.triplets, true);
  result["residuals"] = to_numpy(p.in_units(top.triplets.residuals));
  result["errors"] = to_numpy(p.in_units(top.errors));
  result["converged"] = top.converged;
  result["complete"] = top.complete;
  put_evidence(result, p);
  return result;
}

template <class P>
py::dict every_value(P& p, bool fast) {
  const GramSpectrum spectrum =
      solved(p, [&] { return gram_spectrum(p.backend, *p.a, gram_products(fast)); });
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

inline Products products_of(const std::string& name) {
  if (name == "rounded") return Products::bf16;
  if (name == "split") return Products::bf16x2;
  if (name == "full") return Products::full;
  throw std::invalid_argument("products must be rounded, split or full, not " + name);
}

inline Tolerance tolerance_of(const std::string& name) {
  if (name == "residuals") return Tolerance::of_residuals;
  if (name == "errors") return Tolerance::of_errors;
  if (name == "either") return Tolerance::of_either;
  throw std::invalid_argument("a tolerance is of residuals, errors or either, not " + name);
}

inline KrylovOptions krylov_options(const py::kwargs& kwargs) {
  return {.k = keyword<std::int64_t>(kwargs, "k"),
          .tolerance = keyword<double>(kwargs, "tol"),
          .kind = tolerance_of(keyword<std::string>(kwargs, "tolerance_of")),
          .block = keyword<std::int64_t>(kwargs, "block"),
          .max_steps = keyword<std::int64_t>(kwargs, "max_steps"),
          .soft_restart_columns = keyword<std::int64_t>(kwargs, "soft_restart_columns"),
          .hard_restart_columns = keyword<std::int64_t>(kwargs, "hard_restart_columns"),
          .refusal_columns = keyword<std::int64_t>(kwargs, "refusal_columns"),
          .full_readout_columns = keyword<std::int64_t>(kwargs, "full_readout_columns"),
          .seed = keyword<std::uint64_t>(kwargs, "seed"),
          .vectors = keyword<bool>(kwargs, "vectors"),
          .bounded = keyword<bool>(kwargs, "bounded"),
          .density = keyword<bool>(kwargs, "density"),
          .products = products_of(keyword<std::string>(kwargs, "products"))};
}

inline GramOptions gram_options(const py::kwargs& kwargs) {
  return {.k = keyword<std::int64_t>(kwargs, "k"),
          .tolerance = keyword<double>(kwargs, "tol"),
          .value_tolerance = keyword<double>(kwargs, "value_tol"),
          .vectors = keyword<bool>(kwargs, "vectors"),
          .may_complete = keyword<bool>(kwargs, "may_complete"),
          .at_once = keyword<bool>(kwargs, "at_once"),
          .seed = keyword<std::uint64_t>(kwargs, "seed")};
}

// Registers every solver. `solve(a, f64, kwargs, act, rounded_copy)` prepares a problem, with
// blocks in float64 or float32, and returns act(problem).
template <class Solve>
void register_solvers(py::module_& module, Solve solve) {
  module.def(
      "krylov",
      [solve](const py::object& a, const py::kwargs& kwargs) {
        const KrylovOptions options = krylov_options(kwargs);
        return solve(
            a, keyword<bool>(kwargs, "f64"), kwargs, [&](auto& p) { return krylov(p, options); },
            keyword<bool>(kwargs, "rounded_copy"));
      },
      "a"_a);
  module.def(
      "density",
      [solve](const py::object& a, std::int64_t block, std::int64_t steps, std::uint64_t seed,
              bool f64, const std::string& products, const py::kwargs& kwargs) {
        return solve(
            a, f64, kwargs,
            [&](auto& p) { return density(p, block, steps, seed, products_of(products)); }, false);
      },
      "a"_a, py::kw_only(), "block"_a, "steps"_a, "seed"_a, "f64"_a, "products"_a = "full");
  module.def(
      "low_rank",
      [solve](const py::object& a, std::int64_t k, std::int64_t block, std::int64_t passes,
              std::uint64_t seed, bool f64, const py::kwargs& kwargs) {
        const RandomizedOptions options{.k = k, .block = block, .passes = passes, .seed = seed};
        return solve(a, f64, kwargs, [&](auto& p) { return low_rank(p, options); }, false);
      },
      "a"_a, py::kw_only(), "k"_a, "block"_a, "passes"_a, "seed"_a, "f64"_a);
  module.def(
      "gram_top",
      [solve](const py::object& a, const py::kwargs& kwargs) {
        const GramOptions options = gram_options(kwargs);
        return solve(a, true, kwargs, [&](auto& p) { return gram_top(p, options); }, false);
      },
      "a"_a);
  module.def(
      "every_value",
      [solve](const py::object& a, bool fast, const py::kwargs& kwargs) {
        return solve(a, true, kwargs, [&](auto& p) { return every_value(p, fast); }, false);
      },
      "a"_a, py::kw_only(), "fast"_a);
}

}  // namespace sigmascope
