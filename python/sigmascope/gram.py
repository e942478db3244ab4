# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular values and vectors from the eigenvectors of the whole Gram matrix."""

from __future__ import annotations

import time

import numpy as np

from . import _core, arguments, spread
from .matrices import Matrix
from .memory import gram_need
from .plan import Run
from .spectra import SVD

GRAM_FLOOR = 2e-7
"""Of sigma_1: what is below is lost in the rounding of the Gram matrix, sqrt(4e-14)."""


def fits_gram(a: Matrix, k: int, run: Run) -> bool:
    """Whether there is memory for it."""
    return run.least(a, lambda reading: gram_need(reading, k)) <= run.memory


def svds_by_gram(
    a: Matrix, k: int, tol: float, vectors: bool, seed: int, run: Run, started: float
) -> SVD:
    """:func:`sigmascope.svds` by the Gram matrix, of arguments that are checked."""
    n = min(a.shape)
    what = f"the Gram matrix of {arguments.of_shape(a.shape)}"
    complete = run.least(a, lambda reading: gram_need(reading, k, complete=True)) <= run.memory
    run = run.within(a, lambda reading: gram_need(reading, k, complete=complete), what)
    result = _core.gram_top(
        spread.operand(a, run),
        k=k,
        tol=tol,
        vectors=vectors,
        may_complete=complete,
        at_once=3 * k >= n,  # where it costs less than eigenvectors that are checked
        seed=arguments.check_seed(seed),
        **run.native(),
    )
    s = result["s"]
    notes: tuple[str, ...] = ()
    if result["complete"]:
        notes = ("A itself was decomposed in place of its Gram matrix",)
    elif unresolved := int(np.sum(s < GRAM_FLOOR * s[0])):
        notes = (
            f"{unresolved} of the values lie below {GRAM_FLOOR:g} sigma_1, which the Gram matrix "
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
        num_threads=run.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=notes,
    ).scaled(result["unit"])
