# SPDX-License-Identifier: BSD-3-Clause
"""The four linear images of an update whose sums form a :class:`LinearSketch`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.native import _core
from sigmascope.matrices.arrays import check_unmasked, real_array
from sigmascope.matrices.device_arrays import on_host
from sigmascope.matrices.matrix import Matrix, multiply
from sigmascope.matrices.sources import matrix

from .factors import Factor
from .native_calls import NativeCalls

Array = NDArray[np.float64]

_RIGHT = 2**32
"""First column of the right test matrices among the random numbers of a seed."""

_ENTRIES = 2**14
"""Number of entries that are multiplied at a time."""


class Images(NamedTuple):
    """Images of an update H, without the rows that are zero since H has no entries there."""

    corange: Array
    """(Upsilon H)^T, rows from `column` on, width columns."""
    range: Array
    """H Omega^T, rows from `row` on, width columns."""
    core: Array
    """Phi H Psi^T, core x core."""
    theta: Array
    """(Theta H)^T, rows from `column` on, probes columns."""
    row: int
    column: int


class TestMatrices:
    """Gaussian Upsilon, Phi and Theta (from the left, on m), Omega and Psi (from the right, on n).

    The seed and the position decide every entry. The order of summation does not depend on the
    number of threads.
    """

    def __init__(
        self, shape: tuple[int, int], width: int, core: int, probes: int, seed: int
    ) -> None:
        self.shape, self.width, self.core, self.probes, self.seed = shape, width, core, probes, seed

    @cached_property
    def _left(self) -> Array:
        """(Upsilon | Phi | Theta)^T, m rows."""
        columns = self.width + self.core + self.probes
        return _core.gaussian(self.shape[0], columns, self.seed, 0, 1)

    @cached_property
    def _right(self) -> Array:
        """(Omega | Psi)^T, n rows."""
        return _core.gaussian(self.shape[1], self.width + self.core, self.seed, _RIGHT, 1)

    @property
    def phi(self) -> Array:
        """Phi^T, (m, core)."""
        return self._left[:, self.width : self.width + self.core]

    @property
    def psi(self) -> Array:
        """Psi^T, (n, core)."""
        return self._right[:, self.width :]

    @property
    def theta(self) -> Array:
        """Theta^T, (m, probes)."""
        return self._left[:, self.width + self.core :]

    @cached_property
    def _outer(self) -> Array:
        """(Upsilon | Theta)^T, (m, width + probes)."""
        return np.hstack([self._left[:, : self.width], self.theta])

    def of_block(self, a: Matrix, row: int, column: int, calls: NativeCalls) -> Images:
        """Return the images of a dense block whose first entry is at (row, column)."""
        rows, columns = slice(row, row + a.shape[0]), slice(column, column + a.shape[1])
        product, on = calls.module.product_f64, calls.options
        images = product(a.native, self._right[columns], "multiply", **on)
        adjoints = product(a.native, self._outer[rows], "adjoint", **on)
        core = _inner(self.phi[rows], images[:, self.width :])
        return self._images(images, adjoints, core, row, column)

    def of_outer(self, U: Factor, V: Factor) -> Images:
        """Return the images of U V^T, for U (m, p) and V (n, p)."""
        small, adjoint = V.product(self._right, "adjoint"), U.product(self._outer, "adjoint")
        images = U.product(small, "multiply")
        core = _inner(U.product(self.phi, "adjoint"), small[:, self.width :])
        return self._images(images, V.product(adjoint, "multiply"), core, 0, 0)

    def of_entries(self, i: NDArray[Any], j: NDArray[Any], values: Array) -> Images:
        """Return the images of a matrix with values[t] at (i[t], j[t]); at least one entry."""
        core = np.zeros((self.core, self.core))
        for t in range(0, len(values), _ENTRIES):
            part = slice(t, t + _ENTRIES)
            core += _inner(self.phi[i[part]] * values[part, None], self.psi[j[part]])
        images = _scattered(i, j, values, self._right[:, : self.width])
        adjoints = _scattered(j, i, values, self._outer)
        return self._images(images, adjoints, core, int(i.min()), int(j.min()))

    def _images(self, images: Array, adjoints: Array, core: Array, row: int, column: int) -> Images:
        upsilon, theta = np.hsplit(adjoints, [self.width])
        return Images(upsilon, images[:, : self.width], core, theta, row, column)

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments of the constructor; the random numbers follow from the seed."""
        names = ("shape", "width", "core", "probes", "seed")
        return {name: getattr(self, name) for name in names}


def entries(
    i: Any, j: Any, values: Any, shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any], Array]:
    """Return indices and values as arrays; ValueError if an index is outside `shape`.

    Arrays on a GPU are copied to the host.
    """
    i, j, values = (on_host(x) for x in (i, j, values))
    check_unmasked((i, j))
    rows, cols, numbers = np.asarray(i), np.asarray(j), real_array(values)
    if not rows.shape == cols.shape == numbers.shape or numbers.ndim != 1:
        shapes = f"{rows.shape}, {cols.shape} and {numbers.shape}"
        raise ValueError(f"i, j and values must be vectors of one length, not of shapes {shapes}")
    if len(numbers) == 0:
        return rows, cols, numbers
    for name, places, extent in (("i", rows, shape[0]), ("j", cols, shape[1])):
        if places.dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, not {places.dtype}")
        if places.min() < 0 or places.max() >= extent:
            seen = f"{places.min()} to {places.max()}"
            raise ValueError(f"{name} is {seen}, but the sketch has shape {shape}")
    return rows, cols, numbers


def _inner(x: Array, y: Array) -> Array:
    """Compute x^T y with bits that do not depend on the number of threads, unlike NumPy."""
    return multiply(matrix(x).T, y)


def _scattered(places: NDArray[Any], others: NDArray[Any], values: Array, test: Array) -> Array:
    """Sum values[t] * test[others[t]] into row places[t] - min(places), in the order of t."""
    first = int(places.min())
    total = np.zeros((int(places.max()) - first + 1, test.shape[1]))
    for t in range(0, len(values), _ENTRIES):
        part = slice(t, t + _ENTRIES)
        np.add.at(total, places[part] - first, values[part, None] * test[others[part]])
    return total
