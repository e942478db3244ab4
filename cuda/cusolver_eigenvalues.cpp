// SPDX-License-Identifier: BSD-3-Clause
#include "cusolver_eigenvalues.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "found_devices.hpp"
#include "libraries.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope::device {

namespace {

constexpr const char* else_cpu = "; device='cpu' computes on the processor";

// cuSOLVER with a handle of its own on the stream `compute`.
class Solver {
 public:
  Solver(DeviceContext& device, const std::string& path) : library_(path) {
    library_.check(library_.create(handle_.to_create()), "cusolverDnCreate");
    library_.check(library_.create_params(params_.to_create()), "cusolverDnCreateParams");
    library_.check(library_.set_stream(handle_.get(), device.compute.handle()),
                   "cusolverDnSetStream");
    // Products as they are declared, whatever the environment asks for.
    library_.check(library_.set_math_mode(handle_.get(), CusolverMath::standard),
                   "cusolverDnSetMathMode");
  }

  struct Sizes {
    std::size_t device = 0, host = 0;
  };
  Sizes sizes(std::int64_t n) const {
    Sizes found;
    library_.check(
        library_.syevd_sizes(handle_.get(), params_.get(), CusolverVectors::none, CublasFill::lower,
                             n, CudaDataType::float64, nullptr, n, CudaDataType::float64, nullptr,
                             CudaDataType::float64, &found.device, &found.host),
        "cusolverDnXsyevd_bufferSize");
    return found;
  }

  void start(const DeviceBlock<double>& a, double* values, const DeviceBlock<std::byte>& workspace,
             std::vector<std::byte>& on_host, int* info) const {
    library_.check(
        library_.syevd(handle_.get(), params_.get(), CusolverVectors::none, CublasFill::lower,
                       a.rows, CudaDataType::float64, a.data(), a.rows, CudaDataType::float64,
                       values, CudaDataType::float64, workspace.data(), workspace.bytes(),
                       on_host.data(), on_host.size(), info),
        "cusolverDnXsyevd");
  }

 private:
  Cusolver library_;
  OwnedHandle<CusolverHandle> handle_{library_.destroy};
  OwnedHandle<CusolverParams> params_{library_.destroy_params};
};

DeviceBlock<double> sent(DeviceContext& device, const Small& a) {
  auto block = device.block<double>(a.rows, a.cols);
  const std::int64_t step = std::max<std::int64_t>(copied_at_once / (8 * a.rows), 1);
  for (std::int64_t first = 0; first < a.cols; first += step) {
    const std::int64_t offset = first * a.rows;
    const std::size_t bytes = as_size(std::min(step, a.cols - first) * a.rows) * sizeof(double);
    std::memcpy(device.staging.to_fill(bytes), a.data() + offset, bytes);
    device.staging.send(block.data() + offset, bytes, device.compute);
  }
  return block;
}

// cuSOLVER has been seen to return wrong values without an error. The sum of the eigenvalues is the
// trace, and that of their squares the square of the Frobenius norm. The tolerance is far above
// rounding, and below any value that matters.
void require_sums(const Small& a, const std::vector<double>& values) {
  constexpr double tolerance = 0x1p-30;
  double trace = 0, squares = 0, sum = 0, sum_of_squares = 0;
  for (std::int64_t j = 0; j < a.cols; ++j) {
    trace += a(j, j), squares += a(j, j) * a(j, j);
    for (std::int64_t i = j + 1; i < a.rows; ++i) squares += 2 * a(i, j) * a(i, j);
  }
  for (const double value : values) sum += value, sum_of_squares += value * value;
  const double norm = std::sqrt(squares), order = static_cast<double>(a.rows);
  const bool right = std::abs(sum - trace) <= tolerance * std::sqrt(order) * norm &&
                     std::abs(sum_of_squares - squares) <= tolerance * squares &&
                     std::is_sorted(values.begin(), values.end());
  if (!right)
    throw DeviceError("cuSOLVER's eigenvalues are wrong: their sum is " + std::to_string(sum) +
                      " and that of their squares " + std::to_string(sum_of_squares) +
                      ", which must be " + std::to_string(trace) + " and " +
                      std::to_string(squares) + else_cpu);
}

// Waits, however a function is left, before memory of the host goes that a device may use.
class SettledAtTheEnd {
 public:
  explicit SettledAtTheEnd(DeviceContext& device) : device_(device) {}
  ~SettledAtTheEnd() { device_.settle(); }
  SettledAtTheEnd(const SettledAtTheEnd&) = delete;
  SettledAtTheEnd& operator=(const SettledAtTheEnd&) = delete;

 private:
  DeviceContext& device_;
};

}  // namespace

std::vector<double> cusolver_eigenvalues(DeviceContext& device, const std::string& path,
                                         const Small& a) {
  const std::int64_t n = a.rows;
  std::vector<double> values(as_size(n));
  if (n == 0) return values;
  const Solver solver(device, path);
  const Solver::Sizes sizes = solver.sizes(n);
  std::vector<std::byte> on_host(sizes.host);
  const auto workspace = device.block<std::byte>(static_cast<std::int64_t>(sizes.device), 1);
  const auto found = device.block<double>(n, 1);
  const auto info = device.block<int>(1, 1);
  const auto block = sent(device, a);
  const SettledAtTheEnd settled(device);
  check(cudaMemsetAsync(info.data(), 0xff, info.bytes(), device.compute.handle()),
        "cudaMemsetAsync");
  solver.start(block, found.data(), workspace, on_host, info.data());
  int failed = 0;
  std::memcpy(&failed, device.staging.received(info.data(), sizeof failed, device.compute),
              sizeof failed);
  if (failed != 0)
    throw DeviceError("cusolverDnXsyevd failed with info = " + std::to_string(failed) +
                      " for a matrix of order " + std::to_string(n) + else_cpu);
  std::memcpy(values.data(), device.staging.received(found.data(), found.bytes(), device.compute),
              found.bytes());
  require_sums(a, values);
  return values;
}

std::int64_t cusolver_bytes(int index, const std::string& path, std::int64_t n) {
  if (n < least_cusolver_order) return 0;
  DeviceContext device(index);
  const std::size_t workspace = Solver(device, path).sizes(n).device;
  return static_cast<std::int64_t>(workspace) + n * static_cast<std::int64_t>(sizeof(double));
}

}  // namespace sigmascope::device
