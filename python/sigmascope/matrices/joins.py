# SPDX-License-Identifier: BSD-3-Clause
"""Matrices made of matrices: joined shards, outer products, matrices partly in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import public
from sigmascope._host.native import _core

from .arrays import check_unmasked
from .matrix import Matrix
from .sources import matrix


@public
def block(parts: Sequence[Sequence[Any]]) -> Matrix:
    """Join shards into one matrix, as ``numpy.block`` does, lazily.

    Parameters
    ----------
    parts : list of lists
        Rows of matrices (anything that :func:`matrix` takes). Matrices in a row need equal heights,
        and all rows equal total widths. Dtypes may differ.

    Raises
    ------
    ValueError
        If the shapes do not fit. The message names both.

    See Also
    --------
    vstack, hstack : Joins along one axis.
    matrix : Sources of a part.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> ss.block([[np.eye(2), np.zeros((2, 3))], [np.ones((1, 5))]]).shape
    (3, 5)
    """
    if len(parts) == 0 or any(len(row) == 0 for row in parts):
        raise ValueError("block needs at least one matrix in every row")
    return vstack([hstack(row) for row in parts])


@public
def vstack(parts: Sequence[Any]) -> Matrix:
    """Join matrices of equal width, one below the other, lazily; ValueError if widths differ.

    See Also
    --------
    hstack, block : Other joins.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> ss.vstack([np.eye(2), np.ones((3, 2))]).shape
    (5, 2)
    """
    return hstack([matrix(part).T for part in parts], _names=("width", 1)).T


@public
def hstack(parts: Sequence[Any], *, _names: tuple[str, int] = ("height", 0)) -> Matrix:
    """Join matrices of equal height, side by side, lazily; ValueError if heights differ.

    See Also
    --------
    vstack, block : Other joins.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> ss.hstack([np.eye(2), np.ones((2, 3))]).shape
    (2, 5)
    """
    matrices = [matrix(part) for part in parts]
    if not matrices:
        raise ValueError("there are no matrices to join")
    rows = matrices[0].shape[0]
    for part in matrices:
        if part.shape[0] != rows:
            raise ValueError(f"cannot join matrices of {_names[0]} {rows} and {part.shape[0]}")
    ends = list(accumulate(part.shape[1] for part in matrices))
    parts = [
        (part.native, 0, end - part.shape[1]) for part, end in zip(matrices, ends, strict=True)
    ]
    return Matrix(_core.Matrix.joined(rows, ends[-1], parts))


def outer(u: NDArray[np.floating], v: NDArray[np.floating]) -> Matrix:
    """Make the outer product u v^T of two vectors, lazily, in O(m + n) memory.

    All rows of its tile are v (stride 0), and each row has a scale. Scales are float32; if u has
    more digits, a second tile has its rounding errors as scales.
    """
    check_unmasked((u, v))
    rows = matrix(np.broadcast_to(v, (len(u), len(v)))).native
    high = u.astype(np.float32)
    parts = [high, low] if (low := (u - high).astype(np.float32)).any() else [high]
    tiles = [Matrix(rows.with_scale(part[:, None], 1, len(v))) for part in parts]
    return sum(tiles[1:], tiles[0])


def partly_loaded(a: Matrix, room: int) -> tuple[Matrix, int]:
    """Read the leading rows that fit into memory, or columns if the matrix is stored by columns.

    Returns
    -------
    Matrix, int
        The same matrix, and the number of its bytes that are now in memory, at most `room`.
    """
    by_columns = a.native.column_major
    b = a.T if by_columns else a
    rows = min(b.shape[0] * room // b.nbytes, b.shape[0])
    if rows == 0:
        return a, 0
    first = b[:rows].load()
    both = vstack([first, b[rows:]])
    return both.T if by_columns else both, first.nbytes
