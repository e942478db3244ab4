# SPDX-License-Identifier: BSD-3-Clause
"""What the search of one effort finds: the largest values, and the density of the same basis."""

from __future__ import annotations

import time
from typing import Any

from sigmascope._execution.options import Run
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.density import density_of
from sigmascope.solvers.krylov import Search, krylov
from sigmascope.solvers.svdvals import svdvals
from sigmascope.spectra import Density, Known
from sigmascope.spectra.units import scaled, scaled_errors

from .routes import Route, run_for


def search_of(
    a: Matrix, chosen: Route, search: Search, run: Run, max_passes: int, seed: int, started: float
) -> tuple[dict[str, Any], Density | None, Run]:
    """The k largest values and, at effort "density", the quadrature of the same basis."""
    result, run = krylov(
        a,
        run,
        search,
        search.columns,
        chosen.what,
        max_steps=max_passes,
        seed=seed,
        strict=True,
        bounded=chosen.may_find_all(a, run),
    )
    if not search.density or result["costly"]:
        return result, None, run
    rule = result["quadrature"]
    steps = -(-rule["columns"] // search.block)
    seconds = time.perf_counter() - started
    density = density_of(min(a.shape), rule, result, run.precision, seed, steps, seconds)
    return result, density, run


def known_of(
    a: Matrix, chosen: Route, max_passes: int, seed: int, options: dict[str, Any]
) -> Known:
    """What the same route finds of another matrix of the same shape."""
    n = min(a.shape)
    if chosen.search is not None:
        run = run_for(a, chosen.effort, **options)
        result, density, _ = search_of(
            a, chosen, chosen.search, run, max_passes, seed, time.perf_counter()
        )
    if chosen.search is None or result["costly"]:
        shared = {name: value for name, value in options.items() if name != "precision"}
        every = svdvals(a, accuracy=chosen.accuracy, **shared)
        return Known(n, every.values, every.errors)
    s, errors, unit = result["s"], result["errors"], result["unit"]
    return Known(n, scaled(s, unit), scaled_errors(errors, s, unit), density)
