// SPDX-License-Identifier: BSD-3-Clause
// The verbs of a CUDA device. T, the precision of blocks and decoded panels, is float or double.
//
// Sums have the order and so the bits of the CPU's: inner products, combinations, and products as
// those of NumberPanels. But products of bf16 and fp16 numbers with blocks in float, and the steps
// in bf16 of all others, are made by tensor cores, see kernels/tensor_products.hpp. Gram matrices
// are cuBLAS's and large eigenvalue problems cuSOLVER's, where these are installed. Memory on the
// device: the blocks of the algorithm, a decoded panel, and the stored bytes of the matrix or of
// three panels.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/device_options.hpp"
#include "kernels/blocks/cpu.hpp"
#include "kernels/elements/survey.hpp"
#include "kernels/products.hpp"
#include "kernels/tensor_products.hpp"
#include "matrix/matrix.hpp"
#include "matrix/small.hpp"
#include "memory/device_context.hpp"
#include "panels/decoded_panels.hpp"

namespace sigmascope::device {

template <class T>
class CudaBackend {
 public:
  using Real = T;
  using Block = DeviceBlock<T>;

  CudaBackend(CpuOptions host, const DeviceOptions& device);

  Cpu& cpu() { return cpu_; }

  static constexpr double epsilon() { return sizeof(T) == 4 ? 0x1p-24 : 0x1p-53; }
  static constexpr std::int64_t columns_together = 8;
  // See CheckSchedule. A check is made on the host. Of data sheets, not measured: a step reads bf16
  // numbers twice at 3e12 bytes a second, and launches and waits take 100 us.
  static double check_cost_root(double size, std::int64_t block) {
    constexpr double check_seconds = 1e-10, entry_seconds = 4 / 3e12, step_seconds = 1e-4;
    const double column_seconds =
        (entry_seconds + step_seconds / size) / static_cast<double>(block);
    return std::sqrt(2 * check_seconds / column_seconds);
  }
  // True if products are made of parts of bf16, by tensor cores.
  bool splits(const MatrixView& a) { return sizeof(T) == 4 && panels_.bf16_parts(a) > 0; }

  Block zeros(std::int64_t rows, std::int64_t cols);
  Block gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t column0);
  Small to_host(const Block& x);
  Block from_host(const Small& x);
  // The numbers of a block by rows.
  void download(const Block& x, T* to);
  // The same to memory of the device, which holds them when this returns.
  void copy(const Block& x, T* to);

  // [x_1 x_2 ...]^T y, in T over 64 rows at a time, in fp64 above.
  Small inner(std::span<const Block> xs, const Block& y);
  // [x_1 x_2 ... y]^T y, of which the host waits once.
  Small inner_and_gram(std::span<const Block> xs, const Block& y);
  // y += [x_1 x_2 ...] c
  void combine(Block& y, std::span<const Block> xs, const Small& c);

  // Where products are made of parts of bf16, numbers of a block have so many at most.
  Block multiply(const MatrixView& a, const Block& x, int parts = most_parts);          // A x
  Block multiply_adjoint(const MatrixView& a, const Block& y, int parts = most_parts);  // A^T y
  // A^T (A x) in one read of A, or in two of a transposed one; y, if asked for, receives A x.
  Block gram_step(const MatrixView& a, const Block& x, Block* y, int parts = most_parts);
  // The same with A, x and A x rounded to bf16 (float; double: gram_step).
  Block steer(const MatrixView& a, const Block& x);

  // Norm, largest entry, nonfinite entries and hash of a matrix, in one read.
  ElementSurvey survey(const Matrix& a);
  // Frees what is on the device of a matrix that is not used again.
  void forget(const Matrix& a) { panels_.forget(a); }

  Small dense(const MatrixView& a);  // A itself, in fp64 whatever T is
  // A^T A, its lower triangle, in fp64 whatever T is and whatever products are asked for: cuBLAS's
  // bits, or those of NumberPanels.
  Gram gram(const MatrixView& a, GramProducts products);
  // Eigenvalues of a symmetric matrix, ascending; overwrites it. Those of large ones by cuSOLVER.
  std::vector<double> eigvalsh(Small& a, GramProducts products);
  // The same of A^T A in fp64. A large matrix is diagonalised where it was formed.
  std::vector<double> gram_eigenvalues(const MatrixView& a);
  std::int64_t gram_additions(const MatrixView& a) const;
  // Its k largest eigenvalues, descending, and their vectors; nothing for a small matrix or without
  // cuSOLVER.
  std::optional<EigenPairs> gram_eigenpairs(const MatrixView& a, std::int64_t k);

 private:
  DeviceBlock<double> gram_on_device(const MatrixView& a);
  // Whether cuSOLVER diagonalises matrices of order n.
  bool diagonalizes(std::int64_t n) const;
  Small inner(const std::vector<const Block*>& xs, const Block& y);

  Cpu cpu_;
  LibraryPaths libraries_;
  DeviceContext device_;
  DecodedPanels panels_;
};

// Makes no copy: steps in bf16 round a panel where it is.
template <class T>
ElementSurvey surveyed_by(CudaBackend<T>& backend, const Matrix& matrix, SurveyCopy) {
  return backend.survey(matrix);
}

template <class T>
void forget(CudaBackend<T>& backend, const Matrix& matrix) {
  backend.forget(matrix);
}

extern template class CudaBackend<float>;
extern template class CudaBackend<double>;

}  // namespace sigmascope::device
