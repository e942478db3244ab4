# SPDX-License-Identifier: BSD-3-Clause
"""Which products of a search may be rounded more than its blocks are."""

from __future__ import annotations

import math

from . import _core

SEARCHES = ("mixed", "split", "float32", "float64")
"""What `precision` may be where Krylov steps only choose directions."""

DENSITIES = SEARCHES[1:]
"""The same where a density is read off the steps: what is rounded to 8 bits would add to it."""

PRODUCTS = {"mixed": "rounded", "split": "split", "float32": "full", "float64": "full"}
"""What the steps begin with."""

_PAYS_FROM = 512
_NEEDS = {"mixed": "dot_bf16", "split": "tiles"}


def coarsest(
    precisions: tuple[str, ...], shape: tuple[int, int], residual: float | None = None
) -> str:
    """Return the coarsest of these that is faster than float32, or that.

    The processor must have an instruction for it, and the matrix be large. What 8 bits of every
    number add to a residual is 2**-9 ||A||_F / sqrt(n), and ||A||_F is as a rule 1 to 2 sigma_1:
    where the search is to go below 2.3 times that (out_of_reach, cpp/algorithms/stopping.hpp), to
    residuals of so many sigma_1, it takes full products from the start, unless tiles make them.
    """
    has = _core.config()
    fast = [name for name, instruction in _NEEDS.items() if name in precisions and has[instruction]]
    best = fast[0] if fast and min(shape) >= _PAYS_FROM else "float32"
    beyond = residual is not None and residual < 4 * 2.0**-9 / math.sqrt(min(shape))
    return "float32" if best == "mixed" and beyond and not has["tiles"] else best
