# SPDX-License-Identifier: BSD-3-Clause
"""One huge matrix: workers multiply blocks of its rows, and this process does the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.native import _core
from sigmascope._words.text import amount
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.matrix import Matrix

from .memory import Need
from .options import CallOptions
from .workers import Workers, row_blocks


def operand(a: Matrix, options: CallOptions) -> Any:
    """Return the operator that a native algorithm multiplies with.

    It is the matrix itself, its workers, or the linear operator that replaces it.
    """
    if options.operator is not None:
        return options.operator
    return a.native if options.executor is None else DistributedOperator(a, options)


class DistributedOperator:
    """A matrix as a linear operator whose products are computed by workers.

    Sums over blocks are in float64 and in the order of the blocks. The blocks depend only on the
    shape. Therefore no bit of a result depends on the executor, on the number of its workers, or on
    the order in which they finish.

    Attributes
    ----------
    rows, cols : int
        Shape of the operator: the matrix or its transpose, whichever is tall.
    flipped : bool
        Whether the operator is the transpose.
    exponent : int
        The operator is multiplied by 2^-exponent, so its largest entry is at most 1.
    fro2 : float
        The square of the Frobenius norm of the multiplied operator.
    looks : int
        Reads of the matrix so far.
    fingerprint : int
        A hash of the numbers of the matrix; see :class:`sigmascope._execution.options.CallOptions`.
    norm_is_bound, absolute_error, relative_error
        False, 0 and 0: the norm is exact, and products have no error beyond rounding.

    Notes
    -----
    A step of b columns sends X (cols x b) with every block and gets as much back. `gram` gets a
    cols x cols matrix for every block. If a wide matrix is stored row after row, its blocks are
    columns. The worker of a block then reads it into memory, strided, 2 KiB or more at a time,
    since blocks of rows would be read twice in every step. A worker that reads a block again finds
    it in the system's page cache, or reads the file again.
    """

    norm_is_bound = False
    absolute_error = relative_error = 0.0

    def __init__(self, a: Matrix, options: CallOptions) -> None:
        self.flipped = a.shape[0] < a.shape[1]
        tall = a.T if self.flipped else a
        self.rows, self.cols = tall.shape
        self._cuts = row_blocks(tall.shape)
        self._options = options
        self._workers = Workers(options)
        self.exponent, self.fro2, self.looks, self.fingerprint = _surveyed(a, self._workers)
        self._workers.hold([tall[i0:i1] * 2.0**-self.exponent for i0, i1 in self._cuts])

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A x, (rows, b), for x (cols, b)."""
        height = self._cuts[0][1]
        parts = self._each("multiply", x, height * x.shape[1] * x.itemsize)
        return np.concatenate(list(parts))

    def multiply_adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return A^T y, (cols, b), for y (rows, b)."""
        pieces = [y[i0:i1] for i0, i1 in self._cuts]
        size = self.cols * y.shape[1] * y.itemsize
        return _sum(self._workers.each("adjoint", pieces, size)).astype(y.dtype)

    def gram_step(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A^T (A x), (cols, b)."""
        return _sum(self._each("step", x, x.nbytes)).astype(x.dtype)

    def steer(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A^T (A x), (cols, b), from products rounded to bfloat16."""
        return _sum(self._each("steer", x, x.nbytes)).astype(x.dtype)

    def gram_step_with_image(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return A^T (A x), and A x."""
        total, images = np.zeros(x.shape), []
        size = (self.cols + self._cuts[0][1]) * x.shape[1] * x.itemsize
        for z, y in self._each("gram", x, size):
            total += z
            images.append(y)
        return total.astype(x.dtype), np.concatenate(images)

    def gram(self) -> NDArray[np.float64]:
        """Return A^T A in float64: the upper triangle of (cols, cols)."""
        size = 8 * self.cols**2
        need = Need(4 * size, 0)
        if not self._options.has(need):
            what = f"the Gram matrix of order {self.cols}, with those of its blocks,"
            needed = amount(need.plus(self._options.reserved).limit)
            raise MemoryLimitError(self._options.refusal(what, needed))
        return _sum(self._each("gram matrix", None, size))

    def _each(self, verb: str, x: Any, result_bytes: int) -> Iterator[Any]:
        return self._workers.each(verb, [x] * len(self._cuts), result_bytes)


def moments(a: Matrix, options: CallOptions, *, histogram: bool) -> dict[str, Any]:
    """Compute the same as `_core.moments`, block by block; merge sums by Pebay's formulas."""
    flipped = a.shape[0] < a.shape[1]
    cuts = row_blocks(a.shape[::-1] if flipped else a.shape)
    workers = Workers(options)
    workers.hold(_stored_blocks(a, cuts, flipped))
    along, across = ("column", "row") if flipped else ("row", "column")
    merged: dict[str, Any] = {}
    lines: list[NDArray[np.float64]] = []
    size = 8 * sum(a.shape) + 8 * 2**16
    for (start, _), raw in zip(
        cuts, workers.each("moments", [histogram] * len(cuts), size), strict=True
    ):
        lines.append(raw.pop(f"{along}_squares"))
        raw["first_nonfinite"] = _moved(raw["first_nonfinite"], start, flipped)
        merged = _merged(merged, raw, across) if merged else raw
    merged[f"{along}_squares"] = np.concatenate(lines)
    return merged


def _merged(a: dict[str, Any], b: dict[str, Any], across: str) -> dict[str, Any]:
    """Return the moments of the entries of two blocks together (Pebay 2008)."""
    added = ("zeros", "nan", "inf", "sum_squares", f"{across}_squares", "count")
    both = {name: a[name] + b[name] for name in added}
    both["least"] = min(a["least"], b["least"])
    both["histogram"] = None if a["histogram"] is None else a["histogram"] + b["histogram"]
    places = [raw["first_nonfinite"] for raw in (a, b) if raw["first_nonfinite"] is not None]
    both["first_nonfinite"] = min(places, default=None)
    p, q, n = a["count"], b["count"], both["count"]
    if p == 0 or q == 0:
        one = b if p == 0 else a
        return both | {name: one[name] for name in ("mean", "m2", "m3", "m4", "min", "max")}
    d = b["mean"] - a["mean"]
    u, v = p / n, q / n
    d2 = d * d
    both["mean"] = a["mean"] + v * d
    both["m2"] = a["m2"] + b["m2"] + d2 * p * v
    both["m3"] = a["m3"] + b["m3"] + d2 * d * p * v * (u - v) + 3 * d * (u * b["m2"] - v * a["m2"])
    both["m4"] = (
        a["m4"]
        + b["m4"]
        + d2 * d2 * p * v * (u * u - u * v + v * v)
        + 6 * d2 * (u * u * b["m2"] + v * v * a["m2"])
        + 4 * d * (u * b["m3"] - v * a["m3"])
    )
    return both | {"min": min(a["min"], b["min"]), "max": max(a["max"], b["max"])}


def _stored_blocks(a: Matrix, cuts: list[tuple[int, int]], flipped: bool) -> list[Matrix]:
    """Return the blocks as they lie in the caller's matrix."""
    return [a[:, i0:i1] if flipped else a[i0:i1] for i0, i1 in cuts]


def _moved(place: tuple[int, int] | None, start: int, flipped: bool) -> tuple[int, int] | None:
    """Convert the position of an entry in a block to its position in the caller's matrix."""
    if place is None:
        return None
    return (place[0], place[1] + start) if flipped else (place[0] + start, place[1])


def _surveyed(a: Matrix, workers: Workers) -> tuple[int, float, int, int]:
    """Read a matrix once; return its exponent, sum of squares, reads and fingerprint.

    The exponent belongs to the largest entry. The sum is in units of 4^exponent.

    Raises
    ------
    NonFiniteError
        If an entry is NaN or infinite.
    """
    flipped = a.shape[0] < a.shape[1]
    cuts = row_blocks(a.shape[::-1] if flipped else a.shape)
    workers.hold(_stored_blocks(a, cuts, flipped))
    largest, nans, infinities, squares = 0.0, 0, 0, []
    places = []
    digest = [0, 0]
    blocks = [((0, i0) if flipped else (i0, 0), a.shape) for i0, _ in cuts]
    for (start, _), seen in zip(cuts, workers.each("survey", blocks, 1), strict=True):
        digest = [(x + y) % 2**64 for x, y in zip(digest, seen["digest"], strict=True)]
        largest = max(largest, seen["largest"])
        squares.append((seen["fro2"], seen["unit"]))
        nans += seen["nan"]
        infinities += seen["inf"]
        place = _moved(seen["first_nonfinite"], start, flipped)
        if place is not None:
            places.append(place)
    if places:
        raise NonFiniteError(
            f"the matrix holds {nans} NaN and {infinities} infinite entries, "
            f"the first at {min(places)}"
        )
    exponent = _core.door_exponent(a.native, largest)
    fro2 = sum(math.ldexp(x, 2 * (unit - exponent)) for x, unit in squares)
    fingerprint = _core.fingerprint((digest[0], digest[1]), largest, *a.shape)
    return exponent, fro2, 1 + any(unit for _, unit in squares), fingerprint


def _sum(terms: Iterator[NDArray[Any]]) -> NDArray[np.float64]:
    """Sum terms in float64, in the order in which they come."""
    total = next(terms).astype(np.float64)
    for term in terms:
        total += term
    return total
