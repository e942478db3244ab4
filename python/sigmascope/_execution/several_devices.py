# SPDX-License-Identifier: BSD-3-Clause
"""The devices of a scan or a comparison, shares of their memory, and the record of their kind."""

from __future__ import annotations

from collections.abc import Sequence

from sigmascope._host.cuda_devices import cuda_devices
from sigmascope._host.native import cuda
from sigmascope.errors import DeviceError

from .devices import Device, device_of
from .libraries import libraries

EVERY = "cuda:all"
"""Name of all CUDA devices together."""


def devices_of(name: str) -> tuple[Device, ...]:
    """Return the devices among which matrices are distributed.

    Parameters
    ----------
    name
        "cpu", "cuda" (the first CUDA device), "cuda:1" for another, or "cuda:all" for all of them.

    Returns
    -------
    tuple of Device
        Each may take as many bytes as the one with the least free memory, so that no row depends on
        which of them made it.

    Raises
    ------
    DeviceError
        If there is no such device. Also if "cuda:all" are devices of several kinds, whose results
        differ in the last bits.
    """
    if name != EVERY:
        return (device_of(name),)
    try:
        devices = [device_of(each) for each in cuda_devices()]
    except DeviceError as error:
        raise DeviceError(f"device {name!r} is not available: {error}") from error
    kinds = {each.name: _kind(each) for each in devices}
    if len(set(kinds.values())) > 1:
        listed = "; ".join(f"{each} is {kind}" for each, kind in kinds.items())
        raise DeviceError(
            f"{EVERY!r} needs devices of the same kind, but {listed}; choose one by its name"
        )
    least = min(each.nbytes for each in devices)
    return tuple(each.share(least) for each in devices)


def with_memory(devices: Sequence[Device], nbytes: int) -> tuple[Device, ...]:
    """Return the same devices with a limit: a call may take `nbytes` of each."""
    return tuple(each.share(nbytes) for each in devices)


def device_record(devices: Sequence[Device]) -> dict[str, str]:
    """Return the kind of the devices, as "device_kind"; the last bits of results depend on it.

    It is empty for the CPU, whose instruction set is in
    :func:`sigmascope._execution.build.engine`.
    """
    first = devices[0]
    return {} if first.index is None else {"device_kind": _kind(first)}


def _kind(device: Device) -> str:
    """Return chip and versions of CUDA as a text."""
    module = cuda()
    assert module is not None
    of = next(chip for chip in module.devices() if chip["index"] == device.index)
    major, minor = of["capability"]
    config = module.config()
    used = [f"CUDA runtime {config['runtime']}", f"driver {config['driver']}"]
    opened = libraries()
    used += [f"{each.name} {each.version or 'none'}" for each in (opened.cublas, opened.cusolver)]
    return ", ".join([of["name"], f"compute capability {major}.{minor}", *used])
