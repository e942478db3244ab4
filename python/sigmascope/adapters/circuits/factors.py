# SPDX-License-Identifier: BSD-3-Clause
"""The factors of circuits: the rows of a head, with the gains of norms multiplied in.

A factor is a matrix of d_head rows and as many columns as the model is wide. It may be stored as
one matrix, or, in DeepSeek's latent attention, as a product through the latent vector; there the
rotated rows of all heads' keys are stored apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint import Checkpoint
from sigmascope.errors import CheckpointError
from sigmascope.matrices.matrix import Matrix

Array = NDArray[np.float64]

KEPT = 2**27
"""Largest number of stored bytes of a matrix that is kept to cut columns out of it."""


@dataclass(frozen=True, slots=True)
class Gain:
    """The gains of a norm, or those of one head.

    `offset` is added to the stored numbers. `head` selects one head's numbers if the norm has
    numbers for all heads.
    """

    name: str
    offset: float = 0.0
    head: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a stored matrix; all rows if `rows` is None. `transposed` if stored so."""

    name: str
    rows: tuple[int, int] | None = None
    transposed: bool = False

    def shape(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """Return numbers of rows and columns."""
        m, n = checkpoint.shape_of(self.name)
        m, n = (n, m) if self.transposed else (m, n)
        return (m if self.rows is None else self.rows[1] - self.rows[0]), n


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a factor: one block, or a product `outer` diag(`between`) `inner`."""

    outer: Block
    between: Gain | None = None
    inner: Block | None = None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The stored blocks."""
        return (self.outer,) if self.inner is None else (self.outer, self.inner)


@dataclass(frozen=True, slots=True)
class Factor:
    """The rows of one head: `pieces` below each other, gains of the input, gains of the output."""

    pieces: tuple[Piece, ...]
    columns: Gain | None = None
    rows: Gain | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the matrices."""
        return tuple(block.name for piece in self.pieces for block in piece.blocks)

    @property
    def plain(self) -> bool:
        """True if the rows are stored as they are, apart from gains."""
        return all(piece.inner is None for piece in self.pieces)

    def shape(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """Return numbers of rows and columns."""
        rows = sum(piece.outer.shape(checkpoint)[0] for piece in self.pieces)
        return rows, self.pieces[0].blocks[-1].shape(checkpoint)[1]

    def nbytes(self, checkpoint: Checkpoint) -> int:
        """Return the stored bytes of the rows and, in a product, of all that it multiplies."""
        total = 0
        for piece in self.pieces:
            for block in piece.blocks:
                whole = checkpoint.view_of(block.name)
                count = whole.shape[int(block.transposed)]
                total += whole.nbytes * block.shape(checkpoint)[0] // count
        return total


class FactorReader:
    """Reader of factors in float64, which keeps the gains and the last matrix that it has read.

    The columns of a head are scattered over its matrix in the file, so the first head reads all.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._gains: dict[str, Array] = {}
        self._last: tuple[str, Matrix] | None = None
        self._lock = Lock()

    def read(self, factor: Factor) -> Array:
        """Return a factor; every stored number is exact, and each gain rounds it once."""
        array = np.concatenate([self._piece(piece) for piece in factor.pieces])
        if factor.columns is not None:
            array = array * self.gain(factor.columns, array.shape[1])
        if factor.rows is not None:
            array = array * self.gain(factor.rows, array.shape[0])[:, None]
        return array

    def gain(self, gain: Gain, count: int) -> Array:
        """Return `count` gains of a norm.

        Raises
        ------
        CheckpointError
            The norm holds another number of gains.
        """
        stored = self._stored(gain.name)
        first = gain.head * count if len(stored) != count else 0
        if len(stored) % count or first + count > len(stored):
            raise CheckpointError(
                f"{gain.name}: {len(stored)} gains do not fit {count} numbers of a head"
            )
        return np.asarray(stored[first : first + count] + gain.offset)

    def count(self, gain: Gain) -> int:
        """Return the number of gains that a norm holds."""
        return len(self._stored(gain.name))

    def _stored(self, name: str) -> Array:
        if name not in self._gains:
            chunks = self._checkpoint.elements(name)
            if chunks is None:
                raise CheckpointError(f"{name}: the gains of this norm cannot be decoded")
            parts = [np.asarray(chunk, dtype=np.float64).ravel() for chunk in chunks]
            self._gains[name] = np.concatenate(parts)
        return self._gains[name]

    def _piece(self, piece: Piece) -> Array:
        outer = self._block(piece.outer)
        if piece.inner is None:
            return outer
        if piece.between is not None:
            outer = outer * self.gain(piece.between, outer.shape[1])
        return np.asarray(outer @ self._block(piece.inner))

    def _block(self, block: Block) -> Array:
        stored = self._matrix(block.name)
        stored = stored.T if block.transposed else stored
        stored = stored if block.rows is None else stored[slice(*block.rows)]
        return np.asarray(stored, dtype=np.float64)

    def _matrix(self, name: str) -> Matrix:
        view = self._checkpoint.view_of(name)
        full = replace(view, cut=None)
        if view.cut is None or view.cut.axis == 0 or full.nbytes > KEPT:
            return self._checkpoint[name]
        with self._lock:
            label = view.name.removesuffix(f"[head {view.head}]")
            if self._last is None or self._last[0] != label:
                self._last = None  # frees its memory before the next read
                self._last = label, full.matrix(self._checkpoint.reading).load()
            return view.cut_from(self._last[1])


def storage_of(checkpoint: Checkpoint, factor: Factor) -> str:
    """Return the stored format of a factor's numbers; "mixed" if it is a product."""
    kinds = {checkpoint.outline(name).storage for name in factor.names}
    return kinds.pop() if factor.plain and len(kinds) == 1 else "mixed"
