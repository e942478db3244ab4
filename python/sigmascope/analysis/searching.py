# SPDX-License-Identifier: BSD-3-Clause
"""The search of an effort: the largest values, and the density from the same basis."""

from __future__ import annotations

import time

from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.native_results import KrylovResult
from sigmascope._execution.options import CallOptions
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.density import density_of
from sigmascope.solvers.krylov import KrylovSearch, KrylovSettings
from sigmascope.solvers.svdvals import EveryValue
from sigmascope.spectra import Density, Known
from sigmascope.spectra.units import scaled, scaled_errors

from .routes import Route


def search_of(
    a: Matrix,
    route: Route,
    search: KrylovSettings,
    call: CallOptions,
    max_passes: int,
    seed: int,
    started: float,
) -> tuple[KrylovResult, Density | None]:
    """Search for the k largest values; at effort "density", add the quadrature of the basis."""
    memory = CallMemory(a, call)
    bounded = route.may_find_all(memory)
    method = KrylovSearch(search, route.what, max_passes, seed, strict=True, bounded=bounded)
    method = method.within(memory)
    result = method.run(memory.plan(method.need(memory), method.what))
    if not search.density or result["costly"]:
        return result, None
    rule = result["quadrature"]
    steps = -(-rule["columns"] // search.block)
    seconds = time.perf_counter() - started
    return result, density_of(a.shape, rule, result, call.precision, seed, steps, seconds)


def known_of(a: Matrix, route: Route, call: CallOptions, max_passes: int, seed: int) -> Known:
    """Find the values, or the density, of another matrix of the same shape by the same route."""
    n = min(a.shape)
    if route.search is not None:
        started = time.perf_counter()
        result, density = search_of(a, route, route.search, call, max_passes, seed, started)
    if route.search is None or result["costly"]:
        every, unit = EveryValue(route.accuracy).compute(a, call.with_precision(a.precision))
        every = every.scaled(unit)
        return Known(n, every.values, every.errors)
    s, errors, unit = result["s"], result["errors"], result["unit"]
    return Known(n, scaled(s, unit), scaled_errors(errors, s, unit), density)
