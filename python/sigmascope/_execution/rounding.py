# SPDX-License-Identifier: BSD-3-Clause
"""The precisions of a search: of blocks, and of products that are rounded more than blocks."""

from __future__ import annotations

from sigmascope._host.native import _core
from sigmascope.matrices.matrix import Matrix

SEARCHES = ("mixed", "split", "float32", "float64")
"""Values of `precision` where Krylov steps only choose directions."""

DENSITIES = SEARCHES[1:]
"""Values of `precision` of a density, to which rounding to 8 bits would add."""

PRODUCTS = {"mixed": "rounded", "split": "split", "float32": "full", "float64": "full"}
"""Precision of the products of the first steps."""

_PAYS_FROM = 512
_OF_PARTS = ("bf16", "f16")
"""Formats whose numbers are sums of one or two bfloat16 numbers."""

_NEEDS = {"mixed": "dot_bf16", "split": "tiles"}


def coarsest(precisions: tuple[str, ...], a: Matrix, *, on_cuda: bool = False) -> str:
    """Return the coarsest of these precisions that is faster than float32, else "float32".

    The device must have an instruction for it, and the matrix must be large. Tensor cores multiply
    any matrix rounded to bfloat16 ("mixed"). If it is stored in bfloat16 or float16, they can also
    use more bits of a block ("split").
    """
    if on_cuda:
        made: tuple[str, ...] = ("mixed", "split") if a.storage in _OF_PARTS else ("mixed",)
    else:
        has = _core.config()
        made = tuple(name for name, instruction in _NEEDS.items() if has[instruction])
    fast = [name for name in _NEEDS if name in precisions and name in made]
    return fast[0] if fast and min(a.shape) >= _PAYS_FROM else "float32"


def coarsest_for(a: Matrix, precisions: tuple[str, ...], *, on_cuda: bool = False) -> str:
    """Return the default precision of a call on `a`, among those that it allows."""
    return "float64" if a.precision == "float64" else coarsest(precisions, a, on_cuda=on_cuda)
