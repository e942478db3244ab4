# SPDX-License-Identifier: BSD-3-Clause
"""The native engine. Every algorithm takes the keyword arguments of ``MemoryPlan.native``."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.native_results import (
    DensityResult,
    GramResult,
    KrylovResult,
    LowRankResult,
    SurveyResult,
    ValuesResult,
)
from sigmascope._execution.passes import PassLayout

class Matrix:
    rows: int
    cols: int
    nbytes: int
    parameter_nbytes: int
    in_memory: bool
    device: int | None
    sources_on_device: list[Any]
    column_major: bool
    layers: float
    dtypes: list[str]
    quantised: bool
    encoded: bool
    def __init__(self, rows: int, cols: int) -> None: ...
    @staticmethod
    def from_memory(
        address: int,
        owner: object,
        dtype: str,
        rows: int,
        cols: int,
        row_stride: int,
        col_stride: int,
    ) -> Matrix: ...
    @staticmethod
    def from_device(
        address: int,
        source: object,
        device: int,
        dtype: str,
        rows: int,
        cols: int,
        row_stride: int,
        col_stride: int,
    ) -> Matrix: ...
    @staticmethod
    def from_dlpack(capsule: object, source: object, codes: str) -> Matrix: ...
    @staticmethod
    def from_file(
        path: str | os.PathLike[str],
        offset: int,
        rows: int,
        cols: int,
        dtype: str,
        row_stride: int,
        reading: str,
    ) -> Matrix: ...
    @staticmethod
    def from_source(
        source: object, offset: int, rows: int, cols: int, dtype: str, row_stride: int
    ) -> Matrix: ...
    @staticmethod
    def from_blocks_of_source(
        source: object, offset: int, rows: int, cols: int, layout: str
    ) -> Matrix: ...
    @staticmethod
    def from_blocks(
        path: str | os.PathLike[str],
        offset: int,
        rows: int,
        cols: int,
        layout: str,
        reading: str,
    ) -> Matrix: ...
    @staticmethod
    def from_groups(
        path: str | os.PathLike[str], offset: int, state: dict[str, Any], reading: str
    ) -> Matrix: ...
    @staticmethod
    def from_groups_of_source(source: object, offset: int, state: dict[str, Any]) -> Matrix: ...
    def transposed(self) -> Matrix: ...
    def slice(
        self, row0: int, row1: int, col0: int, col1: int, row_step: int, col_step: int
    ) -> Matrix: ...
    def scaled(self, factor: float) -> Matrix: ...
    @staticmethod
    def joined(rows: int, cols: int, parts: Sequence[tuple[Matrix, int, int]]) -> Matrix: ...
    def added(self, other: Matrix, row0: int, col0: int) -> Matrix: ...
    def with_scale(
        self, values: NDArray[np.float32], block_rows: int, block_cols: int
    ) -> Matrix: ...
    def times_rows(self, factors: NDArray[np.float32]) -> Matrix: ...
    def deviations(self) -> Matrix | None: ...
    def loaded(self) -> Matrix: ...
    def copied(self) -> Matrix: ...
    def decode_f32(self, threads: int) -> NDArray[np.float32]: ...
    def decode_f64(self, threads: int) -> NDArray[np.float64]: ...

Progress = Callable[[int], object] | None
Operand = Matrix | Any  # or an object with the verbs of distributed.DistributedOperator

UNCHANGED_PART: float

def krylov(
    a: Operand,
    *,
    k: int,
    tol: float,
    block: int,
    max_steps: int,
    soft_restart_columns: int,
    hard_restart_columns: int,
    refusal_columns: int,
    full_readout_columns: int,
    seed: int,
    vectors: bool,
    bounded: bool,
    density: bool,
    products: str,
    tolerance_of: str,
    rounded_copy: bool,
    f64: bool,
    gather: bool = False,
    separate: bool = False,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
    fro2: float | None = None,
    fingerprint: int | None = None,
) -> KrylovResult: ...
def density(
    a: Operand,
    *,
    block: int,
    steps: int,
    seed: int,
    f64: bool,
    products: str = "full",
    gather: bool = False,
    separate: bool = False,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
    fro2: float | None = None,
    fingerprint: int | None = None,
) -> DensityResult: ...
def low_rank(
    a: Operand,
    *,
    k: int,
    block: int,
    passes: int,
    seed: int,
    f64: bool,
    gather: bool = False,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
    fro2: float | None = None,
    fingerprint: int | None = None,
) -> LowRankResult: ...
def gram_top(
    a: Operand,
    *,
    k: int,
    tol: float,
    vectors: bool,
    may_complete: bool,
    at_once: bool,
    value_tol: float,
    seed: int,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
    fro2: float | None = None,
    fingerprint: int | None = None,
) -> GramResult: ...
def gram_error(rows: int, n: int) -> float: ...
def every_value(
    a: Operand,
    *,
    fast: bool,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
    fro2: float | None = None,
    fingerprint: int | None = None,
) -> ValuesResult: ...
def gram(
    a: Matrix, *, threads: int, panel_rows: int, load_bytes: int, progress: Progress
) -> NDArray[np.float64]: ...
def two_stage_eigenvalues(a: NDArray[Any], fast: bool, threads: int) -> NDArray[np.float64]: ...
def packed_gram(
    a: Matrix, *, threads: int, panel_rows: int, load_bytes: int, progress: Progress
) -> NDArray[np.float64]: ...
def packed_spectrum(
    packed: NDArray[np.float64], n: int, *, top: int, threads: int
) -> dict[str, Any]: ...
def moments(
    a: Matrix,
    *,
    histogram: bool,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
) -> dict[str, Any]: ...
def door_exponent(a: Matrix, largest: float) -> int: ...
def survey(
    a: Matrix,
    *,
    place: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
) -> SurveyResult: ...
def fingerprint(digest: tuple[int, int], largest: float, rows: int, cols: int) -> int: ...
def start_of(fingerprint: int, seed: int) -> int: ...
def change(
    before: Matrix,
    after: Matrix,
    *,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
) -> dict[str, Any]: ...
def product_f32(
    a: Matrix,
    x: NDArray[Any],
    verb: str,
    *,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
) -> Any: ...
def product_f64(
    a: Matrix,
    x: NDArray[Any],
    verb: str,
    *,
    threads: int,
    panel_rows: int,
    load_bytes: int,
    progress: Progress,
) -> Any: ...
def product_additions(terms: int) -> int: ...
def gaussian(
    rows: int, cols: int, seed: int, column0: int, threads: int
) -> NDArray[np.float64]: ...
def number_pass_bytes(layout: PassLayout, columns: int, width: int, *, both: bool) -> int: ...
def bf16_pass_bytes(layout: PassLayout, columns: int) -> int: ...
def tile_pass_bytes(layout: PassLayout, columns: int, *, both: bool) -> int: ...
def element_pass_bytes(layout: PassLayout) -> int: ...
def gram_pass_bytes(layout: PassLayout, *, fast: bool) -> int: ...
def dense_bytes(layout: PassLayout) -> int: ...
def stored_panel_bytes(layout: PassLayout, height: int, length: int, extent: int) -> int: ...
def eigenvalue_bytes(order: int, threads: int) -> int: ...
def inner_bytes(rows: int, left: int, right: int, width: int) -> int: ...
def padded_columns(columns: int, width: int) -> int: ...
def remainder_bytes(elements: int) -> int: ...
def resolution(epsilon: float) -> float: ...
def is_fine(tolerance: float, order: int) -> bool: ...

LARGEST_SVD: int
TEST_COLUMNS: int
SMALL_ORDER: int

def config() -> dict[str, Any]: ...
def block_layouts() -> dict[str, tuple[int, int]]: ...

class KeepingMemory:
    def __init__(self) -> None: ...
    def end(self) -> None: ...
