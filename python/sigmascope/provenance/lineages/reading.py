# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of a checkpoint by what they do, read by ranges of rows or columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope import Checkpoint, Matrix
from sigmascope.errors import CheckpointError

from .blocks import Floats, Integers, runs_of
from .features import Layer

UNIT_ROLES = ("gate", "up", "down")
HEAD_ROLES = ("q", "k", "v", "o")
GAINS = {"mlp": ("mlp_norm", "post_attention_norm"), "attention": ("attention_norm",)}
"""Roles of the norm before a block; the second is its name in the line of Llama."""

_FACTORS = re.compile(r"lora_|lokr_|hada_|[._]b?oft_|vera_lambda", re.IGNORECASE)
"""Parts of names of the factors that adapters store."""

PANEL_BYTES = 32 << 20
"""Bytes of float32 that are decoded at a time where a whole matrix is read."""


class LayerTable:
    """The names of matrices by role.

    Attributes
    ----------
    units : dict of Layer to dict of str to str
        Names of gate, up and down.
    heads : dict of Layer to dict of str to list of str
        Names of the heads of q, k, v and o, in their order.
    ends, positions : dict of str to str
        Names of the embedding and the head of the text tower, and of its positions.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.units: dict[Layer, dict[str, str]] = {}
        self.heads: dict[Layer, dict[str, list[str]]] = {}
        self.ends: dict[str, str] = {}
        self.positions: dict[str, str] = {}
        self.gains: dict[tuple[str, int | None, str], str] = {}
        for name in checkpoint:
            self._add(name, checkpoint.roles[name])
        for name, role in checkpoint.roles.items():
            if role.role.endswith("_norm"):
                self.gains.setdefault((role.tower, role.layer, role.role), name)

    def _add(self, name: str, role: Any) -> None:
        part = "shared_" if role.role.startswith("shared_") else ""
        kind = role.role.removeprefix("shared_")
        if role.layer is not None and kind in UNIT_ROLES:
            layer = Layer(role.tower, role.layer, role.expert, part)
            self.units.setdefault(layer, {})[kind] = name
        elif role.layer is not None and kind in HEAD_ROLES and role.head is not None:
            heads = self.heads.setdefault(Layer(role.tower, role.layer), {})
            heads.setdefault(kind, []).append(name)
        elif kind in ("embed", "unembed", "positions") and role.tower in ("text", "decoder", ""):
            (self.positions if kind == "positions" else self.ends).setdefault(kind, name)


class MatrixReader:
    """Reads the matrices of one checkpoint, and counts the bytes."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.table = LayerTable(checkpoint)
        self.nbytes = 0
        self.width = self._width()

    @property
    def remote(self) -> bool:
        """True if a file is read from another machine."""
        return bool(self.checkpoint.sources)

    def _width(self) -> int | None:
        """Return the width of the residual stream: the columns of the embedding, or of up."""
        if "embed" in self.table.ends:
            return self.checkpoint.shape_of(self.table.ends["embed"])[1]
        shapes = [
            self.checkpoint.shape_of(names["up"])
            for names in self.table.units.values()
            if "up" in names
        ]
        return min(map(min, shapes)) if shapes else None

    def rows_are_outputs(self, name: str, outputs_are_units: bool) -> bool:
        """Return whether a matrix has the orientation of torch's linear layers."""
        rows, columns = self.checkpoint.shape_of(name)
        if rows == columns or self.width is None:
            return True
        return (columns if outputs_are_units else rows) == self.width

    def things(self, name: str, kind: str) -> Matrix:
        """Return a matrix with hidden units as rows and the residual stream as columns."""
        matrix = self.checkpoint[name]
        upright = self.rows_are_outputs(name, kind != "down")
        return matrix if upright == (kind != "down") else matrix.T

    def count_of(self, names: dict[str, str]) -> int:
        """Return the number of hidden units of a layer."""
        kind = "up" if "up" in names else "gate" if "gate" in names else "down"
        rows, columns = self.checkpoint.shape_of(names[kind])
        return rows if self.rows_are_outputs(names[kind], True) == (kind != "down") else columns

    def read_rows(self, matrix: Matrix, numbers: Integers) -> Floats:
        """Return the given rows in float32; rows with an infinity or NaN become zero."""
        rows = np.empty((len(numbers), matrix.shape[1]), np.float32)
        place = 0
        for start, end in runs_of(numbers):
            rows[place : place + end - start] = np.asarray(matrix[start:end], np.float32)
            place += end - start
        self.nbytes += _share(matrix, len(numbers))
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            rows[~finite] = 0
        return rows

    def read_rows_in_order(self, matrix: Matrix, numbers: Integers) -> Floats:
        """Return the given rows, whose numbers need not be ascending."""
        order = np.argsort(numbers, kind="stable")
        rows = np.empty((len(numbers), matrix.shape[1]), np.float32)
        rows[order] = self.read_rows(matrix, numbers[order])
        return rows

    def panels(self, matrix: Matrix) -> Iterator[Floats]:
        """Yield the rows of a matrix, some megabytes at a time, in float32."""
        height = max(1, PANEL_BYTES // (4 * matrix.shape[1]))
        for start in range(0, matrix.shape[0], height):
            end = min(start + height, matrix.shape[0])
            yield self.read_rows(matrix, np.arange(start, end))

    def gain(self, layer: Layer, block: str) -> NDArray[np.float32] | None:
        """Return the gains of the norm before a block, if the file has them."""
        for role in GAINS[block]:
            name = self.table.gains.get((layer.tower, layer.number, role))
            elements = None if name is None else self.checkpoint.elements(name)
            if elements is not None and elements.count == self.width:
                values = np.concatenate([np.asarray(part, np.float32) for part in elements])
                return values if np.isfinite(values).all() and values.any() else None
        return None


def _share(matrix: Matrix, rows: int) -> int:
    """Return the bytes of so many rows."""
    return round(matrix.nbytes * rows / max(matrix.shape[0], 1))


def is_adapter(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has factors of changes by its names, and no MLP of its own."""
    factors = {name for name in checkpoint.roles if _FACTORS.search(name)}
    return bool(factors) and not any(
        checkpoint.roles[name].role.removeprefix("shared_") in UNIT_ROLES
        for name in checkpoint
        if name not in factors
    )


def check_any_layer(reader: MatrixReader) -> None:
    """Raise CheckpointError if no tensor has a role that a test can use."""
    table = reader.table
    if not table.units and not table.heads and "embed" not in table.ends:
        raise CheckpointError(
            f"{reader.checkpoint.path}: no gate, up, down, attention head or embedding is "
            "recognised by its name: pass an open checkpoint with rules= (docs/roles.md)"
        )
