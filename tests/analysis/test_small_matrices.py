# SPDX-License-Identifier: BSD-3-Clause
"""Small matrices: their calls surely fit, and are what the same steps find one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope._execution.memory import MINIMUM
from sigmascope._execution.passes import PassLayout
from sigmascope.analysis.routes import EFFORTS, SMALL, Route
from sigmascope.errors import MemoryLimitError
from sigmascope.solvers.krylov import KrylovSettings
from sigmascope.spectra import statistics

SIDES = (1, 2, 7, 8, 33, 64, 129, 200, SMALL - 1, SMALL)
MOST_BYTES = 8 * SMALL**2


def layouts(shape: tuple[int, int]) -> list[PassLayout]:
    """As they are stored in 1 or 8 bytes, in files or not, and sums of many layers in memory."""
    size = shape[0] * shape[1]
    return [
        PassLayout(shape, stored, files, 1, rows, wide)
        for stored, files in ((1, False), (8, False), (8, True), (MOST_BYTES / size, False))
        for rows, wide in product((0, 16, 10**6), (False, True))
    ]


def routes(shape: tuple[int, int]) -> list[Route]:
    results = []
    ranks, precisions = {1, min(shape)}, ("float32", "float64", "split", "mixed")
    for effort, k, precision, vectors in product(EFFORTS, ranks, precisions, (False, True)):
        both = [
            KrylovSettings(shape, k, 1e-15, min(64, *shape), precision, of_vectors, density)
            for of_vectors, density in ((vectors, effort == "density"), (True, False))
        ]
        search, vector_search = None if effort == "exact" else both[0], both[1] if vectors else None
        width = 8 if precision == "float64" else 4
        results.append(
            Route(effort, effort, shape, k, "reference", search, width, (), vectors, vector_search)
        )
    return results


@grid(m=SIDES, n=SIDES)
def test_of_a_small_matrix_every_effort_takes_less_than_the_minimum(m, n):
    """By the formulas that a small matrix spares, with bases of all columns as well."""
    for layout, route, grown in product(layouts((m, n)), routes((m, n)), (False, True)):
        peak = route.need(layout, grown=grown).peak + MOST_BYTES  # with the matrix, if read
        assert peak < MINIMUM, (layout, route, grown)


@pytest.mark.parametrize("shape", [(8, 8), (40, 30), (SMALL, SMALL), (SMALL + 1, 20)])
def test_a_small_limit_is_obeyed_as_well(shape):
    A = np.random.default_rng(0).standard_normal(shape)
    with pytest.raises(MemoryLimitError, match="the memory limit is 1 kiB"):
        ss.spectrum(A, memory_limit=1024)
    plenty, least = (ss.spectrum(A, memory_limit=limit) for limit in (None, "64 MiB"))
    assert np.array_equal(plenty.values, least.values)
    assert plenty.measures == least.measures


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(8, 8), (12, 40), (300, 70)])
def test_a_spectrum_is_what_its_parts_find(shape, dtype):
    A = ks.llm(*shape, seed=3)[0].astype(dtype)
    result, values, elements = ss.spectrum(A), ss.svdvals(A), ss.moments(A)
    assert result.method == values.method
    assert np.array_equal(result.values, values.values)
    assert np.array_equal(result.value_errors, values.errors)
    assert result.passes == values.passes + elements.passes
    assert result.moments.kurtosis == elements.kurtosis
    assert np.array_equal(result.moments.row_norms, elements.row_norms)
    measures = statistics.measures_from_values(
        values.values,
        values.errors,
        statistics.MatrixNorms(shape, elements.fro_norm, extremes=statistics.Extremes.of(elements)),
        floor=values.floor,
    )
    assert result.measures == measures
