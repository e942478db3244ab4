# SPDX-License-Identifier: BSD-3-Clause
"""The engine on CUDA devices; not in every build. Functions raise DeviceError without a device."""

from typing import Any, TypedDict

class Config(TypedDict):
    runtime: str
    driver: str | None
    simulated: bool
    architectures: list[str]

class Device(TypedDict):
    index: int
    name: str
    capability: tuple[int, int]
    memory: int
    free_memory: int | None
    multiprocessors: int

simulator: Any  # in builds with simulated devices alone

def config() -> Config: ...
def devices(*, free_memory: bool = True) -> list[Device]: ...
def usable_devices() -> list[int]: ...
def choose_device(index: int) -> None: ...
