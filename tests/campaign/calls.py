# SPDX-License-Identifier: BSD-3-Clause
"""One case, run and checked."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import measures, streams, triplets
from .cases import Case
from .gallery import Array
from .outcome import Outcome
from .stored import stored
from .truth import Truth

Check = Callable[[Case, Any, Truth, Outcome], None]

CHECKS: dict[str, Check] = {
    "svds": triplets.svds,
    "randomized_svd": triplets.randomized_svd,
    "svdvals": measures.svdvals,
    "spectrum": measures.spectrum,
    "spectral_density": measures.spectral_density,
    "moments": measures.moments,
    "sketch": streams.sketch,
    "linear_sketch": streams.linear_sketch,
    "gram_accumulator": streams.gram_accumulator,
    "moments_accumulator": streams.moments_accumulator,
}


def run(case: Case) -> Outcome:
    """Compute one case and check everything that can be checked of its answer."""
    outcome = Outcome()
    with warnings.catch_warnings(), np.errstate(over="ignore", under="ignore"):
        warnings.simplefilter("ignore")  # those of the call itself are caught around it
        numbers: Array = case.numbers()
        A = stored(numbers, case.dtype, case.layout, case.matrix_seed)
        try:
            if case.function == "low_rank":
                pair = measures.factors(case)
                right = stored(pair[1], case.dtype)
                measures.low_rank(case, A, right, measures.product(case, pair), outcome)
            else:
                CHECKS[case.function](case, A, Truth(numbers), outcome)
        except Exception as error:  # of what is asked of an answer, or of the same call again
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            outcome.wrong("exception", np.inf, text)
    outcome.z.pop("warned of convergence", None)
    return outcome
