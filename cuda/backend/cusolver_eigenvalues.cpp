// SPDX-License-Identifier: BSD-3-Clause
#include "backend/cusolver_eigenvalues.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/bytes.hpp"
#include "kernels/symmetric_sums.hpp"
#include "libraries/libraries.hpp"
#include "matrix/sizes.hpp"
#include "memory/copied_columns.hpp"
#include "runtime/found_devices.hpp"

namespace sigmascope::device {

namespace {

constexpr const char* else_cpu = "; device='cpu' computes on the processor";

// cuSOLVER with a handle of its own on the stream `compute`.
class Solver {
 public:
  Solver(DeviceContext& device, const std::string& path, CusolverVectors vectors)
      : library_(path), vectors_(vectors) {
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
    Sizes sizes;
    library_.check(library_.syevd_sizes(handle_.get(), params_.get(), vectors_, CublasFill::lower,
                                        n, CudaDataType::float64, nullptr, n, CudaDataType::float64,
                                        nullptr, CudaDataType::float64, &sizes.device, &sizes.host),
                   "cusolverDnXsyevd_bufferSize");
    return sizes;
  }

  void start(const DeviceBlock<double>& a, double* values, const DeviceBlock<std::byte>& workspace,
             std::vector<std::byte>& on_host, int* info) const {
    library_.check(library_.syevd(handle_.get(), params_.get(), vectors_, CublasFill::lower, a.rows,
                                  CudaDataType::float64, a.data(), a.rows, CudaDataType::float64,
                                  values, CudaDataType::float64, workspace.data(),
                                  workspace.bytes(), on_host.data(), on_host.size(), info),
                   "cusolverDnXsyevd");
  }

 private:
  Cusolver library_;
  CusolverVectors vectors_;
  OwnedHandle<CusolverHandle> handle_{library_.destroy};
  OwnedHandle<CusolverParams> params_{library_.destroy_params};
};

// The trace and the squared Frobenius norm of a symmetric matrix.
struct Sums {
  double trace = 0, squares = 0;
};

Sums sums_of(DeviceContext& device, const DeviceBlock<double>& a) {
  const auto columns = device.block<double>(a.rows, 2);
  check(sum_columns(a.data(), a.rows, columns.data(), device.compute.handle()), "sums of a matrix");
  const auto* pairs = reinterpret_cast<const double*>(
      device.staging.received(columns.data(), columns.bytes(), device.compute));
  Sums sums;
  for (std::int64_t j = 0; j < a.rows; ++j)
    sums.trace += pairs[2 * j], sums.squares += pairs[2 * j + 1];
  return sums;
}

// cuSOLVER has been seen to return wrong values without an error. The sum of the eigenvalues is the
// trace, and that of their squares the square of the Frobenius norm. The tolerance is far above
// rounding, and below any value that matters.
void require_sums(const Sums& wanted, const std::vector<double>& values) {
  constexpr double tolerance = 0x1p-30;
  Sums computed;
  for (const double value : values) computed.trace += value, computed.squares += value * value;
  const double norm = std::sqrt(wanted.squares), order = static_cast<double>(values.size());
  const bool right =
      std::abs(computed.trace - wanted.trace) <= tolerance * std::sqrt(order) * norm &&
      std::abs(computed.squares - wanted.squares) <= tolerance * wanted.squares &&
      std::is_sorted(values.begin(), values.end());
  if (!right)
    throw DeviceError(
        "cuSOLVER's eigenvalues are wrong: their sum is " + std::to_string(computed.trace) +
        " and that of their squares " + std::to_string(computed.squares) + ", which must be " +
        std::to_string(wanted.trace) + " and " + std::to_string(wanted.squares) + else_cpu);
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

// Ascending. The matrix is overwritten, by eigenvectors if these are wanted.
std::vector<double> decomposed(DeviceContext& device, const std::string& path,
                               const DeviceBlock<double>& a, CusolverVectors vectors) {
  const std::int64_t n = a.rows;
  std::vector<double> values(as_size(n));
  if (n == 0) return values;
  const Sums sums = sums_of(device, a);
  const Solver solver(device, path, vectors);
  const Solver::Sizes sizes = solver.sizes(n);
  std::vector<std::byte> on_host(sizes.host);
  const auto workspace = device.block<std::byte>(static_cast<std::int64_t>(sizes.device), 1);
  const auto eigenvalues = device.block<double>(n, 1);
  const auto info = device.block<int>(1, 1);
  const SettledAtTheEnd settled(device);
  check(set_bytes(info.data(), 0xff, info.bytes(), device.compute.handle()), "cudaMemsetAsync");
  device.compute.direct();
  solver.start(a, eigenvalues.data(), workspace, on_host, info.data());
  int failed = 0;
  device.staging.receive(&failed, info.data(), sizeof failed, device.compute);
  if (failed != 0)
    throw DeviceError("cusolverDnXsyevd failed with info = " + std::to_string(failed) +
                      " for a matrix of order " + std::to_string(n) + else_cpu);
  device.staging.receive(values.data(), eigenvalues.data(), eigenvalues.bytes(), device.compute);
  require_sums(sums, values);
  return values;
}

}  // namespace

std::vector<double> cusolver_eigenvalues(DeviceContext& device, const std::string& path,
                                         DeviceBlock<double>& a) {
  return decomposed(device, path, a, CusolverVectors::none);
}

EigenPairs cusolver_eigenpairs(DeviceContext& device, const std::string& path,
                               DeviceBlock<double>& a, std::int64_t k) {
  std::vector<double> values = decomposed(device, path, a, CusolverVectors::all);
  std::reverse(values.begin(), values.end());
  values.resize(as_size(k));
  const Small ascending = received_columns(device, a, a.cols - k, k);
  EigenPairs pairs{std::move(values), Small(a.rows, k)};
  for (std::int64_t j = 0; j < k; ++j)
    std::copy_n(&ascending.values[as_size((k - 1 - j) * a.rows)], a.rows,
                &pairs.vectors.values[as_size(j * a.rows)]);
  return pairs;
}

std::int64_t cusolver_bytes(int index, const std::string& path, std::int64_t n, bool vectors) {
  if (n < least_cusolver_order) return 0;
  DeviceContext device(index);
  const Solver solver(device, path, vectors ? CusolverVectors::all : CusolverVectors::none);
  return static_cast<std::int64_t>(solver.sizes(n).device) +
         3 * n * static_cast<std::int64_t>(sizeof(double));
}

}  // namespace sigmascope::device
