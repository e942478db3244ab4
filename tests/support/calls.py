# SPDX-License-Identifier: BSD-3-Clause
"""Every public call that computes, by name, with the options that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sigmascope as ss

Call = Callable[..., Any]

CALLS: dict[str, Call] = {
    "svds": lambda A, **options: ss.svds(A, 2, **options),
    "svds by Krylov": lambda A, **options: ss.svds(A, 2, method="krylov", **options),
    "svds by Gram": lambda A, **options: ss.svds(A, 2, method="gram", **options),
    "values alone": lambda A, **options: ss.svds(A, 2, vectors=False, **options),
    "randomized_svd": lambda A, **options: ss.randomized_svd(A, 2, **options),
    "svdvals": ss.svdvals,
    "spectral_density": lambda A, **options: ss.spectral_density(A, passes=3, **options),
    "spectrum top": lambda A, **options: ss.spectrum(A, effort="top", k=2, **options),
    "spectrum density": lambda A, **options: ss.spectrum(A, effort="density", k=2, **options),
    "spectrum exact": lambda A, **options: ss.spectrum(A, effort="exact", k=2, **options),
}
EVERY: dict[str, Call] = {**CALLS, "moments": ss.moments}
SEEDED = {name: call for name, call in CALLS.items() if name != "svdvals"}
