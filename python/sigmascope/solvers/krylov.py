# SPDX-License-Identifier: BSD-3-Clause
"""A block Krylov search: its settings, its need of memory, its call, and notes on its course."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sigmascope._display.text import amount
from sigmascope._execution import costs, distributed
from sigmascope._execution.memory import graded_need, grown_need, krylov_need
from sigmascope._execution.memory_plan import (
    LOWEST_PANEL,
    MemoryPlan,
    NeedOf,
    fits_device,
    least_memory,
)
from sigmascope._execution.options import CallOptions
from sigmascope._execution.reading import layout_of
from sigmascope._host.results import KrylovResult
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD

from .convergence import tolerance_note

GIVEN_UP = "the search took too much work: the Gram matrix took its place"
"""Note of a result for which a search was begun."""


@dataclass(frozen=True, slots=True)
class KrylovSettings:
    """The settings that decide the bits of a search, with the matrix, seed and number of steps.

    Attributes
    ----------
    shape : (m, n)
    k, tol, block, vectors
        As for :func:`sigmascope.svds`.
    precision : {"mixed", "split", "float32", "float64"}
        Of the blocks.
    density : bool
        Whether the quadrature of the basis is wanted as well: it is not restarted early then.
    of_values : bool
        With vectors, whether the tolerance is of the values all the same, not of the residuals:
        the vectors are those that come with the values, as good as their residuals say.
    """

    shape: tuple[int, int]
    k: int
    tol: float
    block: int
    precision: str
    vectors: bool
    density: bool
    of_values: bool = False

    @property
    def columns(self) -> int:
        """Columns of the basis at which it is restarted at the latest: twice those expected."""
        return basis_columns(min(self.shape), self.k, self.block, self.tol)

    @property
    def width(self) -> int:
        """Bytes of a number of a block."""
        return 8 if self.precision == "float64" else 4

    def need(self, columns: int | None = None) -> NeedOf:
        """Return the need with a basis of so many columns (default: `self.columns`)."""
        return partial(
            krylov_need,
            k=self.k,
            block=self.block,
            columns=columns or self.columns,
            width=self.width,
            **self._phases,
        )

    def graded_need(self, columns: int) -> NeedOf:
        """Return the need where the k-th value is so small that all of the basis is read out."""
        return partial(graded_need, k=self.k, block=self.block, columns=columns, width=self.width)

    def grown_need(self, planned: int, grown: int) -> NeedOf:
        """Return the need of a basis that has grown to so many columns, all of them read out."""
        return partial(
            grown_need,
            k=self.k,
            block=self.block,
            planned=planned,
            grown=grown,
            width=self.width,
            **self._phases,
        )

    @property
    def _phases(self) -> dict[str, Any]:
        steered = self.precision == "mixed"
        return {"steered": steered, "vectors": self.vectors, "density": self.density}

    def columns_that_fit(self, a: Matrix, call: CallOptions) -> int:
        """Return the columns of the longest basis that fits the memory, or of the shortest."""
        least = min(3 * self.k + 2 * self.block, self.columns)
        layout = layout_of(a, call, call.panel_rows or LOWEST_PANEL)

        def fits(columns: int) -> bool:
            need = self.need(columns)
            return call.has(need(layout)) and fits_device(a, call, need)

        return _most_columns(least, self.columns, fits) or least


def krylov(
    a: Matrix,
    call: CallOptions,
    settings: KrylovSettings,
    what: str,
    *,
    max_steps: int,
    seed: int,
    strict: bool,
    bounded: bool,
) -> KrylovResult:
    """Run a search.

    Parameters
    ----------
    what : the call, as a refusal names it
    strict : no bit may depend on the memory
        The search is refused if its basis of `settings.columns` columns does not fit, or grows
        beyond the memory. Else a shorter basis is taken, and restarted where it has to be. Where a
        restart would do harm (values that span much, clusters), the basis grows in both cases as
        long as there is memory.
    bounded : the search is given up ("costly") where its work would pass that of every value

    Raises
    ------
    ValueError
        If `max_steps` blocks cannot hold k vectors.
    MemoryLimitError
        If it does not fit into the memory; if the basis grows too long, or its read-out.
    """
    k, block = settings.k, settings.block
    if not settings.density and block * max_steps < k:
        raise ValueError(f"max_passes = {max_steps} blocks of {block} cannot hold k = {k} vectors")
    columns = settings.columns if strict else settings.columns_that_fit(a, call)
    plan = MemoryPlan.fit(a, call, settings.need(columns), what)
    steps: dict[str, Any] = {"max_steps": max_steps, "seed": seed, "bounded": bounded}
    while True:
        result = _attempt(a, plan, settings, columns, strict=strict, **steps)
        grown = result["required_columns"]
        if not grown:
            return result
        need = settings.grown_need(columns, grown)
        least = least_memory(a, call, need)
        if least > call.memory:
            more = "" if grown == result["columns"] else " or more"
            what += f", which took {grown} columns{more},"
            raise MemoryLimitError(call.refusal(what, amount(least)))
        # A held matrix, or higher panels, took the room.
        plan = MemoryPlan.leanest(a, call, need, what)


def _attempt(
    a: Matrix,
    plan: MemoryPlan,
    settings: KrylovSettings,
    columns: int,
    *,
    strict: bool,
    seed: int,
    **steps: Any,
) -> KrylovResult:
    """Run a search once; "required_columns" is the length of a basis that memory refuses."""
    n, call = min(a.shape), plan.options

    def fits(need: NeedOf) -> bool:
        host = call.has(need(plan.layout).plus(plan.held_nbytes))
        return host and fits_device(a, call, need)

    most = _most_columns(columns, n, lambda d: fits(settings.need(d)))
    allowed = _most_columns(1, most, lambda d: fits(settings.graded_need(d)))
    restart = _restart_columns(n, settings.k, settings.block)
    if settings.density:  # which wants a longer basis than the values do
        restart = columns if columns < n else 0
    return call.device.solvers.krylov(
        distributed.operand(a, call),
        k=settings.k,
        tol=settings.tol,
        block=settings.block,
        soft_restart_columns=restart,
        hard_restart_columns=0 if strict or most == n else most,
        refusal_columns=most if strict and most < n else 0,
        full_readout_columns=max(allowed, 1) if allowed < most else 0,
        seed=seed,
        vectors=settings.vectors,
        density=settings.density,
        of_values=settings.of_values,
        **steps,
        **plan.search(),
        **plan.native(),
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
            "rounded products did not reach the tolerance; the last steps have better ones"
        )
    if not result["consistent"]:
        notes.append("not converged: the vectors are not orthonormal, or hold more than ||A||_F")
    return tuple(notes)


def basis_columns(n: int, k: int, block: int, tol: float) -> int:
    """Columns of the basis at which it is restarted at the latest: twice those expected.

    At least as many as it has where a restart costs nothing. It follows from the matrix and the
    tolerance alone: a smaller memory refuses, and changes no bit.
    """
    columns = max(2 * costs.basis_columns(k, block, tol), _restart_columns(n, k, block))
    return int(min(columns + 2 * block, n))


def _most_columns(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest of `least` to `most` columns that fits; 0 if none does."""
    if least <= most and fits(most):
        return most
    index = bisect_right(range(least, most + 1), False, key=lambda columns: not fits(columns))
    return least + index - 1 if index else 0


def _restart_columns(n: int, k: int, block: int) -> int:
    """Basis columns at which a restart costs no step; 0: never.

    A shorter basis is cheaper to keep orthogonal and to look at.
    """
    columns = max(3 * k + 2 * block, 3 * k // 2 + 5 * block, 128)
    return columns if 2 * columns < n else 0
