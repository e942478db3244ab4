# SPDX-License-Identifier: BSD-3-Clause
"""Errors of sketches of a stream and their bounds: the table of docs/streaming.md.

    python benchmarks/experiments/errors_of_sketches.py

The table has the worst relative error of the k largest values against float64, and the bound that
the sketch gives for it: medians over seeds. Nothing is timed. The widths are the defaults, and that
of a Sketch as large as the LinearSketch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.bench.accuracy import reference
from sigmascope.bench.workloads import SPECTRA
from sigmascope.results import SVD
from sigmascope.streaming import LinearSketch, Sketch

SHAPE = (2048, 1024)
RANK = 32
SEEDS = 7
COLUMNS = ("spectrum", "sketch", "numbers held", "worst error", "its bound", "error of σ₁")


def sketches(A: NDArray[Any], seed: int) -> dict[str, tuple[int, SVD]]:
    """Return by name the number of numbers that a sketch stores, and its SVD."""
    m, n = A.shape
    linear = LinearSketch(A.shape, RANK, seed=seed).update(A)
    numbers = (m + n) * linear.width + linear.core**2 + n * linear.probes
    results = {"LinearSketch": (numbers, linear.svd())}
    large = int((-n + np.sqrt(n**2 + 4 * numbers)) / 2)  # n w + w^2 numbers
    for name, width in (("Sketch", 2 * RANK + 10), ("Sketch, as large", large)):
        rows = Sketch(n, RANK, width=width, seed=seed).extend(np.array_split(A, 8))
        results[name] = (n * rows.width + rows.width**2, rows.svd())
    return results


def main() -> None:
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for kind in SPECTRA:
        A = SPECTRA[kind](*SHAPE, 0)
        sigma = reference(A)[:RANK]
        seen: dict[str, list[tuple[float, ...]]] = {}
        for seed in range(SEEDS):
            for name, (numbers, result) in sketches(A, seed).items():
                off = np.abs(result.s - sigma)
                assert np.all(off <= result.errors), (kind, name, seed)
                worst, bound = np.max(off / sigma), np.max(result.errors / sigma)
                seen.setdefault(name, []).append((numbers, worst, bound, off[0] / sigma[0]))
        for name, figures in seen.items():
            numbers, *errors = np.median(figures, axis=0)
            cells = [kind, name, f"{numbers / 1e3:.0f} k", *(f"{error:.1e}" for error in errors)]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
