// SPDX-License-Identifier: BSD-3-Clause
// Panels of matrices, decoded on a device one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "device_context.hpp"
#include "kernels/blocks/cpu.hpp"
#include "matrix/matrix.hpp"
#include "stored_panels.hpp"

namespace sigmascope::device {

struct DeviceOptions {
  int index = 0;
  // Most bytes of a matrix that stay on the device from pass to pass.
  std::int64_t stored_bytes = 0;
};

// Numbers of a panel: as they are stored, or rounded to bf16.
enum class Numbers { as_stored, bf16 };

template <class T>
struct DecodedPanel {
  std::int64_t row0, rows, col0, cols;
  const T* numbers;  // rows x cols
};

class DecodedPanels {
 public:
  // `cpu` has the number of rows of a panel, and hears of every panel.
  DecodedPanels(DeviceContext& device, const Cpu& cpu, const DeviceOptions& options)
      : device_(device), cpu_(cpu), options_(options) {}
  // Waits for all kernels before the memory of panels goes.
  ~DecodedPanels() { device_.settle(); }
  DecodedPanels(const DecodedPanels&) = delete;
  DecodedPanels& operator=(const DecodedPanels&) = delete;

  // Forgets a matrix that is about to go.
  void forget(const Matrix& matrix);

  // Calls act for each panel of rows of the view, as kernels of the stream `compute` see it; T is
  // float or double. A panel lasts until act returns, for kernels that were started by then.
  template <class T>
  void each(const MatrixView& view, Numbers numbers,
            const std::function<void(const DecodedPanel<T>&)>& act);

 private:
  StoredPanels& panels_of(const MatrixView& view);

  DeviceContext& device_;
  const Cpu& cpu_;
  DeviceOptions options_;
  std::map<std::pair<const Matrix*, bool>, std::unique_ptr<StoredPanels>> panels_;
};

}  // namespace sigmascope::device
