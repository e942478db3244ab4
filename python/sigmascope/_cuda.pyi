# SPDX-License-Identifier: BSD-3-Clause
"""The engine on CUDA devices; not in every build. Functions raise DeviceError without a device."""

from typing import Any, TypedDict

from sigmascope._host.results import (
    DensityResult,
    GramResult,
    KrylovResult,
    LowRankResult,
    ValuesResult,
)

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
    multiprocessors: int

simulator: Any  # in builds with simulated devices alone

# The solvers of _core, with two more options: `device`, and `device_bytes` for a matrix to stay.
def krylov(a: Any, **options: Any) -> KrylovResult: ...
def density(a: Any, **options: Any) -> DensityResult: ...
def low_rank(a: Any, **options: Any) -> LowRankResult: ...
def gram_top(a: Any, **options: Any) -> GramResult: ...
def every_value(a: Any, **options: Any) -> ValuesResult: ...
def config() -> Config: ...
def devices() -> list[Device]: ...
def usable_devices() -> list[int]: ...
def free_memory(index: int) -> int: ...
