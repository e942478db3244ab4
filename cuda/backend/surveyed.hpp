// SPDX-License-Identifier: BSD-3-Clause
// The survey of a matrix on a device.
#pragma once

#include "kernels/elements/fingerprint.hpp"
#include "kernels/elements/survey.hpp"
#include "matrix/matrix.hpp"
#include "memory/device_context.hpp"
#include "panels/decoded_panels.hpp"

namespace sigmascope::device {

// `place` says where `a` lies in a matrix of which it is a block.
ElementSurvey surveyed(DeviceContext& device, DecodedPanels& panels, const Matrix& a,
                       const BlockPlace& place);

}  // namespace sigmascope::device
