# SPDX-License-Identifier: BSD-3-Clause
"""Calls of several Python threads at once: the bits are those of one call after another.

Without a global lock (CPython 3.13t and later) their Python code runs at the same time, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.errors import NonFiniteError
from sigmascope.results import Spectrum
from sigmascope.streaming import GramAccumulator

THREADS = 8

Array = NDArray[Any]


def gram_values(A: Any) -> Array:
    parts = ss.matrix(A)
    accumulator = GramAccumulator(parts.shape[1], center=True)
    for row in range(0, parts.shape[0], 40):
        accumulator.update(parts[row : row + 40])
    return np.asarray(accumulator.svdvals().values)


def triplets(result: Any) -> list[Array]:
    return [result.U, result.s, result.Vt, result.errors]


def measures(result: Spectrum) -> list[Array]:
    """Everything that a spectrum says but the time that it took."""
    said = {name: value for name, value in result.to_dict().items() if name != "seconds"}
    return [np.frombuffer(repr(said).encode(), np.uint8)]


CALLS: dict[str, Callable[[Any], list[Array]]] = {
    "svds": lambda A: triplets(ss.svds(A, 4)),
    "svds of two threads": lambda A: triplets(ss.svds(A, 3, num_threads=2, seed=5)),
    "svds with progress": lambda A: triplets(ss.svds(A, 4, progress=lambda _: None)),
    "randomized_svd": lambda A: triplets(ss.randomized_svd(A, 5)),
    "svdvals": lambda A: [np.asarray(ss.svdvals(A).values)],
    "density": lambda A: measures(ss.spectrum(A, effort="density")),
    "exact": lambda A: measures(ss.spectrum(A, effort="exact")),
    "moments": lambda A: [ss.moments(A).row_norms, np.asarray(ss.moments(A).kurtosis)],
    "gram": lambda A: [gram_values(A)],
    "transposed": lambda A: [np.asarray(ss.svdvals(ss.matrix(A).T * 0.5).values)],
}


def bits(arrays: list[Array]) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in arrays]


def inputs(folder: Path) -> list[Any]:
    """Matrices that threads share: arrays of several dtypes, a file, and a sum of matrices."""
    rng = np.random.default_rng(8)
    A = rng.standard_normal((160, 96)) * np.linspace(1, 0.1, 96)
    path = folder / "A.npy"
    np.save(path, A.astype(np.float32))
    sum_of_two = ss.matrix(A) - ss.matrix(rng.standard_normal((160, 96)).astype(np.float32))
    return [A, A.astype(np.float16), np.asfortranarray(A[:, ::2]), ss.matrix(path), sum_of_two]


def test_threads_get_the_bits_of_one(tmp_path: Path) -> None:
    """Every thread makes all calls, in an order of its own, on inputs that all of them share."""
    shared = inputs(tmp_path)
    work = [(name, i) for name in CALLS for i in range(len(shared))]
    alone = {(name, i): bits(CALLS[name](shared[i])) for name, i in work}
    start = threading.Barrier(THREADS)

    def act(thread: int) -> None:
        rng = np.random.default_rng(thread)
        start.wait()
        for place in rng.permutation(len(work)):
            name, i = work[place]
            assert bits(CALLS[name](shared[i])) == alone[name, i], (name, i)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act, thread) for thread in range(THREADS)]:
            done.result()


def test_an_error_stays_in_its_thread() -> None:
    """Half of the threads multiply NaN or raise in their progress, the others get their bits."""
    A = np.random.default_rng(2).standard_normal((200, 150))
    bad = np.where(A > 3, np.nan, A)
    alone = bits(triplets(ss.svds(A, 3)))
    start = threading.Barrier(THREADS)

    def fail(_: object) -> None:
        raise LookupError("of this thread")

    def act(thread: int) -> None:
        start.wait()
        for _ in range(10):
            if thread % 4 == 1:
                with pytest.raises(NonFiniteError, match="NaN"):
                    ss.svds(bad, 3)
            elif thread % 4 == 3:
                with pytest.raises(LookupError, match="of this thread"):
                    ss.svds(A, 3, progress=fail, num_threads=2)
            else:
                assert bits(triplets(ss.svds(A, 3))) == alone

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act, thread) for thread in range(THREADS)]:
            done.result()
