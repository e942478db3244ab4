# SPDX-License-Identifier: BSD-3-Clause
"""The least time of a method on this machine, from the bytes it reads and its multiply-adds.

The floor of a method is the larger of two times: that of reading the matrix as often as the method
does, at the rate of reading an array of that size, and that of its multiply-adds, at the measured
peak of the type that it uses. Products in several parts of bf16 count as often as they are made.
Where only some steps round to bf16, all of them count as if they did. Nothing else is in it: no
orthogonalisation, no small dense work, no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sigmascope as ss

DOTS = "dots"
"""Products that may be made of bf16 numbers without tiles: by dot products, or in fp32."""

_PARTS = {"mixed": 1, "split": 2, "float32": 3}
"""Parts of bf16 of each number, by precision, where tiles multiply (docs/numerics.md)."""

_STORED_PARTS = {"bfloat16": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float16": 2}
"""Most parts of bf16 that a stored number has, if fewer than three."""


class Work(NamedTuple):
    """Work that a method cannot avoid, in numbers that JSON holds.

    Attributes
    ----------
    size : bytes of the array that is read
    read : bytes that are read in all
    flops : by type, "fp32", "fp64", "tiles" or `DOTS`
    """

    size: int
    read: float
    flops: Mapping[str, float]

    def __add__(self, other: Any) -> Work:
        """Return the work of two methods, one after the other, on arrays of one size."""
        types = {**self.flops, **other.flops}
        flops = {key: self.flops.get(key, 0.0) + other.flops.get(key, 0.0) for key in types}
        return Work(self.size, self.read + other.read, flops)


def flops_of_products(A: Any, columns: float, precision: str) -> dict[str, float]:
    """Return the flops of A X for so many columns, by the type in which they are made."""
    m, n = A.shape
    flops = 2.0 * m * n * columns
    if precision == "float64":
        return {"fp64": flops}
    if not ss.show_config()["tiles"]:
        return {DOTS if precision == "mixed" else "fp32": flops}
    parts = _PARTS[precision]
    of_matrix = min(parts, _STORED_PARTS.get(A.dtype.name, 3))
    products = sum(i + j < parts for i in range(of_matrix) for j in range(parts))
    return {"tiles": flops * products}


def search(A: Any, *, passes: int, columns: int, precision: str) -> Work:
    """Return the work of so many reads and of A^T (A X) for so many columns in all."""
    flops = flops_of_products(A, 2.0 * columns, precision)
    return Work(A.nbytes, float(passes) * A.nbytes, flops)


def search_of(A: Any, result: Any) -> Work:
    """Return the work of a search that returned triplets: its steps, and the products of these."""
    columns = result.steps * result.block + len(result.s)
    return search(A, passes=result.passes, columns=columns, precision=result.precision)


def every_value(A: Any) -> Work:
    """Return the work of the Gram matrix, half of it by symmetry, and of its tridiagonal form."""
    n, m = sorted(A.shape)
    return Work(A.nbytes, float(A.nbytes), {"fp64": float(m) * n**2 + 4.0 / 3.0 * n**3})


def product(A: Any, columns: int, precision: str, *, both: bool) -> Work:
    """Return the work of A X, or of A^T (A X) as well, in one read."""
    flops = flops_of_products(A, (1.0 + both) * columns, precision)
    return Work(A.nbytes, float(A.nbytes), flops)


def reading(A: Any) -> Work:
    """Return the work of one read."""
    return Work(A.nbytes, float(A.nbytes), {})


def floor_of(work: Mapping[str, Any], peak: Mapping[str, float]) -> dict[str, Any]:
    """Return the seconds of the floor and what sets it, for a work in JSON; empty if not known."""
    rate = peak.get(str(work["size"]))
    if not rate:
        return {}
    rates = {**peak, DOTS: max(peak["fp32"], peak["bf16"])}
    read = work["read"] / rate / 1e9
    arithmetic = sum(flops / rates[key] / 1e9 for key, flops in work["flops"].items())
    return {"floor": max(read, arithmetic), "bound": "reads" if read > arithmetic else "products"}
