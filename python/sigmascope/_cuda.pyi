# SPDX-License-Identifier: BSD-3-Clause
"""The engine on CUDA devices; not in every build. Functions raise DeviceError without a device."""

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from sigmascope import _core
from sigmascope._host.results import (
    DensityResult,
    GramResult,
    KrylovResult,
    LowRankResult,
    SurveyResult,
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

# The solvers of _core, with three more options: `device`, `device_bytes` for a matrix to stay, and
# `allocate`, a function of rows, columns and "is float64" that returns an array and its address.
def krylov(a: Any, **options: Any) -> KrylovResult: ...
def density(a: Any, **options: Any) -> DensityResult: ...
def low_rank(a: Any, **options: Any) -> LowRankResult: ...
def gram_top(a: Any, **options: Any) -> GramResult: ...
def every_value(a: Any, **options: Any) -> ValuesResult: ...

class ImportStream:
    """A stream that waits for those who write arrays; closed by the end of a `with`."""

    handle: int
    def __init__(self, device: int) -> None: ...
    def follow(self, stream: int) -> None: ...
    def wait(self) -> None: ...
    def __enter__(self) -> ImportStream: ...
    def __exit__(self, *error: object) -> None: ...

def device_at(address: int) -> int: ...
def check_memory(matrix: _core.Matrix) -> None: ...

# The passes of _core over elements, with the same two options.
def moments(a: Any, *, histogram: bool, **options: Any) -> dict[str, Any]: ...
def survey(
    a: Any,
    *,
    place: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    **options: Any,
) -> SurveyResult: ...
def change(before: Any, after: Any, **options: Any) -> dict[str, Any]: ...

# Single products, the verbs "multiply", "adjoint" and "gram" of _core.
def product_f64(a: Any, x: NDArray[Any], verb: str, **options: Any) -> Any: ...
def packed_gram(a: Any, **options: Any) -> NDArray[np.float64]: ...
def config() -> Config: ...
def devices() -> list[Device]: ...
def usable_devices() -> list[int]: ...
def free_memory(index: int) -> int: ...
