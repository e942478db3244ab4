# SPDX-License-Identifier: BSD-3-Clause
"""The CUDA devices of this machine that this build can use."""

from __future__ import annotations

import os

from sigmascope.errors import DeviceError

from .native import cuda

SIMULATED = "SIGMASCOPE_SIMULATED"
"""Environment variable: 1 lists the simulated devices of a build for tests."""


def cuda_devices() -> list[str]:
    """Return the CUDA devices that can compute; DeviceError says why there is not one."""
    module = cuda()
    if module is None:
        raise DeviceError("built without CUDA")
    if module.config()["simulated"] and os.environ.get(SIMULATED) != "1":
        raise DeviceError(f"built only for simulated devices, which {SIMULATED}=1 enables")
    return [f"cuda:{index}" for index in module.usable_devices()]
