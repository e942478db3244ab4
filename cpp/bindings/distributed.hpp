// SPDX-License-Identifier: BSD-3-Clause
// A matrix whose products are computed by workers: a Python object (distributed.py) with the
// methods of a linear operator. Everything else is computed here. The algorithms call it without
// the GIL.
#pragma once

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/prepared.hpp"

namespace sigmascope {

template <class T>
class DistributedOperator {
 public:
  using Block = sigmascope::Block<T>;

  DistributedOperator(CpuBackend<T>& backend, py::object matrix)
      : backend_(backend),
        matrix_(std::move(matrix)),
        rows_(matrix_.attr("rows").cast<std::int64_t>()),
        cols_(matrix_.attr("cols").cast<std::int64_t>()) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t reads() const { return reads_; }
  bool has_bf16x2() const { return false; }

  Block multiply(const Block& x, Products = Products::full) {
    return product("multiply", x, rows_);
  }
  Block multiply_adjoint(const Block& y, Products = Products::full) {
    return product("multiply_adjoint", y, cols_);
  }
  Block gram_step_bf16(const Block& x) { return product("steer", x, cols_); }

  Block gram_step(const Block& x, Block* y, Products = Products::full) {
    if (y == nullptr) return product("gram_step", x, cols_);
    ++reads_;
    const py::gil_scoped_acquire gil;
    const auto both = py::tuple(matrix_.attr("gram_step_with_image")(to_numpy(x, false)));
    *y = block(both[1], rows_, x.cols);
    return block(both[0], cols_, x.cols);
  }

  Small dense() {  // A I, which is exact
    Block identity(cols_, cols_);
    for (std::int64_t j = 0; j < cols_; ++j) identity.row(j)[j] = T(1);
    const Block image = multiply(identity);
    Small result(rows_, cols_);
    for (std::int64_t j = 0; j < cols_; ++j)
      for (std::int64_t i = 0; i < rows_; ++i) result(i, j) = static_cast<double>(image.row(i)[j]);
    return result;
  }

  std::vector<double> gram_eigenvalues() {
    Small g = gram();
    return backend_.eigvalsh(g, GramProducts::full);
  }
  EigenPairs gram_eigenpairs(std::int64_t k) { return top_eigenpairs(gram(), k); }
  // Room for products whose groups of 1024 rows are added in their order. Workers add fewer.
  std::int64_t gram_additions() const { return 128 + rows_ / 1024; }
  Gram fast_gram() { return Gram{gram()}; }

 private:
  Small gram() {
    ++reads_;
    const py::gil_scoped_acquire gil;
    const auto g = matrix_.attr("gram")().cast<py::array_t<double, py::array::c_style>>();
    if (g.ndim() != 2 || g.shape(0) != cols_ || g.shape(1) != cols_)
      throw std::runtime_error("the workers returned a Gram matrix of another shape");
    Small result(cols_, cols_);
    std::copy_n(g.data(), g.size(), result.data());
    return result;
  }

  Block product(const char* verb, const Block& x, std::int64_t rows) {
    ++reads_;
    const py::gil_scoped_acquire gil;
    return block(matrix_.attr(verb)(to_numpy(x, false)), rows, x.cols);
  }

  static Block block(const py::object& array, std::int64_t rows, std::int64_t cols) {
    Block result =
        from_numpy<T>(array.cast<py::array_t<T, py::array::c_style | py::array::forcecast>>());
    if (result.rows != rows || result.cols != cols)
      throw std::runtime_error("the workers returned a product of shape " +
                               std::to_string(result.rows) + " x " + std::to_string(result.cols) +
                               ", not " + std::to_string(rows) + " x " + std::to_string(cols));
    return result;
  }

  CpuBackend<T>& backend_;
  py::object matrix_;
  std::int64_t rows_, cols_, reads_ = 0;
};

// A distributed matrix ready for an algorithm, like Prepared. The Python object has surveyed every
// element.
template <class T>
struct Distributed : Problem {
  using Backend = CpuBackend<T>;
  CpuBackend<T> backend;
  std::optional<DistributedOperator<T>> a;

  Distributed(const py::object& matrix, const RunOptions& options)
      : Problem{.flipped = matrix.attr("flipped").cast<bool>(),
                .exponent = matrix.attr("exponent").cast<int>(),
                .fro2 = matrix.attr("fro2").cast<double>(),
                .survey_reads = matrix.attr("looks").cast<std::int64_t>(),
                .fingerprint =
                    options.fingerprint.value_or(matrix.attr("fingerprint").cast<std::uint64_t>()),
                .norm_is_bound = matrix.attr("norm_is_bound").cast<bool>(),
                .product_errors = {.absolute = matrix.attr("absolute_error").cast<double>(),
                                   .relative = matrix.attr("relative_error").cast<double>()}},
        backend(
            {.threads = options.threads, .panel_rows = 0, .observer = make_observer(py::none())}),
        a(std::in_place, backend, matrix) {}
};

// act(problem), for a Matrix or for a distributed one.
template <class T, class Act>
py::dict solved_in(const py::object& a, const RunOptions& run, const Act& act,
                   bool rounded_copy = false) {
  if (py::isinstance<Matrix>(a)) {
    Prepared<CpuBackend<T>> p(a.cast<const Matrix&>(), run, rounded_copy);
    return act(p);
  }
  Distributed<T> p(a, run);
  return act(p);
}

// The same with blocks in float64, or in float32, where a copy of the matrix in bf16 may be made.
template <class Act>
py::dict solved(const py::object& a, bool f64, const RunOptions& run, const Act& act,
                bool rounded_copy = false) {
  return f64 ? solved_in<double>(a, run, act) : solved_in<float>(a, run, act, rounded_copy);
}

}  // namespace sigmascope
