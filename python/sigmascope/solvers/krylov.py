# SPDX-License-Identifier: BSD-3-Clause
"""A block Krylov search as it is set up: its basis, what it needs, and what it met on its way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope._display.text import amount
from sigmascope._execution import arguments, costs, distributed
from sigmascope._execution import options as plan
from sigmascope._execution.memory import Need, graded_need, krylov_need
from sigmascope._execution.options import Run
from sigmascope._execution.passes import Reading
from sigmascope._host.native import _core
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD

GIVEN_UP = "the search would have taken more work than every value: the Gram matrix took its place"
"""What a result says that was to be searched for."""


@dataclass(frozen=True, slots=True)
class Search:
    """What decides the bits of a search, beside matrix, seed and the number of steps.

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

    def need(self, reading: Reading, columns: int | None = None) -> Need:
        """What it takes, with the basis it is to have or a shorter one."""
        return krylov_need(
            reading,
            self.k,
            self.block,
            columns or self.columns,
            self.width,
            steered=self.precision == "mixed",
            vectors=self.vectors,
            density=self.density,
        )

    def graded_need(self, reading: Reading, columns: int) -> Need:
        """What it takes where the k-th value is so small that all of the basis is read out."""
        return graded_need(reading, self.k, self.block, columns, self.width)

    def grown_need(self, reading: Reading, planned: int, grown: int) -> Need:
        """What it takes if its basis has grown to so many columns, all of which are read out."""
        both = self.need(reading, max(planned, grown)), self.graded_need(reading, grown)
        return max(both, key=lambda need: need.limit)

    def fitting(self, a: Matrix, run: Run) -> int:
        """Columns of the longest basis that there is memory for; the shortest, if for none."""
        least = min(3 * self.k + 2 * self.block, self.columns)
        reading = run.reading(a, run.panel_rows or plan.LOWEST_PANEL)

        def fits(columns: int) -> bool:
            return run.has(self.need(reading, columns))

        return _most_columns(least, self.columns, fits) or least


def krylov(
    a: Matrix,
    run: Run,
    search: Search,
    columns: int,
    what: str,
    *,
    max_steps: int,
    seed: int,
    strict: bool,
    bounded: bool,
) -> tuple[dict[str, Any], Run]:
    """Run a search that plans with `columns` of a basis; its dictionary, and how it was run.

    `bounded`: the search is given up ("costly") where its work would pass that of every value.

    Where a restart would do harm (values that span much, clusters), the basis grows on as long as
    there is memory. Then it is restarted all the same; `strict`: the search is refused instead, so
    that no bit depends on the memory.

    Raises
    ------
    ValueError
        If `max_steps` blocks cannot hold k vectors.
    MemoryLimitError
        If it does not fit into the memory; if the basis grows too long, or its read-out.
    """
    if not search.density and search.block * max_steps < search.k:
        raise ValueError(
            f"max_passes = {max_steps} blocks of {search.block} cannot hold k = {search.k} vectors"
        )
    how = run.within(a, lambda reading: search.need(reading, columns), what)
    options: dict[str, Any] = {"max_steps": max_steps, "seed": seed}
    options |= {"strict": strict, "bounded": bounded}
    while True:
        result = _attempt(a, how, search, columns, **options)
        grown = result["required_columns"]
        if not grown:
            return result, how

        def need(reading: Reading, grown: int = grown) -> Need:
            return search.grown_need(reading, columns, grown)

        least = run.least(a, need)
        if least > run.memory:
            more = "" if grown == result["columns"] else " or more"
            what += f", which took {grown} columns{more},"
            raise MemoryLimitError(run.refusal(what, amount(least)))
        how = run.leanest(a, need)  # what was held, or higher panels, took the room


def _attempt(
    a: Matrix,
    run: Run,
    search: Search,
    columns: int,
    *,
    max_steps: int,
    seed: int,
    strict: bool,
    bounded: bool,
) -> dict[str, Any]:
    """Run a search once; "required_columns" is the length of a basis that memory refuses."""
    n = min(a.shape)
    held = run.load_bytes + run.copy_bytes
    reading = run.reading(a, held=run.load_bytes > 0)

    def graded(columns: int) -> Need:
        return search.graded_need(reading, columns).beside(held)

    def fits(columns: int) -> bool:
        return run.has(search.need(reading, columns).beside(held))

    most = _most_columns(columns, n, fits)
    allowed = _most_columns(1, most, lambda d: run.has(graded(d)))
    restart = _restart_columns(n, search.k, search.block)
    if search.density:  # which wants a longer basis than the values do
        restart = columns if columns < n else 0
    result: dict[str, Any] = _core.krylov(
        distributed.operand(a, run),
        k=search.k,
        tol=search.tol,
        block=search.block,
        max_steps=max_steps,
        soft_restart_columns=restart,
        hard_restart_columns=0 if strict or most == n else most,
        refusal_columns=most if strict and most < n else 0,
        full_readout_columns=max(allowed, 1) if allowed < most else 0,
        seed=arguments.check_seed(seed),
        vectors=search.vectors,
        bounded=bounded,
        density=search.density,
        of_values=search.of_values,
        **run.search(),
        **run.native(),
    )
    return result


def triplets_of(result: dict[str, Any], run: Run, search: Search, seed: int, seconds: float) -> SVD:
    """Return the values that a search found, and their vectors if it was to have them."""
    return SVD(
        U=result.get("u"),
        s=result["s"],
        Vt=result.get("vt"),
        residuals=result["residuals"],
        errors=result["errors"],
        converged=result["converged"],
        passes=result["reads"],
        block=search.block,
        columns=result["columns"],
        precision=run.precision,
        method="block Krylov",
        seed=seed,
        seconds=seconds,
        num_threads=run.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=tolerance_note(search.tol, run.precision) + krylov_notes(result),
    ).scaled(result["unit"])


def krylov_notes(result: dict[str, Any]) -> tuple[str, ...]:
    """What a Krylov run met on its way, in words."""
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


def floor_of(precision: str) -> float:
    """What blocks of a precision resolve, in sigma_1: rounding_floor, rayleigh_ritz.hpp."""
    return 192 * 2.0**-53 if precision == "float64" else 96 * 2.0**-24


def tolerance_note(tol: float, precision: str) -> tuple[str, ...]:
    """Say so where a tolerance is below what blocks of a precision resolve."""
    floor = floor_of(precision)
    if tol >= floor:
        return ()
    kind = "float64" if precision == "float64" else "float32"
    return (
        f"tol = {tol:g} is below the floor of {kind}, {floor:.2g} sigma_1, which took its place",
    )


def basis_columns(n: int, k: int, block: int, tol: float) -> int:
    """Columns of the basis at which it is restarted at the latest: twice those expected.

    At least as many as it has where a restart costs nothing. It follows from the matrix and the
    tolerance alone: a smaller memory refuses, and changes no bit.
    """
    columns = max(2 * costs.basis_columns(k, block, tol), _restart_columns(n, k, block))
    return int(min(columns + 2 * block, n))


def _most_columns(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest of `least` to `most` columns that fits; 0 if none does."""
    index = bisect_right(range(least, most + 1), False, key=lambda columns: not fits(columns))
    return least + index - 1 if index else 0


def _restart_columns(n: int, k: int, block: int) -> int:
    """Basis columns at which a restart costs no step; 0: never.

    A shorter basis is cheaper to keep orthogonal and to look at.
    """
    columns = max(3 * k + 2 * block, 3 * k // 2 + 5 * block, 128)
    return columns if 2 * columns < n else 0
