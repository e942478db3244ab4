# SPDX-License-Identifier: BSD-3-Clause
"""Devices lent to the threads that analyse matrices at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from sigmascope._execution.devices import Device


class DeviceSlots:
    """The devices of a scan. A thread borrows the one that the fewest threads use.

    Of n devices and w threads, a device is lent to at most ceil(w / n) threads at a time
    (:func:`most_on_device`). No row depends on which device made it.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = {device.name: device for device in devices}
        self._lent = Counter(dict.fromkeys(self._devices, 0))
        self._lock = Lock()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend the device that the fewest threads use, and yield its name."""
        with self._lock:
            name = min(self._lent, key=self._lent.__getitem__)
            self._lent[name] += 1
        try:
            yield name
        finally:
            with self._lock:
                self._lent[name] -= 1


def most_on_device(workers: int, devices: int) -> int:
    """Return the largest number of threads that use one device at the same time."""
    return -(-workers // devices)
