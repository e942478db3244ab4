# SPDX-License-Identifier: BSD-3-Clause
"""Calls on whole matrices of the sizes of models, each beside its floor: ours alone.

Answers are held against float64: values and errors of searches, leading values and the nuclear
norm of a density, every value of a Gram matrix, the norm of moments, the relative change of a
comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import floors
import numpy as np
import peers_of_kernels
import pytest
import workloads
from numpy.typing import NDArray
from safetensors.numpy import save_file

import sigmascope as ss

Array = NDArray[Any]

OURS = peers_of_kernels.SVDS[0]

MATRICES = {
    "square": (4096, 4096, "f32"),
    "wide": (4096, 11008, "bf16"),
    "widest": (8192, 28672, "bf16"),
    "tall": (100_000, 1024, "f32"),
}

K = 64

ERRORS = 4
"""Stated errors within which an estimate must lie."""


class Call(NamedTuple):
    """A call, the work of its result, and an assertion about it."""

    run: Callable[[Array], Any]
    work: Callable[[Array, Any], floors.Work]
    check: Callable[[Array, Any], None]


def work_of_spectrum(A: Array, result: Any) -> floors.Work:
    """Return that of its steps; all reads but the first and the last are steps, or most of them."""
    if result.effort == "exact":
        return floors.every_value(A)
    steps = result.density.steps if result.density is not None else result.passes - 2
    columns = steps * result.block + K
    return floors.search(A, passes=result.passes, columns=columns, precision=result.precision)


def work_of_density(A: Array, result: Any) -> floors.Work:
    columns = result.steps * result.block
    return floors.search(A, passes=result.passes, columns=columns, precision=result.precision)


def check_values(A: Array, result: Any) -> None:
    exact = workloads.reference(A)
    values = np.asarray(result.s)
    assert np.all(np.abs(values - exact[: len(values)]) <= result.errors + 1e-7 * exact[0])


def check_spectrum(A: Array, result: Any) -> None:
    exact = workloads.reference(A)
    values = np.asarray(result.top)
    errors = np.asarray(result.top_errors)
    assert np.all(np.abs(values - exact[: len(values)]) <= errors + 1e-7 * exact[0])
    if result.effort != "top":
        check_measure(result.measures["nuclear_norm"], exact.sum())


def check_measure(measure: Any, exact: float) -> None:
    assert abs(measure.value - exact) <= ERRORS * measure.error + 1e-6 * exact


def check_density(A: Array, result: Any) -> None:
    check_measure(result.nuclear_norm(), workloads.reference(A).sum())


def check_all_values(A: Array, result: Any) -> None:
    exact = workloads.reference(A)
    assert np.abs(np.asarray(result) - exact).max() <= 1.4e-7 * exact[0]


def check_norm(A: Array, result: Any) -> None:
    exact = float(np.linalg.norm(A.astype(np.float64)))
    assert abs(result.fro_norm - exact) <= 1e-9 * exact


def accumulate(A: Array) -> Any:
    gram = ss.streaming.GramAccumulator(A.shape[1])
    for rows in np.array_split(A, 8):
        gram.update(rows)
    return gram.svdvals().values


def sketch(A: Array) -> Any:
    stream = ss.streaming.Sketch(A.shape[1], K, seed=0)
    for rows in np.array_split(A, 8):
        stream.update(rows)
    return stream.svd()


CALLS = {
    "svds, tol 1e-3": Call(lambda A: ss.svds(A, K, tol=1e-3), floors.search_of, check_values),
    "spectrum, top": Call(
        lambda A: ss.spectrum(A, effort="top", k=K), work_of_spectrum, check_spectrum
    ),
    "spectrum, density": Call(
        lambda A: ss.spectrum(A, effort="density", k=K), work_of_spectrum, check_spectrum
    ),
    "spectral_density": Call(ss.spectral_density, work_of_density, check_density),
    "svdvals": Call(
        lambda A: ss.svdvals(A).values, lambda A, _: floors.every_value(A), check_all_values
    ),
    "randomized_svd, 5 passes": Call(
        lambda A: ss.randomized_svd(A, K, passes=5), floors.search_of, check_values
    ),
    "moments": Call(ss.moments, lambda A, _: floors.reading(A), check_norm),
    "GramAccumulator, 8 updates": Call(
        accumulate, lambda A, _: floors.every_value(A), check_all_values
    ),
    "Sketch, 8 updates": Call(
        sketch,
        lambda A, _: floors.product(A, 2 * K + 10, "float32", both=True),
        check_values,
    ),
}

CASES = [
    *((call, matrix) for call in list(CALLS)[:4] for matrix in ("square", "wide", "widest")),
    *(("svdvals", matrix) for matrix in ("square", "wide")),
    *(("randomized_svd, 5 passes", matrix) for matrix in ("square", "wide")),
    *(("moments", matrix) for matrix in ("square", "wide", "widest")),
    *((call, "tall") for call in list(CALLS)[-2:]),
]


@pytest.mark.parametrize(("name", "matrix"), CASES)
def test_call(name: str, matrix: str, smoke: bool, measure: Any) -> None:
    A, case = matrix_of(matrix, smoke)
    call = CALLS[name]
    result = measure(
        lambda: call.run(A),
        table="calls",
        case={"call": name, **case},
        peer=OURS,
        rounds=5,
        least_work=lambda result: call.work(A, result),
    )
    call.check(A, result)


def matrix_of(name: str, smoke: bool) -> tuple[Array, dict[str, str]]:
    m, n, dtype = MATRICES[name]
    if smoke:
        m, n = max(m // 16, 192), n // 16
    return workloads.dense("llm", m, n, workloads.TIMED, dtype), {
        "matrix": f"llm {m} x {n}",
        "dtype": dtype,
    }


@pytest.mark.parametrize("effort", ["exact", "density"])
def test_comparison(effort: Any, smoke: bool, tmp_path: Path, measure: Any) -> None:
    """The floor is that of the spectra of W, W' and W' - W, without what is projected."""
    A, case = matrix_of("wide", smoke)
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((A.shape[0], 8)), rng.standard_normal((8, A.shape[1]))
    change = (left @ right).astype(np.float32)
    change *= np.float32(1e-2 * np.linalg.norm(A.astype(np.float32)) / np.linalg.norm(change))
    B = (A.astype(np.float32) + change).astype(A.dtype)
    paths = [tmp_path / f"{name}.safetensors" for name in ("before", "after")]
    for path, weights in zip(paths, (A, B), strict=True):
        save_file({"w": weights}, path)
    difference = B.astype(np.float32) - A.astype(np.float32)
    works = [
        work_of_spectrum(A, ss.spectrum(each, effort=effort, k=K)) for each in (A, B, difference)
    ]
    result = measure(
        lambda: ss.compare(*paths, effort=effort, k=K),
        table="calls",
        case={"call": f"compare, {effort}", **case},
        peer=OURS,
        rounds=3,
        least_work=lambda _: works[0] + works[1] + works[2],
    )
    row = next(iter(result.rows))
    assert row["status"] == "analysed", row["reason"]
    wanted = np.linalg.norm(difference.astype(np.float64)) / np.linalg.norm(A.astype(np.float64))
    assert abs(row["relative_change"] - wanted) <= 1e-6 * wanted
