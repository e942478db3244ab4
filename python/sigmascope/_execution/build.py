# SPDX-License-Identifier: BSD-3-Clause
"""Devices and kernels of this build."""

from __future__ import annotations

from sigmascope._host.native import _core


def available_devices() -> list[str]:
    """Return the devices that this build can compute on."""
    return ["cpu"]


def engine() -> dict[str, str]:
    """Return version, kernels and BLAS: with the options they decide the last bits of a result."""
    config = _core.config()
    return {name: config[name] for name in ("version", "isa", "blas_core")}
