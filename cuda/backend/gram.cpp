// SPDX-License-Identifier: BSD-3-Clause
// Gram matrices on a device, by cuBLAS or by the kernel of products, and their eigenvalues.
#include "backend/gram.hpp"

#include <algorithm>
#include <utility>

#include "backend/cuda_backend.hpp"
#include "backend/cusolver_eigenvalues.hpp"
#include "kernels/bytes.hpp"
#include "kernels/eigenvalues/tridiagonal.hpp"
#include "matrix/sizes.hpp"
#include "memory/copied_columns.hpp"

namespace sigmascope::device {

namespace {

// Rows of op(A) that cuBLAS multiplies at once. Its bits depend on their number, which therefore
// depends neither on the memory nor on the height of a panel.
constexpr std::int64_t rows_at_once = 1024;

// What NVIDIA recommends for an H100. Memory of our own: with the library's, bits may differ.
constexpr std::int64_t workspace_bytes = std::int64_t{32} << 20;

// A^T A, its lower triangle, by cublasDsyrk: half the work of cublasDgemm.
class CublasGram {
 public:
  CublasGram(DeviceContext& device, const std::string& path, const MatrixView& a)
      : device_(device),
        library_(path),
        n_(a.cols()),
        height_(std::min(a.rows(), rows_at_once)),
        transposed_(a.transposed),
        sum_(device.block<double>(n_, n_)),
        rows_(device.block<double>(height_, n_)),
        workspace_(device.block<std::byte>(workspace_bytes, 1)) {
    check(set_bytes(sum_.data(), 0, sum_.bytes(), device.compute.handle()), "cudaMemsetAsync");
    library_.check(library_.create(handle_.to_create()), "cublasCreate");
    library_.check(library_.set_stream(handle_.get(), device.compute.handle()), "cublasSetStream");
    library_.check(library_.set_workspace(handle_.get(), workspace_.data(), workspace_.bytes()),
                   "cublasSetWorkspace");
    // Products in fp64, whatever the environment asks for.
    library_.check(library_.set_math_mode(handle_.get(), CublasMath::pedantic),
                   "cublasSetMathMode");
  }
  CublasGram(const CublasGram&) = delete;
  CublasGram& operator=(const CublasGram&) = delete;

  void add(const DecodedPanel<double>& panel) {
    const std::int64_t depth = transposed_ ? panel.cols : panel.rows;
    for (std::int64_t taken = 0; taken < depth;) {
      const std::int64_t few = std::min(depth - taken, height_ - filled_);
      append(panel.numbers, depth, taken, few);
      taken += few, filled_ += few;
      if (filled_ == height_) multiply();
    }
  }

  DeviceBlock<double> sum() {
    if (filled_ > 0) multiply();
    return std::move(sum_);
  }

 private:
  // A panel has rows of op(A); those of a transposed one are columns as they are stored.
  void append(const double* panel, std::int64_t depth, std::int64_t taken, std::int64_t few) {
    const cudaStream_t stream = device_.compute.handle();
    const auto bytes = [](std::int64_t numbers) { return as_size(numbers) * sizeof(double); };
    if (transposed_)
      check(start_or_record(stream,
                            [=, this](cudaStream_t on) {
                              return cudaMemcpy2DAsync(rows_.data() + filled_, bytes(height_),
                                                       panel + taken, bytes(depth), bytes(few),
                                                       as_size(n_), cudaMemcpyDeviceToDevice, on);
                            }),
            "cudaMemcpy2DAsync on the device");
    else
      check(copy_bytes(rows_.data() + filled_ * n_, panel + taken * n_, bytes(few * n_),
                       cudaMemcpyDeviceToDevice, stream),
            "cudaMemcpyAsync on the device");
  }

  void multiply() {
    const double one = 1;
    device_.compute.direct();
    library_.check(library_.dsyrk(handle_.get(), CublasFill::lower,
                                  transposed_ ? CublasOperation::transpose : CublasOperation::none,
                                  n_, filled_, &one, rows_.data(), transposed_ ? height_ : n_, &one,
                                  sum_.data(), n_),
                   "cublasDsyrk");
    filled_ = 0;
  }

  DeviceContext& device_;
  Cublas library_;
  std::int64_t n_, height_, filled_ = 0;
  bool transposed_;
  DeviceBlock<double> sum_, rows_;
  DeviceBlock<std::byte> workspace_;
  OwnedHandle<CublasHandle> handle_{library_.destroy};  // goes before its workspace
};

DeviceBlock<double> gram_by_cublas(DeviceContext& device, DecodedPanels& panels,
                                   const std::string& path, const MatrixView& a) {
  CublasGram gram(device, path, a);
  panels.each<double>(a, [&](const DecodedPanel<double>& panel) { gram.add(panel); });
  return gram.sum();
}

DeviceBlock<double> gram_by_kernel(DeviceContext& device, DecodedPanels& panels,
                                   const MatrixView& a) {
  const std::int64_t n = a.cols();
  auto z = device.block<double>(n, n);
  const auto levels = device.block<double>(tree_levels(a.rows()) * n, n);
  auto group = device.block<double>(n, n), unfinished = device.block<double>(n, n);
  DeviceBlock<double> sums;
  check(set_bytes(z.data(), 0, z.bytes(), device.compute.handle()), "cudaMemsetAsync");
  panels.each<double>(a, [&](const DecodedPanel<double>& panel) {
    const std::int64_t before = a.transposed ? panel.col0 : panel.row0,
                       depth = a.transposed ? panel.cols : panel.rows;
    const Product<double> product{.l = panel.numbers,
                                  .rows = n,
                                  .depth = depth,
                                  .row_step = a.transposed ? depth : 1,
                                  .depth_step = a.transposed ? 1 : n,
                                  .x = panel.numbers,
                                  .cols = n,
                                  .x_step = a.transposed ? depth : n,
                                  .x_by_columns = a.transposed,
                                  .z = z.data(),
                                  .group = group.data(),
                                  .unfinished = unfinished.data(),
                                  .levels = levels.data(),
                                  .before = before,
                                  .all = a.rows()};
    if (sums.size() < product.workspace()) {
      sums = {};  // before there is more
      sums = device.block<double>(product.workspace(), 1);
    }
    check(multiply(product, sums.data(), device.compute.handle()), "a Gram matrix");
    std::swap(group, unfinished);
  });
  return z;
}

}  // namespace

std::int64_t gram_bytes(std::int64_t rows, std::int64_t n, bool by_cublas) {
  constexpr std::int64_t number = sizeof(double);
  if (by_cublas) return std::min(rows, rows_at_once) * n * number + workspace_bytes;
  // Sums of the tree, of two unfinished groups, and of one group if it alone takes more than 64
  // MiB.
  const Product<double> product{.l = nullptr,
                                .rows = n,
                                .depth = rows,
                                .row_step = 1,
                                .depth_step = n,
                                .x = nullptr,
                                .cols = n,
                                .x_step = n,
                                .z = nullptr,
                                .all = rows};
  return (tree_levels(rows) + 2) * n * n * number + product.workspace() * number;
}

template <class T>
DeviceBlock<double> CudaBackend<T>::gram_on_device(const MatrixView& a) {
  return libraries_.cublas.empty() ? gram_by_kernel(device_, panels_, a)
                                   : gram_by_cublas(device_, panels_, libraries_.cublas, a);
}

template <class T>
Gram CudaBackend<T>::gram(const MatrixView& a, GramProducts) {
  if (a.cols() == 0) return {};
  return {.values = received_columns(device_, gram_on_device(a), 0, a.cols())};
}

template <class T>
bool CudaBackend<T>::diagonalizes(std::int64_t n) const {
  return n >= least_cusolver_order && !libraries_.cusolver.empty();
}

template <class T>
std::vector<double> CudaBackend<T>::eigvalsh(Small& a, GramProducts products) {
  if (diagonalizes(a.rows)) {
    auto square = sent_columns(device_, a);
    return cusolver_eigenvalues(device_, libraries_.cusolver, square);
  }
  return symmetric_eigenvalues(cpu_.isa, cpu_.pool, a, products, [this] { cpu_.report(0); });
}

template <class T>
std::int64_t CudaBackend<T>::gram_additions(const MatrixView& a) const {
  if (libraries_.cublas.empty()) return product_additions(a.rows());
  return product_chain + group_terms / product_chain + a.rows() / rows_at_once;
}

template <class T>
std::vector<double> CudaBackend<T>::gram_eigenvalues(const MatrixView& a) {
  if (diagonalizes(a.cols())) {
    auto square = gram_on_device(a);
    return cusolver_eigenvalues(device_, libraries_.cusolver, square);
  }
  Gram g = gram(a, GramProducts::full);
  return eigvalsh(g.values, GramProducts::full);
}

template <class T>
std::optional<EigenPairs> CudaBackend<T>::gram_eigenpairs(const MatrixView& a, std::int64_t k) {
  if (!diagonalizes(a.cols())) return std::nullopt;
  auto square = gram_on_device(a);
  return cusolver_eigenpairs(device_, libraries_.cusolver, square, k);
}

template DeviceBlock<double> CudaBackend<float>::gram_on_device(const MatrixView&);
template DeviceBlock<double> CudaBackend<double>::gram_on_device(const MatrixView&);
template Gram CudaBackend<float>::gram(const MatrixView&, GramProducts);
template Gram CudaBackend<double>::gram(const MatrixView&, GramProducts);
template bool CudaBackend<float>::diagonalizes(std::int64_t) const;
template bool CudaBackend<double>::diagonalizes(std::int64_t) const;
template std::vector<double> CudaBackend<float>::eigvalsh(Small&, GramProducts);
template std::vector<double> CudaBackend<double>::eigvalsh(Small&, GramProducts);
template std::vector<double> CudaBackend<float>::gram_eigenvalues(const MatrixView&);
template std::vector<double> CudaBackend<double>::gram_eigenvalues(const MatrixView&);
template std::int64_t CudaBackend<float>::gram_additions(const MatrixView&) const;
template std::int64_t CudaBackend<double>::gram_additions(const MatrixView&) const;
template std::optional<EigenPairs> CudaBackend<float>::gram_eigenpairs(const MatrixView&,
                                                                       std::int64_t);
template std::optional<EigenPairs> CudaBackend<double>::gram_eigenpairs(const MatrixView&,
                                                                        std::int64_t);

}  // namespace sigmascope::device
