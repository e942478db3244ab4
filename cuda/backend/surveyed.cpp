// SPDX-License-Identifier: BSD-3-Clause
#include "backend/surveyed.hpp"

#include "backend/cuda_backend.hpp"
#include "kernels/survey.hpp"
#include "matrix/sizes.hpp"

namespace sigmascope::device {

ElementSurvey surveyed(DeviceContext& device, DecodedPanels& panels, const Matrix& a,
                       const BlockPlace& place) {
  const cudaStream_t stream = device.compute.handle();
  const auto totals =
      device.block<double>((sizeof(SurveyTotals) + sizeof(double) - 1) / sizeof(double), 1);
  const auto row_squares = device.block<double>(a.rows, 1);
  auto* counted = reinterpret_cast<SurveyTotals*>(totals.data());
  check(start_survey(counted, stream), "a survey");
  DeviceBlock<double> stretches;
  panels.each<double>({&a}, [&](const DecodedPanel<double>& panel) {
    const SurveyedPanel<double> seen{.numbers = panel.numbers,
                                     .row0 = panel.row0,
                                     .rows = panel.rows,
                                     .cols = panel.cols,
                                     .vector_lanes = panels.cpu().isa.vector_bytes / 8,
                                     .hashed_row0 = place.row0,
                                     .hashed_col0 = place.col0,
                                     .tall = place.tall,
                                     .whole = a.has_f64()};
    if (stretches.size() < seen.workspace()) stretches = device.block<double>(seen.workspace(), 1);
    check(survey(seen, stretches.data(), row_squares.data() + panel.row0, counted, stream),
          "a survey");
  });
  ElementSurvey survey;
  SurveyTotals all;
  device.staging.receive(&all, counted, sizeof all, device.compute);
  survey.row_squares.resize(as_size(a.rows));
  device.staging.receive(survey.row_squares.data(), row_squares.data(),
                         as_size(a.rows) * sizeof(double), device.compute);
  survey.largest = all.largest();
  survey.nans = static_cast<std::int64_t>(all.sums.nans);
  survey.infinities = static_cast<std::int64_t>(all.sums.infinities);
  if (!all.finite())
    survey.first_row = all.first_row(a.cols), survey.first_col = all.first_col(a.cols);
  survey.digest = all.digest();
  return survey;
}

template <class T>
ElementSurvey CudaBackend<T>::survey(const Matrix& a) {
  return surveyed(device_, panels_, a, BlockPlace{0, 0, a.rows >= a.cols});
}

template ElementSurvey CudaBackend<float>::survey(const Matrix&);
template ElementSurvey CudaBackend<double>::survey(const Matrix&);

}  // namespace sigmascope::device
