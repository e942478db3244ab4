// SPDX-License-Identifier: BSD-3-Clause
// Panels of matrices, decoded on a device one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "kernels/blocks/cpu.hpp"
#include "matrix/matrix.hpp"
#include "memory/device_context.hpp"
#include "panels/panel_bytes.hpp"
#include "panels/stored_panels.hpp"

namespace sigmascope::device {

// The numbers of a panel: element (i, j) at numbers + i row_step + j col_step.
template <class T>
struct DecodedPanel {
  std::int64_t row0, rows, col0, cols;
  const T* numbers;
  std::int64_t row_step, col_step;
  const StoredPanel& stored;  // of which they are the numbers
};

// How the numbers of panels may lie in memory: by rows without gaps, or else too where they are
// stored so, in panels that are as large as may be; of the steps one is 1.
enum class Layout { by_rows, as_stored };

// What stays on the device from pass to pass, at most so many bytes of each matrix.
struct StayingBytes {
  std::int64_t stored = 0;  // the matrix as it is stored; else it is copied in each pass
  std::int64_t parts = 0;   // its numbers in bf16; else they are decoded and rounded in each pass
};

// A panel in bf16: element (i, j) at codes + i step + j. Rows start at a multiple of 16 bytes and
// are filled up to one with finite numbers. Unless it is null, `rest` has what was rounded away.
struct Bf16Panel {
  std::int64_t row0, rows, cols, step;
  const std::uint16_t* codes;
  const std::uint16_t* rest;
};

class DecodedPanels {
 public:
  // `cpu` has the number of rows of a panel that is asked for, and hears of every panel.
  DecodedPanels(DeviceContext& device, const Cpu& cpu, const StayingBytes& most,
                std::int64_t panel_numbers)
      : device_(device),
        cpu_(cpu),
        most_(most),
        size_{.rows = cpu.panel_rows, .numbers = panel_numbers} {}
  // Waits for all kernels before the memory of panels goes.
  ~DecodedPanels() { device_.settle(); }
  DecodedPanels(const DecodedPanels&) = delete;
  DecodedPanels& operator=(const DecodedPanels&) = delete;

  const Cpu& cpu() const { return cpu_; }

  // Forgets a matrix that is about to go.
  void forget(const Matrix& matrix);

  // Calls act for each panel of rows of the view, as kernels of the stream `compute` see it; T is
  // float or double. A panel lasts until act returns, for kernels that were started by then.
  template <class T>
  void each(const MatrixView& view, const std::function<void(const DecodedPanel<T>&)>& act,
            Layout layout = Layout::by_rows);
  // The same of numbers in one part, rounded to bf16, or in two. Stored bf16 numbers are taken
  // where they are, as many as there are on the device, if the factor of the view is 1. Those that
  // were rounded stay for the next passes, which have them as one panel, if there is memory.
  void each_in_bf16(const MatrixView& view, int parts,
                    const std::function<void(const Bf16Panel&)>& act);
  // The bf16 numbers that each number is a sum of, see bf16_numbers.hpp, times a power of two; 0
  // if these are too few.
  int bf16_parts(const MatrixView& view);

 private:
  StoredPanels& panels_of(const MatrixView& view);

  // Decoded numbers, and sums in fp64 that some of them are made of.
  template <class T>
  struct Workspace {
    DeviceBlock<T> numbers;
    DeviceBlock<double> sums;
  };
  // All numbers of a matrix in bf16, with this factor, in one part or two; `rows` of them are
  // there.
  struct Parts {
    DeviceBlock<std::uint16_t> codes;
    double factor = 1;
    int count = 1;
    std::int64_t step = 0, rows = 0;
  };
  Parts* staying_parts(const MatrixView& view, int parts);

  template <class T>
  DecodedPanel<T> decoded(const StoredPanel& panel, double factor, Layout layout,
                          Workspace<T>& workspace);

  DeviceContext& device_;
  const Cpu& cpu_;
  StayingBytes most_;
  PanelSize size_;
  std::map<std::pair<const Matrix*, bool>, std::unique_ptr<StoredPanels>> panels_;
  std::map<const Matrix*, Parts> parts_;
  std::map<const Matrix*, int> bf16_parts_;  // what was found of a matrix
};

}  // namespace sigmascope::device
