// SPDX-License-Identifier: BSD-3-Clause
// The survey of a matrix on a device.
#pragma once

#include "decoded_panels.hpp"
#include "device_context.hpp"
#include "kernels/elements/fingerprint.hpp"
#include "kernels/elements/survey.hpp"
#include "matrix/matrix.hpp"

namespace sigmascope::device {

// `place` says where `a` lies in a matrix of which it is a block.
ElementSurvey surveyed(DeviceContext& device, DecodedPanels& panels, const Matrix& a,
                       const BlockPlace& place);

}  // namespace sigmascope::device
