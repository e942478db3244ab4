// SPDX-License-Identifier: BSD-3-Clause
#include "backend/cuda_backend.hpp"

#include <algorithm>

#include "kernels/blocks/lapack.hpp"
#include "kernels/bytes.hpp"
#include "kernels/verbs.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope::device {

namespace {

template <class T>
BlockView<T> view_of(const DeviceBlock<T>& x) {
  return {x.data(), x.rows, x.cols};
}

template <class T>
std::vector<const DeviceBlock<T>*> pointers(std::span<const DeviceBlock<T>> xs) {
  std::vector<const DeviceBlock<T>*> result;
  for (const DeviceBlock<T>& x : xs) result.push_back(&x);
  return result;
}

// Calls act(few, first column) with at most Row::most blocks at a time.
template <class T, class Act>
void each_row(std::span<const DeviceBlock<T>* const> xs, const Act& act) {
  std::int64_t first = 0;
  while (!xs.empty()) {
    Row<T> few;
    std::size_t count = 0;
    while (count < xs.size() && few.add(xs[count]->data(), xs[count]->cols)) ++count;
    act(few, first);
    first += few.all;
    xs = xs.subspan(count);
  }
}

}  // namespace

template <class T>
CudaBackend<T>::CudaBackend(CpuOptions host, const DeviceOptions& device)
    : cpu_(std::move(host)),
      libraries_(device.libraries),
      device_(device.index, device.planned_bytes),
      panels_(device_, cpu_, device.staying, device.panel_numbers) {
  scipy_openblas_set_num_threads(1);
  device_.upload.fill_by(cpu_.pool);
}

template <class T>
DeviceBlock<T> CudaBackend<T>::zeros(std::int64_t rows, std::int64_t cols) {
  Block x = device_.template block<T>(rows, cols);
  check(set_bytes(x.data(), 0, x.bytes(), device_.compute.handle()), "cudaMemsetAsync");
  return x;
}

template <class T>
DeviceBlock<T> CudaBackend<T>::gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                                        std::int64_t column0) {
  Block x = device_.template block<T>(rows, cols);
  check(fill_gaussian(view_of(x), seed, column0, device_.compute.handle()), "gaussian");
  return x;
}

template <class T>
void CudaBackend<T>::download(const Block& x, T* to) {
  if (x.size() > 0) device_.staging.receive(to, x.data(), x.bytes(), device_.compute);
}

template <class T>
void CudaBackend<T>::copy(const Block& x, T* to) {
  if (x.size() == 0) return;
  check(copy_bytes(to, x.data(), x.bytes(), cudaMemcpyDeviceToDevice, device_.compute.handle()),
        "cudaMemcpyAsync to an array");
  device_.compute.wait();
}

template <class T>
Small CudaBackend<T>::to_host(const Block& x) {
  Small host(x.rows, x.cols);
  if (x.size() == 0) return host;
  const auto* numbers =
      reinterpret_cast<const T*>(device_.staging.received(x.data(), x.bytes(), device_.compute));
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j)
      host(i, j) = static_cast<double>(numbers[i * x.cols + j]);
  return host;
}

template <class T>
DeviceBlock<T> CudaBackend<T>::from_host(const Small& x) {
  Block block = device_.template block<T>(x.rows, x.cols);
  if (block.size() == 0) return block;
  auto* numbers = reinterpret_cast<T*>(device_.staging.to_fill(block.bytes()));
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) numbers[i * x.cols + j] = static_cast<T>(x(i, j));
  device_.staging.send(block.data(), block.bytes(), device_.compute);
  return block;
}

template <class T>
Small CudaBackend<T>::inner(std::span<const Block> xs, const Block& y) {
  return inner(pointers(xs), y);
}

template <class T>
Small CudaBackend<T>::inner_and_gram(std::span<const Block> xs, const Block& y) {
  auto all = pointers(xs);
  all.push_back(&y);
  return inner(all, y);
}

template <class T>
Small CudaBackend<T>::inner(const std::vector<const Block*>& xs, const Block& y) {
  std::int64_t all = 0;
  for (const Block* x : xs) all += x->cols;
  Small result(all, y.cols);
  if (all * y.cols == 0) return result;
  const auto sums = device_.template block<double>(all, y.cols);
  each_row<T>(xs, [&](const Row<T>& few, std::int64_t first) {
    const auto partial =
        device_.template block<double>((y.rows + inner_rows - 1) / inner_rows * few.all, y.cols);
    check(device::inner(few, BlockView<const T>{y.data(), y.rows, y.cols}, partial.data(),
                        sums.data() + first * y.cols, device_.compute.handle()),
          "inner products");
  });
  const auto* numbers = reinterpret_cast<const double*>(
      device_.staging.received(sums.data(), sums.bytes(), device_.compute));
  for (std::int64_t i = 0; i < all; ++i)
    for (std::int64_t j = 0; j < y.cols; ++j) result(i, j) = numbers[i * y.cols + j];
  return result;
}

template <class T>
void CudaBackend<T>::combine(Block& y, std::span<const Block> xs, const Small& c) {
  const Block factors = from_host(c);
  each_row<T>(pointers(xs), [&](const Row<T>& few, std::int64_t first) {
    check(device::combine(view_of(y), few, static_cast<const T*>(factors.data() + first * c.cols),
                          device_.compute.handle()),
          "a combination of blocks");
  });
}

template <class T>
Small CudaBackend<T>::dense(const MatrixView& a) {
  Small all(a.rows(), a.cols());
  panels_.template each<double>(
      {a.matrix, false, a.factor}, [&](const DecodedPanel<double>& panel) {
        const std::size_t bytes = as_size(panel.rows * panel.cols) * sizeof(double);
        if (bytes == 0) return;
        const auto* numbers = reinterpret_cast<const double*>(
            device_.staging.received(panel.numbers, bytes, device_.compute));
        for (std::int64_t i = 0; i < panel.rows; ++i)
          for (std::int64_t j = 0; j < panel.cols; ++j) {
            const double number = numbers[i * panel.cols + j];
            if (a.transposed) all(j, panel.row0 + i) = number;
            else all(panel.row0 + i, j) = number;
          }
      });
  return all;
}

template class CudaBackend<float>;
template class CudaBackend<double>;

}  // namespace sigmascope::device
