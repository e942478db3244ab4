# SPDX-License-Identifier: BSD-3-Clause
"""What this build computes with."""

from __future__ import annotations

from sigmascope._host.native import _core


def available_devices() -> list[str]:
    """Devices that this build can compute on."""
    return ["cpu"]


def engine() -> dict[str, str]:
    """What decides the last bits of a result besides its options: version, kernels, BLAS."""
    config = _core.config()
    return {name: config[name] for name in ("version", "isa", "blas_core")}
