# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular values and vectors from the eigenvectors of the whole Gram matrix."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments, distributed
from sigmascope._execution.libraries import libraries_of, paths, with_device_gram
from sigmascope._execution.memory import NeedOf, gram_need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._host.native import _core
from sigmascope.spectra import SVD

from .convergence import tolerance_note

_SMALL = 256
"""Order below which a decomposition of A costs little more than its Gram matrix."""


@dataclass(frozen=True, slots=True)
class GramTriplets:
    """Triplets from the eigenvectors of the Gram matrix, or from A itself if that resolves more.

    Attributes
    ----------
    shape : (m, n)
    k, tol, seed, vectors
        As for :func:`sigmascope.svds`.
    value_tol : float, optional
        If an error exceeds `value_tol` sigma_1, by default `tol`, A itself is decomposed, if there
        is memory for that.
    estimates : array, optional
        Estimates of the values, from an abandoned search. If they show that the Gram matrix does
        not resolve them to the tolerance, A itself is decomposed at once.
    complete : bool
        Whether there is memory for the whole decomposition as well.
    """

    shape: tuple[int, int]
    k: int
    tol: float
    seed: int
    vectors: bool = True
    value_tol: float | None = None
    estimates: NDArray[np.float64] | None = None
    complete: bool = False

    @property
    def what(self) -> str:
        """Description of the call, for a refusal."""
        return f"the Gram matrix of {arguments.of_shape(self.shape)}"

    def within(self, memory: CallMemory) -> GramTriplets:
        """Return the same request, with the whole decomposition if that fits as well."""
        return replace(self, complete=self.fits(memory, complete=True))

    def fits(self, memory: CallMemory, *, complete: bool = False) -> bool:
        """Return whether there is memory for it, or for the whole decomposition as well.

        The decomposition has a largest order, since LAPACK counts its workspace in 32 bits.
        """
        if complete and min(self.shape) > _core.LARGEST_SVD:
            return False
        return memory.fits(with_device_gram(self._on_host(complete), memory))

    def need(self, memory: CallMemory) -> NeedOf:
        """Return the need with the libraries of the device."""
        return with_device_gram(self._on_host(self.complete), memory, "eigenvectors")

    def _on_host(self, complete: bool) -> NeedOf:
        return partial(gram_need, k=self.k, complete=complete)

    def run(self, plan: MemoryPlan) -> SVD:
        """Compute the triplets."""
        started = time.perf_counter()
        call, k, tol, n = plan.memory.options, self.k, self.tol, min(self.shape)
        opened = libraries_of(call.device.index)
        error = _core.gram_error(max(self.shape), n)
        result = call.device.solvers.gram_top(
            distributed.operand(plan.memory.a, call),
            k=k,
            tol=tol,
            value_tol=tol if self.value_tol is None else self.value_tol,
            vectors=self.vectors,
            may_complete=self.complete,
            at_once=not self._resolves(error) or _costs_less(n, k),
            seed=self.seed,
            **plan.native(),
            **paths(opened),
        )
        s = result["s"]
        notes = call.device.notes + tolerance_note(tol, "float64")
        if opened is not None and not result["complete"]:
            notes += opened.notes(n, "eigenvectors")
        if result["complete"]:
            notes += ("A itself was decomposed instead of its Gram matrix",)
        elif unresolved := int(np.sum(s < (floor := np.sqrt(2 * error)) * s[0])):
            notes += (
                f"{unresolved} values below {floor:.2g} sigma_1 are not resolved by the Gram "
                "matrix; a smaller tolerance with more memory resolves them",
            )
        return SVD(
            U=result["u"] if self.vectors else None,
            s=s,
            Vt=result["vt"] if self.vectors else None,
            residuals=result["residuals"],
            errors=result["errors"],
            converged=result["converged"],
            passes=result["reads"],
            block=0,
            columns=n,
            precision="float64",
            method="full decomposition" if result["complete"] else "Gram matrix",
            seed=self.seed,
            seconds=time.perf_counter() - started,
            num_threads=call.threads,
            fro_norm=float(np.sqrt(result["fro2"])),
            notes=notes,
        ).scaled(result["unit"])

    def _resolves(self, error: float) -> bool:
        """Return whether the Gram matrix resolves the estimates, if all of them are given."""
        s = self.estimates
        if s is None or len(s) != self.k:
            return True
        return bool(np.sqrt(s[-1] ** 2 + 2 * error * s[0] ** 2) - s[-1] <= self.tol * s[0])


def _costs_less(n: int, k: int) -> bool:
    """Return whether to decompose A at once, instead of trying its Gram matrix first.

    That costs less than many eigenvectors and their check; below order 256, less than eigenvectors
    that inverse iteration does not find (`small_eigen.cpp`).
    """
    return 4 * k > n if n < _SMALL else 3 * k >= n
