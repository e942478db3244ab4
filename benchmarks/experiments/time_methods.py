# SPDX-License-Identifier: BSD-3-Clause
"""The method that `svds` chooses for small matrices, and both methods that it chooses from.

    python benchmarks/experiments/time_methods.py

Prints the least processor time of a few calls in milliseconds, one thread, for every order, number
of triplets, tolerance and spectrum: of the choice, of a search and of the Gram matrix. The last
line has the ratio of the choice to the faster method, its mean and its largest value.
"""

from __future__ import annotations

import itertools
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.bench.workloads import SPECTRA, TIMED
from sigmascope.errors import ConvergenceWarning

ORDERS = (96, 128, 150, 180, 200, 230, 256, 300, 362)
TRIPLETS = (1, 4, 8, 16, 32)
TOLERANCES = (1e-2, 1e-4, 1e-6)
DTYPES = ("float64", "float32")
METHODS = ("auto", "krylov", "gram")
CALLS = 6


def milliseconds(A: NDArray[Any], k: int, tol: float, method: str) -> float:
    """Return the least processor time of a call."""
    least = np.inf
    for _ in range(CALLS):
        started = time.process_time()
        ss.svds(A, k, tol=tol, num_threads=1, method=method)
        least = min(least, time.process_time() - started)
    return 1e3 * float(least)


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    ratios = []
    print("dtype", "spectrum", "order", "k", "tol", *METHODS)
    for dtype, spectrum, n in itertools.product(DTYPES, ("llm", "decay"), ORDERS):
        A = SPECTRA[spectrum](n, n, TIMED).astype(dtype)
        for k, tol in itertools.product(TRIPLETS, TOLERANCES):
            if 5 * k > n:
                continue
            chosen, search, gram = (milliseconds(A, k, tol, method) for method in METHODS)
            ratios.append(chosen / min(search, gram))
            print(dtype, spectrum, n, k, tol, *(f"{x:.2f}" for x in (chosen, search, gram)))
    print(f"{len(ratios)} cases: mean {np.mean(ratios):.2f}, largest {max(ratios):.2f}")


if __name__ == "__main__":
    main()
