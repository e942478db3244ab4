# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular values and vectors from the eigenvectors of the whole Gram matrix."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments, distributed
from sigmascope._execution.libraries import libraries_of, paths
from sigmascope._execution.memory import gram_need
from sigmascope._execution.memory_plan import (
    MemoryPlan,
    fits_device,
    fits_host,
    with_device_gram,
)
from sigmascope._execution.options import CallOptions
from sigmascope._host.native import _core
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD

from .convergence import tolerance_note

_SMALL = 256
"""Order below which a decomposition of A costs little more than its Gram matrix."""


def fits_gram(a: Matrix, k: int, options: CallOptions, *, complete: bool = False) -> bool:
    """Tell whether there is memory for the Gram matrix, or for the whole decomposition as well.

    That has a largest order, since LAPACK counts its workspace in 32 bits.
    """
    if complete and min(a.shape) > _core.LARGEST_SVD:
        return False
    need = with_device_gram(partial(gram_need, k=k, complete=complete), a, options)
    return fits_host(a, options, need) and fits_device(a, options, need)


def _costs_less(n: int, k: int) -> bool:
    """Tell whether to decompose A at once, before its Gram matrix is found not to resolve it.

    That costs less than many eigenvectors and their check: below order 256 than those that inverse
    iteration does not find (`small_eigen.cpp`).
    """
    return 4 * k > n if n < _SMALL else 3 * k >= n


def svds_by_gram(
    a: Matrix,
    k: int,
    tol: float,
    vectors: bool,
    seed: int,
    options: CallOptions,
    known: NDArray[np.float64] | None = None,
    value_tol: float | None = None,
) -> SVD:
    """:func:`sigmascope.svds` by the Gram matrix, of arguments that are checked.

    Where an error exceeds `value_tol` sigma_1, by default `tol`, A itself is decomposed, if there
    is memory for that. `known`: estimates of the values, from a search that was given up. Where
    they show that the Gram matrix does not resolve them to the tolerance, A itself is decomposed at
    once.
    """
    started = time.perf_counter()
    n = min(a.shape)
    error = _core.gram_error(max(a.shape), n)
    resolved = True
    if known is not None and len(known) == k:
        resolved = np.sqrt(known[-1] ** 2 + 2 * error * known[0] ** 2) - known[-1] <= tol * known[0]
    what = f"the Gram matrix of {arguments.of_shape(a.shape)}"
    complete = fits_gram(a, k, options, complete=True)
    opened = libraries_of(options.device.index)
    on_host = partial(gram_need, k=k, complete=complete)
    need = with_device_gram(on_host, a, options, opened, eigenvectors=True)
    plan = MemoryPlan.fit(a, options, need, what)
    result = options.device.solvers.gram_top(
        distributed.operand(a, options),
        k=k,
        tol=tol,
        value_tol=tol if value_tol is None else value_tol,
        vectors=vectors,
        may_complete=complete,
        at_once=not resolved or _costs_less(n, k),
        seed=seed,
        **plan.native(),
        **paths(opened),
    )
    s = result["s"]
    notes = options.device.notes + tolerance_note(tol, "float64")
    if opened is not None and not result["complete"]:
        notes += opened.notes(n, "eigenvectors")
    if result["complete"]:
        notes += ("A itself was decomposed in place of its Gram matrix",)
    elif unresolved := int(np.sum(s < (floor := np.sqrt(2 * error)) * s[0])):
        notes += (
            f"{unresolved} of the values lie below {floor:.2g} sigma_1, which the Gram matrix "
            "cannot tell from 0; a finer tolerance with more memory resolves them",
        )
    return SVD(
        U=result["u"] if vectors else None,
        s=s,
        Vt=result["vt"] if vectors else None,
        residuals=result["residuals"],
        errors=result["errors"],
        converged=result["converged"],
        passes=result["reads"],
        block=0,
        columns=n,
        precision="float64",
        method="full decomposition" if result["complete"] else "Gram matrix",
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=options.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=notes,
    ).scaled(result["unit"])
