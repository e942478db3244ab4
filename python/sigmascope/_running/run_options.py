# SPDX-License-Identifier: BSD-3-Clause
"""The seed of a run, its threads, memory and devices, and the parts of these that workers get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypedDict, Unpack

from sigmascope._execution import arguments
from sigmascope._execution.devices import CPU, Device
from sigmascope._execution.several_devices import devices_of, with_memory
from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope._tables.outputs import JournalSettings


class RunKeywords(TypedDict):
    """The options of a run as its caller gives them, as for :func:`sigmascope.scan`."""

    seed: int | None
    num_threads: int | None
    memory_limit: int | str | None
    device: str


def resolve_run(**run: Unpack[RunKeywords]) -> dict[str, Any]:
    """Return the members of :class:`RunOptions`; ValueError or DeviceError for a wrong option."""
    return {
        "seed": arguments.resolve_seed(run["seed"]),
        "seed_drawn": run["seed"] is None,
        "num_threads": resolve_threads(run["num_threads"]),
        "memory_limit": resolve_memory(run["memory_limit"]),
        "devices": devices_of(run["device"]),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options that every run has, resolved once for all rows.

    Attributes
    ----------
    seed
        As for :func:`sigmascope.spectrum`.
    seed_drawn
        True if the caller gave no seed, and this run drew one.
    num_threads, memory_limit
        Those of all matrices that are analysed at once.
    devices
        The devices among which matrices are distributed. Each may take the same number of bytes,
        which is decided once, so that no row depends on the free memory of a device later.
    """

    seed: int
    seed_drawn: bool = False
    num_threads: int
    memory_limit: int
    devices: tuple[Device, ...] = (CPU,)

    def recorded(self) -> dict[str, Any]:
        """Return them as plain JSON, as the header of a saved table holds them."""
        record: dict[str, Any] = {"seed": self.seed}
        record |= {"seed_drawn": True} if self.seed_drawn else {}
        record |= {"num_threads": self.num_threads, "memory_limit": self.memory_limit}
        if self.device.index is None:
            return record
        names = ", ".join(device.name for device in self.devices)
        return record | {"device": names, "device_memory": self.device.nbytes}

    @property
    def device(self) -> Device:
        """The first device, or the only one."""
        return self.devices[0]

    def on(self, name: str) -> Self:
        """Return the options of a matrix that is analysed on one of the devices."""
        return replace(self, devices=tuple(each for each in self.devices if each.name == name))

    def resuming(self, journal: JournalSettings, *, keep_memory: bool) -> Self:
        """Return the options with the memory of a journal, and with its seed unless one is given.

        With `keep_memory` the memory limit of the host stays. A limit of the journal is ignored if
        there is less memory now.
        """
        host, device = journal.host, journal.device
        options = self
        if host is not None and not keep_memory:
            options = replace(options, memory_limit=host)
        if device is not None and device <= self.device.nbytes:
            options = replace(options, devices=with_memory(self.devices, device))
        if self.seed_drawn and journal.seed is not None:
            options = replace(options, seed=journal.seed, seed_drawn=False)
        return options

    def threads_of(self, fraction: float) -> int:
        """Return a fraction of the threads, rounded down, but at least one."""
        return max(int(fraction * self.num_threads), 1)

    def per_worker(self, workers: int, on_device: int | None = None) -> Self:
        """Return the options with the threads and the memory of one of `workers` equal workers.

        `on_device` is the largest number of workers that use one device at the same time; by
        default all of them may.
        """
        return replace(
            self,
            num_threads=max(self.num_threads // workers, 1),
            memory_limit=max(self.memory_limit // workers, 1),
            devices=with_memory(self.devices, self.device.nbytes // (on_device or workers)),
        )

    def of_row(self, index: int) -> Self:
        """Return the options of a row, whose device follows from its place in the table."""
        return self.on(self.devices[index % len(self.devices)].name)
