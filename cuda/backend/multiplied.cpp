// SPDX-License-Identifier: BSD-3-Clause
// Products of a matrix with blocks.
#include <cmath>
#include <type_traits>
#include <utility>

#include "backend/cuda_backend.hpp"
#include "kernels/bytes.hpp"
#include "panels/bf16_numbers.hpp"

namespace sigmascope::device {

namespace {

// The factor of a view as it is taken: by the codes of the matrix, or by the block, which a power
// of two does not round. One by which numbers of the block may overflow is taken by the codes: the
// product of both is of usual size, and a power of two does not round it.
struct Factors {
  double codes = 1;
  float block = 1;

  explicit Factors(double factor) {
    if (is_power_of_two(factor) && std::abs(std::ilogb(factor)) <= 60)
      block = static_cast<float>(factor);
    else codes = factor;
  }
};

// The parts of a block, and their memory.
struct PartsOnDevice {
  DeviceBlock<std::uint16_t> codes;
  BlockParts parts;
};

// The products of one pass over the stored matrix S, by its rows: y = S x and z = S^T y, of the
// given y if there is no x.
template <class T>
struct Blocks {
  const DeviceBlock<T>* x = nullptr;
  const DeviceBlock<T>* given = nullptr;
  DeviceBlock<T>* y = nullptr;
  DeviceBlock<T>* z = nullptr;

  std::int64_t cols() const { return (x ? x : given)->cols; }
};

template <class T>
class Pass {
 public:
  Pass(DeviceContext& device, DecodedPanels& panels, const MatrixView& stored,
       const Blocks<T>& blocks)
      : device_(device),
        panels_(panels),
        stored_(stored),
        blocks_(blocks),
        cols_(blocks.cols()),
        m_(stored.rows()),
        n_(stored.cols()) {
    if (blocks.y) *blocks.y = device_.template block<T>(m_, cols_);
    if (blocks.z) {
      *blocks.z = device_.template block<T>(n_, cols_);
      check(set_bytes(blocks.z->data(), 0, blocks.z->bytes(), stream()), "cudaMemsetAsync");
    }
  }

  // In the order of the CPU.
  void in_numbers() {
    keep_sums();
    panels_.template each<T>(
        stored_,
        [&](const DecodedPanel<T>& panel) {
          const T* image = given(panel.row0);
          if (blocks_.x)
            multiply(Product<T>{.l = panel.numbers,
                                .rows = panel.rows,
                                .depth = n_,
                                .row_step = panel.row_step,
                                .depth_step = panel.col_step,
                                .x = blocks_.x->data(),
                                .cols = cols_,
                                .x_step = cols_,
                                .z = made(panel.row0, panel.rows, image),
                                .levels = along_rows(panel.rows),
                                .all = n_});
          if (!blocks_.z) return;
          multiply(Product<T>{.l = panel.numbers,
                              .rows = n_,
                              .depth = panel.rows,
                              .row_step = panel.col_step,
                              .depth_step = panel.row_step,
                              .x = image,
                              .cols = cols_,
                              .x_step = cols_,
                              .z = blocks_.z->data(),
                              .group = group_.data(),
                              .unfinished = unfinished_.data(),
                              .levels = kept_.data(),
                              .before = panel.row0,
                              .all = m_});
          std::swap(group_, unfinished_);
        },
        Layout::as_stored);
  }

  // By tensor cores: of so many parts of the matrix, which is rounded to bf16 if it is one, and of
  // the blocks.
  void in_parts(int of_matrix, int parts)
    requires std::is_same_v<T, float>
  {
    const Factors factors(stored_.factor);
    PartsOnDevice x, y;
    keep_sums();
    if (blocks_.x) split(x, blocks_.x->data(), n_, parts, factors.block);
    const MatrixView stored{stored_.matrix, false, factors.codes};
    panels_.each_in_bf16(stored, of_matrix, [&](const Bf16Panel& panel) {
      const float* image = given(panel.row0);
      if (blocks_.x)
        multiply(TensorProduct{.l = panel.codes,
                               .rest = panel.rest,
                               .rows = panel.rows,
                               .depth = n_,
                               .step = panel.step,
                               .x = x.parts,
                               .z = made(panel.row0, panel.rows, image),
                               .levels = along_rows(panel.rows),
                               .all = n_});
      if (!blocks_.z) return;
      split(y, image, panel.rows, parts, factors.block);
      multiply(TensorProduct{.l = panel.codes,
                             .rest = panel.rest,
                             .rows = n_,
                             .depth = panel.rows,
                             .step = panel.step,
                             .transposed = true,
                             .x = y.parts,
                             .z = blocks_.z->data(),
                             .group = group_.data(),
                             .unfinished = unfinished_.data(),
                             .levels = kept_.data(),
                             .before = panel.row0,
                             .all = m_});
      std::swap(group_, unfinished_);
    });
  }

 private:
  cudaStream_t stream() const { return device_.compute.handle(); }

  const T* given(std::int64_t row0) const {
    return blocks_.given ? blocks_.given->data() + row0 * cols_ : nullptr;
  }
  // Memory for y of the rows of a panel, which `image` is from here on.
  T* made(std::int64_t row0, std::int64_t rows, const T*& image) {
    if (!blocks_.y && some_.rows < rows) some_ = device_.template block<T>(rows, cols_);
    T* const y = blocks_.y ? blocks_.y->data() + row0 * cols_ : some_.data();
    image = y;
    return y;
  }

  // Memory for what the sums of z keep from panel to panel.
  void keep_sums() {
    if (!blocks_.z) return;
    group_ = device_.template block<T>(n_, cols_),
    unfinished_ = device_.template block<T>(n_, cols_);
    kept_ = device_.template block<T>(tree_levels(m_) * n_, cols_);
  }
  // Memory for what the sums along rows keep, if they have more than one block of terms.
  T* along_rows(std::int64_t rows) {
    if (n_ <= block_terms) return nullptr;
    if (rows_kept_.rows < tree_levels(n_) * rows)
      rows_kept_ = device_.template block<T>(tree_levels(n_) * rows, cols_);
    return rows_kept_.data();
  }

  // The parts of factor x, in the memory of those before them if that suffices.
  void split(PartsOnDevice& to, const float* x, std::int64_t rows, int parts, float factor) {
    to.parts = BlockParts(parts, rows, cols_);
    if (to.codes.size() < to.parts.size())
      to.codes = device_.template block<std::uint16_t>(to.parts.size(), 1);
    to.parts.codes = to.codes.data();
    check(split_block({x, rows, cols_}, factor, to.parts, stream()), "the parts of a block");
  }
  template <class AnyProduct>
  void multiply(const AnyProduct& product) {
    if (sums_.size() < product.workspace()) {
      sums_ = {};  // before there is more
      sums_ = device_.template block<T>(product.workspace(), 1);
    }
    check(device::multiply(product, sums_.data(), stream()), "a product");
  }

  DeviceContext& device_;
  DecodedPanels& panels_;
  MatrixView stored_;
  Blocks<T> blocks_;
  std::int64_t cols_, m_, n_;
  DeviceBlock<T> kept_, rows_kept_, some_, group_, unfinished_, sums_;
};

template <class T>
void multiply_pass(DeviceContext& device, DecodedPanels& panels, const MatrixView& a,
                   const Blocks<T>& blocks, int parts) {
  Pass<T> pass(device, panels, {a.matrix, false, a.factor}, blocks);
  if constexpr (std::is_same_v<T, float>) {
    const int of_matrix = parts == 1 ? 1 : panels.bf16_parts(a);
    if (of_matrix > 0) return pass.in_parts(of_matrix, parts);
  }
  pass.in_numbers();
}

}  // namespace

template <class T>
DeviceBlock<T> CudaBackend<T>::multiply(const MatrixView& a, const Block& x, int parts) {
  Block y;
  if (a.transposed) multiply_pass<T>(device_, panels_, a, {.given = &x, .z = &y}, parts);
  else multiply_pass<T>(device_, panels_, a, {.x = &x, .y = &y}, parts);
  return y;
}

template <class T>
DeviceBlock<T> CudaBackend<T>::multiply_adjoint(const MatrixView& a, const Block& y, int parts) {
  return multiply({a.matrix, !a.transposed, a.factor}, y, parts);
}

template <class T>
DeviceBlock<T> CudaBackend<T>::gram_step(const MatrixView& a, const Block& x, Block* y, int parts) {
  Block z;
  if (!a.transposed) {
    multiply_pass<T>(device_, panels_, a, {.x = &x, .y = y, .z = &z}, parts);
    return z;
  }
  Block own;
  Block& between = y ? *y : own;
  multiply_pass<T>(device_, panels_, a, {.given = &x, .z = &between}, parts);
  multiply_pass<T>(device_, panels_, a, {.x = &between, .y = &z}, parts);
  return z;
}

template <class T>
DeviceBlock<T> CudaBackend<T>::steer(const MatrixView& a, const Block& x) {
  return gram_step(a, x, nullptr, 1);
}

template DeviceBlock<float> CudaBackend<float>::multiply(const MatrixView&, const Block&, int);
template DeviceBlock<float> CudaBackend<float>::multiply_adjoint(const MatrixView&, const Block&,
                                                                 int);
template DeviceBlock<float> CudaBackend<float>::gram_step(const MatrixView&, const Block&, Block*,
                                                          int);
template DeviceBlock<float> CudaBackend<float>::steer(const MatrixView&, const Block&);
template DeviceBlock<double> CudaBackend<double>::multiply(const MatrixView&, const Block&, int);
template DeviceBlock<double> CudaBackend<double>::multiply_adjoint(const MatrixView&, const Block&,
                                                                   int);
template DeviceBlock<double> CudaBackend<double>::gram_step(const MatrixView&, const Block&, Block*,
                                                            int);
template DeviceBlock<double> CudaBackend<double>::steer(const MatrixView&, const Block&);

}  // namespace sigmascope::device
