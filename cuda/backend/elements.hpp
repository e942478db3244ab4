// SPDX-License-Identifier: BSD-3-Clause
// Passes over the elements of a matrix, or of two, on a device. Every pass reads the matrix once,
// so that none of it stays there.
//
// Memory on the device: a decoded panel and the stored bytes of three; about 25 MiB of workspace;
// 9 bytes for each row and 40 for each column.
#pragma once

#include <vector>

#include "backend/device_options.hpp"
#include "kernels/blocks/cpu.hpp"
#include "kernels/elements/difference.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/elements/moments.hpp"
#include "kernels/elements/survey.hpp"
#include "matrix/matrix.hpp"
#include "memory/device_context.hpp"
#include "panels/decoded_panels.hpp"

namespace sigmascope::device {

class ElementPasses {
 public:
  ElementPasses(CpuOptions host, const DeviceOptions& device);

  ElementMoments moments(const Matrix& a, CodeCounts counted);
  ElementSurvey survey(const Matrix& a, const BlockPlace& place);
  ElementDifference difference(const Matrix& before, const Matrix& after);

  // Frees what is on the device of a matrix that is not used again.
  void forget(const Matrix& a) { panels_.forget(a); }

 private:
  // Numbers of fp64 in a vector of the processor, whose order of sums the device has.
  int vector_lanes() const { return cpu_.isa.vector_bytes / 8; }
  // The numbers of a block, once the stream has done all that it was given.
  template <class T>
  std::vector<T> received(const DeviceBlock<T>& from);

  Cpu cpu_;
  DeviceContext device_;
  DecodedPanels panels_;
};

inline ElementSurvey surveyed_by(ElementPasses& passes, const Matrix& a, SurveyCopy) {
  return passes.survey(a, BlockPlace{0, 0, a.rows >= a.cols});
}
inline void forget(ElementPasses& passes, const Matrix& a) { passes.forget(a); }

}  // namespace sigmascope::device
