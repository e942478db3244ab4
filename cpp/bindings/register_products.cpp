// SPDX-License-Identifier: BSD-3-Clause
// Single products of a matrix, its Gram matrix, and other kernels that Python uses by themselves.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "kernels/blocks/term_blocks.hpp"
#include "kernels/eigenvalues/tridiagonal.hpp"

namespace sigmascope {

namespace {

template <class T>
using Input = py::array_t<T, py::array::c_style | py::array::forcecast>;

enum class ProductKind {
  multiply,          // A x
  multiply_bf16,     // A x of numbers rounded to bf16
  multiply_adjoint,  // A^T x
  gram_step,         // A^T (A x), and A x
  gram_step_bf16x2,  // A^T (A x) of sums of two bf16 numbers
  gram_step_bf16     // A^T (A x) of numbers rounded to bf16
};

ProductKind product_kind(const std::string& verb) {
  if (verb == "multiply") return ProductKind::multiply;
  if (verb == "multiply_bf16") return ProductKind::multiply_bf16;
  if (verb == "adjoint") return ProductKind::multiply_adjoint;
  if (verb == "gram") return ProductKind::gram_step;
  if (verb == "split") return ProductKind::gram_step_bf16x2;
  if (verb == "steer") return ProductKind::gram_step_bf16;
  throw std::invalid_argument("unknown product: " + verb);
}

// The product; `image` receives A x of ProductKind::gram_step.
template <class T>
Block<T> multiplied(CpuBackend<T>& backend, const Matrix& matrix, const Block<T>& x,
                    ProductKind kind, Block<T>& image) {
  const bool flip = matrix.mostly_column_major();
  const Matrix stored = flip ? matrix.transposed() : matrix;
  const MatrixView view{&stored, flip, 1.0};
  // Along the rows as stored, A x is the adjoint product of the transpose: its sums and bits are
  // the same, and it is ten times as fast.
  const MatrixView by_rows{&stored, false, 1.0};
  switch (kind) {
    case ProductKind::gram_step_bf16: return backend.steer(view, x);
    case ProductKind::gram_step_bf16x2: return backend.gram_step(view, x, nullptr, 2);
    case ProductKind::multiply_bf16: return backend.multiply_bf16(view, x);
    case ProductKind::gram_step: return backend.gram_step(view, x, &image);
    case ProductKind::multiply:
    case ProductKind::multiply_adjoint: break;
  }
  const bool adjoint = (kind == ProductKind::multiply_adjoint) != flip;
  return adjoint ? backend.multiply_adjoint(by_rows, x) : backend.multiply(by_rows, x);
}

template <class T>
py::object product(const Matrix& matrix, const Input<T>& x, const std::string& verb,
                   const py::kwargs& kwargs) {
  const ProductKind kind = product_kind(verb);
  CpuBackend<T> backend(cpu_options(run_options(kwargs)));
  const Block<T> block = from_numpy<T>(x);
  Block<T> image;
  const Block<T> result =
      unlocked(matrix, [&] { return multiplied(backend, matrix, block, kind, image); });
  if (kind != ProductKind::gram_step) return to_numpy(result, false);
  return py::make_tuple(to_numpy(result, false), to_numpy(image, false));
}

// A^T A in fp64, its lower triangle if read by columns.
py::array_t<double> gram(const Matrix& matrix, const py::kwargs& kwargs) {
  CpuBackend<double> backend(cpu_options(run_options(kwargs)));
  const bool flip = matrix.mostly_column_major();
  const Matrix stored = flip ? matrix.transposed() : matrix;
  const Gram g =
      unlocked(matrix, [&] { return backend.gram({&stored, flip, 1.0}, GramProducts::full); });
  return py::array_t<double>({g.values.cols, g.values.rows}, g.values.data());
}

// Eigenvalues of a symmetric matrix of any order, by the reduction that large Gram matrices take.
py::array_t<double> two_stage(const Input<double>& a, bool fast, int threads) {
  Small copy(a.shape(0), a.shape(1));
  std::copy_n(a.data(), a.size(), copy.data());
  py::gil_scoped_release release;
  ThreadPool pool(threads);
  std::vector<double> values =
      two_stage_eigenvalues(best_isa(), pool, copy, gram_products(fast), [] {});
  py::gil_scoped_acquire acquire;
  return to_numpy(values);
}

py::array_t<double> gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                             std::int64_t column0, int threads) {
  CpuBackend<double> backend({.threads = threads, .panel_rows = 0, .observer = {}});
  return to_numpy(backend.gaussian(rows, cols, seed, column0), false);
}

}  // namespace

void register_products(py::module_& module) {
  module.def("product_f32", &product<float>, "a"_a, "x"_a, "verb"_a);
  module.def("product_f64", &product<double>, "a"_a, "x"_a, "verb"_a);
  module.def("product_additions", &product_additions, "terms"_a);
  module.def("gram", &gram, "a"_a, py::kw_only());
  module.def("two_stage_eigenvalues", &two_stage, "a"_a, "fast"_a, "threads"_a);
  module.def("gaussian", &gaussian, "rows"_a, "cols"_a, "seed"_a, "column0"_a, "threads"_a);
}

}  // namespace sigmascope
