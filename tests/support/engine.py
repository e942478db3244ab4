# SPDX-License-Identifier: BSD-3-Clause
"""Single steps of the engine, for tests of numbers that no public function returns as they are.

Everything in the package that such tests name is imported here, so that a move changes this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope._execution.distributed import DistributedOperator
from sigmascope._execution.options import CallOptions
from sigmascope._execution.reading import copy_nbytes
from sigmascope._host.native import _core
from sigmascope.matrices.joins import outer
from sigmascope.matrices.products.operators import OperatorProducts
from sigmascope.matrices.products.sparse import SparseProducts
from sigmascope.solvers.change import change, fingerprint

Array = NDArray[Any]

SHARED: dict[str, Any] = {"threads": 2, "panel_rows": 0, "load_bytes": 0, "progress": None}


def product(
    a: ss.Matrix,
    x: Array,
    verb: str,
    *,
    double: bool | None = None,
    threads: int = 2,
    panel: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """Multiply a block by the kernels of a verb: in float64 if `double`, or if x is."""
    wide = x.dtype == np.float64 if double is None else double
    call = _core.product_f64 if wide else _core.product_f32
    run: dict[str, Any] = {"threads": threads, "panel_rows": panel}
    return call(a.native, x, verb, load_bytes=0, progress=progress, **run)


def density_of_steps(a: ss.Matrix, **options: Any) -> Any:
    """Return what four steps of a density in float32 measure, and what its passes read.

    `products` are of all digits, or "split" into parts of bfloat16. With `gather`, tiles that lie
    over each other are added up once; with `separate`, what bfloat16 leaves is kept by itself.
    """
    how = SHARED | {"block": min(16, *a.shape), "steps": 4, "seed": 1, "f64": False}
    return _core.density(a.native, **(how | options))


def layers(a: ss.Matrix) -> int:
    """Return how many tiles lie over each other at most."""
    return int(a.native.layers)


def tiles(a: ss.Matrix) -> int:
    """Return the number of tiles of a matrix."""
    return len(a.native.dtypes)


def outer_product(u: Array, v: Array) -> ss.Matrix:
    """Return u v^T as a tile whose rows are all v, with a scale each."""
    return outer(u, v)


def bytes_of_copy(a: ss.Matrix, precision: str = "float32") -> int:
    """Return the bytes of the copy that steps in this precision would read in place of a."""
    if precision == "float64":
        return copy_nbytes(a, CallOptions.of(a, precision=precision))
    return copy_nbytes(a, CallOptions.of(a).with_precision(precision))


def eigenvalues_in_two_stages(A: Array, *, fast: bool, threads: int = 1) -> NDArray[np.float64]:
    """Return the eigenvalues of a symmetric matrix, by a band; `fast`: with float32 products."""
    values: NDArray[np.float64] = _core.two_stage_eigenvalues(A, fast=fast, threads=threads)
    return values


def gaussian(
    rows: int, columns: int, seed: int, first_column: int = 0, threads: int = 1
) -> NDArray[np.float64]:
    """Return the Gaussian numbers of a seed, of these rows and columns."""
    numbers: NDArray[np.float64] = _core.gaussian(rows, columns, seed, first_column, threads)
    return numbers


def seed_of_start(fingerprint: int, seed: int) -> int:
    """Return the seed of the start of a search of a matrix with this fingerprint."""
    return int(_core.start_of(fingerprint, seed))


def fingerprint_of(A: Any, **options: Any) -> int:
    """Return the fingerprint of a matrix, which its numbers alone decide."""
    return fingerprint(ss.matrix(A), **options)


def fingerprint_by_workers(a: ss.Matrix, executor: Any) -> int:
    """Return the fingerprint of a matrix, of whose rows every worker reads a part."""
    workers = DistributedOperator(a, CallOptions.of(a, executor=executor))
    return seed_of_start(workers.fingerprint, 0)


def sums_of_change(before: ss.Matrix, after: ss.Matrix, **options: Any) -> Any:
    """Return the sums over the entries of two matrices of one shape, and the units they are in."""
    return change(before, after, **options)


def fingerprint_of_pair(before: ss.Matrix, after: ss.Matrix) -> int:
    """Return the fingerprint of two matrices of one shape, from one pass over both."""
    return change(before, after).fingerprint


def operator_products(source: Any) -> OperatorProducts:
    """Return a linear operator as searches multiply by it."""
    return OperatorProducts(source)


def sparse_products(source: Any) -> SparseProducts:
    """Return a sparse matrix as searches multiply by it."""
    return SparseProducts(source)


TEST_COLUMNS: int = _core.TEST_COLUMNS
"""Random vectors with which `randomized_svd` tests its answer."""
