# SPDX-License-Identifier: BSD-3-Clause
"""A direction of the residual stream that the updates of many layers share.

Matrices that read the residual stream (q, k, v, gate, up) have it on their right side. Matrices
that write to it (o, down) have it on their left. On that side, the leading singular vectors of each
update span a subspace; P is the mean of the projectors onto these subspaces. The largest eigenvalue
of P is 1 if all subspaces share a direction, and near 1 over their number if they share none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import public
from sigmascope._running.vectors import vectors_path
from sigmascope.checkpoint import open_checkpoint
from sigmascope.spectra.statistics.marchenko_pastur import TRACY_WIDOM_99

READERS = frozenset(("q", "k", "v", "qkv", "gate", "up", "gate_up"))
WRITERS = frozenset(("o", "down"))
"""Roles of the matrices that read the residual stream, and of the matrices that write to it."""

LEADING = 4
"""Leading directions of each update by default."""


@dataclass(frozen=True, slots=True)
class SharedDirection:
    """The direction of one tower that its updates share most.

    Attributes
    ----------
    tower : str
    width : int
        Dimension of the residual stream.
    matrices, leading : int
        Number of updates, and number of leading directions of each.
    value : float
        Largest eigenvalue of the mean projector, in [1 / matrices, 1].
    chance : float
        The value that independent random subspaces do not exceed in 99 of 100 cases.
    direction : ndarray (width,)
        The direction, of norm 1; its sign has no meaning.
    """

    tower: str
    width: int
    matrices: int
    leading: int
    value: float
    chance: float
    direction: NDArray[np.float64]

    @property
    def beyond_chance(self) -> bool:
        """True if chance explains the value in less than one case of a hundred."""
        return self.value > self.chance


@public
def shared_directions(
    rows: Iterable[Mapping[str, Any]],
    folder: str | os.PathLike[str],
    *,
    leading: int = LEADING,
) -> list[SharedDirection]:
    """Find the direction that the updates of each tower share most.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of a comparison that was made with ``vectors=folder``.
    folder : path
        The folder with the vectors.
    leading : int
        Number of leading directions of each update.

    Returns
    -------
    list of SharedDirection
        One for each tower with at least two updates of one width.

    Raises
    ------
    ValueError
        If `leading` is less than 1.
    CheckpointError, OSError
        If the file of an analysed pair is missing or damaged.

    See Also
    --------
    compare : Writes the vectors, with its option `vectors`.

    Notes
    -----
    Memory holds the vectors of one tower, and a Gram matrix of order `matrices` times `leading`.

    Examples
    --------
    >>> comparison = compare("base/", "tuned/", vectors="vectors/")   # doctest: +SKIP
    >>> shared_directions(comparison.rows, "vectors/")               # doctest: +SKIP
    """
    if leading < 1:
        raise ValueError(f"leading = {leading} must be at least 1")
    bases: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    for row in rows:
        side = _side(row)
        if side is not None and row["relative_change"]:
            for basis in _leading(os.fspath(folder), row["name"], side, leading):
                bases.setdefault((row["tower"], len(basis)), []).append(basis)
    return [_shared(*key, group) for key, group in bases.items() if len(group) > 1]


def _side(row: Mapping[str, Any]) -> str | None:
    if row["status"] != "analysed" or row["tower"] is None:
        return None
    return "Vt" if row["role"] in READERS else "U" if row["role"] in WRITERS else None


def _leading(folder: str, name: str, side: str, leading: int) -> Iterator[NDArray[np.float64]]:
    saved = open_checkpoint(vectors_path(folder, name))
    key = f"{name}.delta.{side}"
    if key in saved:
        vectors = np.asarray(saved[key], dtype=np.float64)
        yield (vectors.T if side == "Vt" else vectors)[:, :leading]


def _shared(tower: str, width: int, bases: list[NDArray[np.float64]]) -> SharedDirection:
    B = np.hstack(bases)  # d x (L r): the mean projector is B B^T / L
    values, vectors = np.linalg.eigh(B.T @ B)
    direction = B @ vectors[:, -1]
    most = max(basis.shape[1] for basis in bases)
    return SharedDirection(
        tower,
        width,
        len(bases),
        most,
        float(values[-1]) / len(bases),
        chance_of(width, len(bases), most),
        direction / np.linalg.norm(direction),
    )


def chance_of(width: int, matrices: int, leading: int) -> float:
    """Return the value that random subspaces do not exceed in 99 of 100 cases.

    The edge of the sum of L free projectors of the trace p = r / d (Voiculescu, Dykema & Nica 1992)
    is 1 + (L - 2) p + 2 sqrt((L - 1) p (1 - p)). The fluctuations about it are assumed to be those
    of the largest eigenvalue of a Wishart matrix of the same shape (Johnstone 2001).
    """
    L, p = matrices, min(leading / width, 1.0)
    edge = 1 + (L - 2) * p + 2 * math.sqrt((L - 1) * p * (1 - p))
    columns = L * leading
    root = math.sqrt(width) + math.sqrt(columns)
    width_of = root * math.cbrt(1 / math.sqrt(width) + 1 / math.sqrt(columns)) / width
    return min((edge + TRACY_WIDOM_99 * width_of) / L, 1.0)
