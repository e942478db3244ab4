# SPDX-License-Identifier: BSD-3-Clause
"""Devices and kernels of this build."""

from __future__ import annotations

from typing import Any

from sigmascope._host.cuda_devices import cuda_devices
from sigmascope._host.keywords import public
from sigmascope._host.native import _core, cuda
from sigmascope._host.threads import resolve_threads
from sigmascope.errors import DeviceError

from .libraries import libraries


@public
def available_devices() -> list[str]:
    """Return the devices that this build can compute on: 'cpu', and CUDA devices as 'cuda:0'.

    See Also
    --------
    show_config : Say why there is no CUDA device, among others.

    Examples
    --------
    >>> import sigmascope as ss
    >>> ss.available_devices()[0]
    'cpu'
    """
    try:
        return ["cpu", *cuda_devices()]
    except DeviceError:
        return ["cpu"]


@public
def show_config() -> dict[str, Any]:
    """Return version, instruction set, BLAS, devices and threads of this build and machine.

    See Also
    --------
    available_devices : Return the names of devices for the option `device`.

    Examples
    --------
    >>> import sigmascope as ss
    >>> "devices" in ss.show_config()
    True
    """
    config = dict(_core.config())
    config["devices"] = available_devices()
    config["cuda"] = cuda_config()
    config["num_threads"] = resolve_threads(None)
    return config


def cuda_config() -> str:
    """Return one line: the versions of CUDA in use and the chips, or why there is no device."""
    module = cuda()
    try:
        usable = {int(name.partition(":")[2]) for name in cuda_devices()}
    except DeviceError as error:
        return str(error)
    assert module is not None
    config = module.config()
    chips = ", ".join(d["name"] for d in module.devices() if d["index"] in usable)
    libs = libraries()
    return (
        f"runtime {config['runtime']}, driver {config['driver']}, {libs.cublas}, "
        f"{libs.cusolver}: {chips}"
    )


def engine() -> dict[str, str]:
    """Return version, kernels and BLAS, which decide the last bits together with the options."""
    config = _core.config()
    return {name: config[name] for name in ("version", "isa", "blas_core")}
