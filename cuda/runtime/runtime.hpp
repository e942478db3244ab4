// SPDX-License-Identifier: BSD-3-Clause
// CUDA's runtime, or that of the simulated devices.
#pragma once

#if defined(SIGMASCOPE_SIMULATED)
#include "simulator/runtime.hpp"
#else
#include <cuda_runtime_api.h>
#endif
