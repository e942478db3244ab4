# SPDX-License-Identifier: BSD-3-Clause
"""A block Krylov search: its settings, its need of memory, its call, and notes on its course."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sigmascope._execution import costs, distributed
from sigmascope._execution.memory import (
    Need,
    NeedOf,
    SearchSizes,
    graded_need,
    grown_need,
    krylov_need,
)
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.native_results import KrylovResult
from sigmascope._execution.options import CallOptions
from sigmascope.spectra import SVD

from .convergence import tolerance_note

GIVEN_UP = "the search became too expensive; the Gram matrix replaced it"
"""Note of a result after an abandoned search."""


@dataclass(frozen=True, slots=True)
class KrylovSettings:
    """The settings that decide the bits of a search, with the matrix, seed and number of steps.

    Attributes
    ----------
    shape : (m, n)
    k, tol, block, vectors
        As for :func:`sigmascope.svds`.
    precision : {"mixed", "split", "float32", "float64"}
        Precision of the blocks.
    density : bool
        Whether to return the quadrature of the basis as well, which is then not restarted early.
    tolerance_of : {"residuals", "errors", "either"}
        The quantity that the tolerance bounds. "either" accepts a value if its error meets it, or
        its residual does and its error is at most ten times as large. Inside the bulk of a spectrum
        errors come down long after residuals.
    """

    shape: tuple[int, int]
    k: int
    tol: float
    block: int
    precision: str
    vectors: bool
    density: bool
    tolerance_of: str = "residuals"

    @property
    def columns(self) -> int:
        """Largest number of columns of the basis before a restart: twice the expected number."""
        return basis_columns(min(self.shape), self.k, self.block, self.tol)

    @property
    def width(self) -> int:
        """Bytes of a number of a block."""
        return 8 if self.precision == "float64" else 4

    def need(self, columns: int | None = None) -> NeedOf:
        """Return the need with a basis of `columns` columns (default: `self.columns`)."""
        return partial(self.basis_need, columns=columns or self.columns)

    @property
    def basis_need(self) -> Callable[..., Need]:
        """The need as a function of the layout and the columns of the basis."""
        return partial(krylov_need, sizes=self._sizes)

    @property
    def graded_need(self) -> Callable[..., Need]:
        """The need if the k-th value is so small that all of the basis is read out."""
        return partial(graded_need, sizes=self._sizes)

    def grown_need(self, planned: int, grown: int) -> NeedOf:
        """Return the need of a basis that has grown to `columns` columns, all of them read out."""
        return partial(grown_need, sizes=self._sizes, planned=planned, grown=grown)

    @property
    def _sizes(self) -> SearchSizes:
        steered = self.precision == "mixed"
        return SearchSizes(self.k, self.block, self.width, steered, self.vectors, self.density)

    def columns_that_fit(self, memory: CallMemory) -> int:
        """Return the columns of the longest basis that fits the memory, or of the shortest."""
        least = min(3 * self.k + 2 * self.block, self.columns)
        return memory.largest(least, self.columns, self.basis_need) or least


@dataclass(frozen=True, slots=True)
class KrylovSearch:
    """A search.

    Attributes
    ----------
    settings : KrylovSettings
    what : str
        Description of the call, for a refusal.
    max_steps, seed : int
    strict : bool
        If True, no bit may depend on the memory: the search is refused if its basis of
        `settings.columns` columns does not fit, or grows beyond the memory. If False, a shorter
        basis is used, and restarted if necessary. If a restart would do harm (a wide range of
        values, clusters), the basis grows in both cases as long as there is memory.
    bounded : bool
        Whether to abandon the search ("costly") when it would cost more than every value.
    columns : int
        Planned columns of the basis; 0 takes the number from the settings.
    """

    settings: KrylovSettings
    what: str
    max_steps: int
    seed: int
    strict: bool
    bounded: bool
    columns: int = 0

    def within(self, memory: CallMemory) -> KrylovSearch:
        """Return the search with a basis that fits; ValueError if the steps cannot hold k vectors.

        A strict search keeps the expected number of columns.
        """
        settings, k, block = self.settings, self.settings.k, self.settings.block
        if not settings.density and block * self.max_steps < k:
            steps = f"max_passes = {self.max_steps} blocks of {block}"
            raise ValueError(f"{steps} cannot hold k = {k} vectors")
        columns = settings.columns if self.strict else settings.columns_that_fit(memory)
        return replace(self, columns=columns)

    def need(self, memory: CallMemory) -> NeedOf:
        """Return the need with the planned basis."""
        return self.settings.need(self.columns)

    def run(self, plan: MemoryPlan) -> KrylovResult:
        """Search by a plan, and by further plans if the basis has to grow.

        Raises
        ------
        MemoryLimitError
            If the basis or its read-out grows beyond the memory.
        """
        memory = plan.memory
        while True:
            result = self._attempt(plan)
            grown = result["required_columns"]
            if not grown:
                return result
            need = self.settings.grown_need(self.columns, grown)
            more = "" if grown == result["columns"] else " or more"
            # A matrix in memory, or higher panels, took the memory.
            plan = memory.leanest_plan(
                need, self.what, more=f", which grew to {grown} columns{more},"
            )

    def _attempt(self, plan: MemoryPlan) -> KrylovResult:
        """Search once; "required_columns" is the number of basis columns that did not fit."""
        a, call = plan.memory.a, plan.memory.options
        settings, columns, n = self.settings, self.columns, min(a.shape)
        most = plan.largest(columns, n, settings.basis_need)
        allowed = plan.largest(1, most, settings.graded_need)
        restart = _restart_columns(n, settings.k, settings.block)
        if settings.density:  # which wants a longer basis than the values do
            restart = columns if columns < n else 0
        return call.device.solvers.krylov(
            distributed.operand(a, call),
            k=settings.k,
            tol=settings.tol,
            block=settings.block,
            max_steps=self.max_steps,
            soft_restart_columns=restart,
            hard_restart_columns=0 if self.strict or most == n else most,
            refusal_columns=most if self.strict and most < n else 0,
            full_readout_columns=max(allowed, 1) if allowed < most else 0,
            seed=self.seed,
            vectors=settings.vectors,
            density=settings.density,
            tolerance_of=settings.tolerance_of,
            bounded=self.bounded,
            **plan.search(),
        )


def triplets_of(
    result: KrylovResult, call: CallOptions, settings: KrylovSettings, seed: int, seconds: float
) -> SVD:
    """Return the values that a search found, and their vectors if it was to have them."""
    return SVD(
        U=result.get("u"),
        s=result["s"],
        Vt=result.get("vt"),
        residuals=result["residuals"],
        errors=result["errors"],
        converged=result["converged"],
        passes=result["reads"],
        block=settings.block,
        columns=result["columns"],
        precision=call.precision,
        method="block Krylov",
        seed=seed,
        seconds=seconds,
        num_threads=call.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=call.device.notes
        + tolerance_note(settings.tol, call.precision)
        + krylov_notes(result),
        steps=result["steps"],
    ).scaled(result["unit"])


def krylov_notes(result: KrylovResult) -> tuple[str, ...]:
    """Return notes for the user on the course of a search: injections, restarts, refinement."""
    notes = []
    if result["injected"]:
        notes.append("random columns were injected to look for further copies of multiple values")
    if result["restarted"]:
        notes.append("the basis was restarted")
    if result["refined"]:
        notes.append(
            "rounded products did not reach the tolerance; the last steps used more accurate ones"
        )
    if not result["consistent"]:
        notes.append("not converged: the vectors are not orthonormal, or the values exceed ||A||_F")
    return tuple(notes)


def basis_columns(n: int, k: int, block: int, tol: float) -> int:
    """Return the largest number of basis columns before a restart: twice the expected number.

    It is at least the number at which a restart costs nothing. Only the matrix and the tolerance
    decide it: a smaller memory limit refuses the search, but does not change any bit.
    """
    columns = max(2 * costs.basis_columns(k, block, tol), _restart_columns(n, k, block))
    return int(min(columns + 2 * block, n))


def _restart_columns(n: int, k: int, block: int) -> int:
    """Return the number of basis columns at which a restart costs no step; 0: never.

    A shorter basis is cheaper to orthogonalise and to examine.
    """
    columns = max(3 * k + 2 * block, 3 * k // 2 + 5 * block, 128)
    return columns if 2 * columns < n else 0
