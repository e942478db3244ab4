# SPDX-License-Identifier: BSD-3-Clause
"""Which products of a search may be rounded more than its blocks are."""

from __future__ import annotations

from sigmascope._host.native import _core

SEARCHES = ("mixed", "split", "float32", "float64")
"""What `precision` may be where Krylov steps only choose directions."""

DENSITIES = SEARCHES[1:]
"""The same where a density is read off the steps: what is rounded to 8 bits would add to it."""

PRODUCTS = {"mixed": "rounded", "split": "split", "float32": "full", "float64": "full"}
"""What the steps begin with."""

_PAYS_FROM = 512
_NEEDS = {"mixed": "dot_bf16", "split": "tiles"}


def coarsest(precisions: tuple[str, ...], shape: tuple[int, int]) -> str:
    """Return the coarsest of these that is faster than float32, or that.

    The processor must have an instruction for it, and the matrix be large.
    """
    has = _core.config()
    fast = [name for name, instruction in _NEEDS.items() if name in precisions and has[instruction]]
    return fast[0] if fast and min(shape) >= _PAYS_FROM else "float32"
