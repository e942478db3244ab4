# SPDX-License-Identifier: BSD-3-Clause
"""Features of one checkpoint, read layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from sigmascope import Checkpoint, Matrix

from .blocks import Doubles, Floats, Integers, prepare_rows, sample_things, unit_rows
from .circuits import read_heads
from .features import (
    SKETCH_WIDTH,
    Features,
    Layer,
    LayerFeatures,
    Order,
    choose_things,
    halve_things,
    multiply_rows,
    place_of,
    relate_things,
    sketch_features,
    sketch_rows,
)
from .premise import check_order, norms_of
from .reading import MatrixReader, check_any_layer
from .tokens import read_tokens
from .vocabularies import TOKENS, Vocabulary

ORDER_WIDTH = 64
"""Sums of features in the premise check."""

SOME_UNITS = 1024
"""Units that are compared with each other where all of them are read."""

DEEP_LAYERS = 2
"""Layers of which all rows are read where the units of the others are a sample."""

COORDINATES = 1024
"""Residual coordinates that are related to each other: half of them are permuted."""

SLOPES = ("bloom", "mpt", "jais", "baichuanforcausallm")
"""Architectures whose heads differ by number, since they have slopes (ALiBi)."""


class CheckpointModel:
    """A model whose features are read from its files when they are used."""

    def __init__(self, checkpoint: Checkpoint, *, units: int | None, seed: int) -> None:
        self._reader = MatrixReader(checkpoint)
        check_any_layer(self._reader)
        self.name, self.units, self.seed = str(checkpoint.path), units, seed
        self.slopes = (checkpoint.architecture or "").lower().startswith(SLOPES)
        self.layers: dict[Layer, int] = {
            layer: self._reader.count_of(names)
            for layer, names in sorted(
                self._reader.table.units.items(), key=lambda item: place_of(item[0])
            )
        }

    @property
    def nbytes(self) -> int:
        """Bytes that were read."""
        return self._reader.nbytes

    @property
    def is_sampled(self) -> bool:
        """True if only some of the units of a layer are read."""
        return self.units is not None and any(n > self.units for n in self.layers.values())

    def _views(self, layer: Layer, numbers: Integers, count: int) -> dict[str, Floats]:
        """Return rows of gate and up with folded norms; columns of down if all are read."""
        names, gain = self._reader.table.units[layer], self._reader.gain(layer, "mlp")
        views: dict[str, Floats] = {}
        for kind in ("gate", "up", "down"):
            if kind not in names or (kind == "down" and self._is_sample(numbers, count, names)):
                continue
            rows = self._reader.read_rows(self._reader.things(names[kind], kind), numbers)
            views[kind] = rows if gain is None or kind == "down" else rows * gain
        return views

    def _is_sample(self, numbers: Integers, count: int, names: Mapping[str, str]) -> bool:
        return len(names) > 1 and (len(numbers) < count or self._reader.remote)

    def layer(self, layer: Layer) -> LayerFeatures | None:
        """Return the features of the units of one layer."""
        count = self.layers[layer]
        numbers = sample_things(count, self.units, seed=self.seed)
        views = self._views(layer, numbers, count)
        if not views or len({rows.shape for rows in views.values()}) > 1:
            return None
        some = np.searchsorted(numbers, sample_things(count, SOME_UNITS, seed=self.seed))
        some = some if len(numbers) > SOME_UNITS else np.arange(len(numbers))
        norms = norms_of(views)[some]
        raw = choose_things(Features(count, numbers, views), some)
        relations = relate_things(raw.views, raw.numbers, count, self.seed)
        for kind in views:
            views[kind] = prepare_rows(views[kind])
        units = Features(count, numbers, views)
        sketch = sketch_features(choose_things(units, some), SKETCH_WIDTH, self.seed)
        order = check_order(sketch_features(sketch, ORDER_WIDTH, self.seed), norms)
        return LayerFeatures(units, relations, sketch, order)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The rows of the embedding, with their texts if these are known."""
        checkpoint, width = self._reader.checkpoint, self._reader.width
        ends = [checkpoint.shape_of(name) for name in self._reader.table.ends.values()]
        rows = min((rows for rows, columns in ends if columns == width), default=0)
        return Vocabulary.of(rows, read_tokens(checkpoint))

    def coordinates(self, tokens: Integers | None = None) -> tuple[Features | None, Order]:
        """Return the residual coordinates by tokens: columns of the embedding and the head.

        Parameters
        ----------
        tokens : array, optional
            Rows of the embedding, in the order of the features. Default: the sample of the
            vocabulary.
        """
        reader, p = self._reader, {}
        views: dict[str, Floats] = {}
        tokens = self.vocabulary.sample(self.seed) if tokens is None else tokens
        ends = [*reader.table.ends.items(), *reader.table.positions.items()]
        for kind, name in ends:
            rows, columns = reader.checkpoint.shape_of(name)
            if columns != reader.width:
                continue
            numbers = sample_things(rows, TOKENS, seed=self.seed) if kind == "positions" else tokens
            raw = reader.read_rows_in_order(reader.checkpoint[name], numbers).T
            features = prepare_rows(np.ascontiguousarray(raw))
            first = slice(0, COORDINATES)
            sketch = unit_rows(sketch_rows(features[first], ORDER_WIDTH, self.seed))
            alone = Features(columns, np.arange(len(sketch)), {kind: sketch})
            order = check_order(alone, norms_of({kind: raw[first]}))
            p.update({f"{kind} {statistic}": value for statistic, value in order.p.items()})
            tied = any(np.array_equal(features, other) for other in views.values())
            if kind != "positions" and not tied:
                views[kind] = features
        if not views or reader.width is None:
            return None, Order(p)
        return Features(reader.width, np.arange(reader.width), views), Order(p)

    def related_coordinates(self, layers: Sequence[Layer]) -> Features | None:
        """Return the residual coordinates by their products in some layers; all rows are read."""
        reader, width = self._reader, self._reader.width
        if reader.remote or width is None or not layers:
            return None
        numbers = sample_things(width, COORDINATES, seed=self.seed)
        free, fixed = halve_things(numbers, width, self.seed)
        views = {}
        for layer in layers:
            gain = reader.gain(layer, "mlp")
            for kind, name in reader.table.units[layer].items():
                matrix = reader.things(name, kind)
                if matrix.shape[1] == width:
                    gains = None if kind == "down" or gain is None else gain
                    halves = free, fixed
                    products = self._relate(matrix, numbers, halves, gains, kind == "down")
                    views[f"{_text(layer)} {kind}"] = products
        return Features(width, numbers[free], views) if views else None

    def _relate(
        self,
        matrix: Matrix,
        numbers: Integers,
        halves: tuple[Integers, Integers],
        gain: Floats | None,
        stored_as_rows: bool,
    ) -> Floats:
        """Return the cosines of two halves of the columns, from standardised rows."""
        free, fixed = halves
        products: Doubles = np.zeros((len(free), len(fixed)))
        squares: Doubles = np.zeros(len(numbers))
        for panel in self._columns(matrix, numbers, stored_as_rows):
            part = panel if gain is None else panel * gain[numbers]
            used = part.any(axis=0)
            part -= part.sum(axis=1, keepdims=True) / max(int(used.sum()), 1)
            part[:, ~used] = 0
            part = unit_rows(part)
            squares += np.einsum("ij,ij->j", part, part, dtype=np.float64)
            columns = np.ascontiguousarray(part.T)
            products += multiply_rows(columns[free], columns[fixed])
        norms = np.sqrt(np.where(squares > 0, squares, np.inf))
        cosines = products / norms[free][:, None] / norms[fixed]
        return prepare_rows(cosines.astype(np.float32))

    def _columns(self, matrix: Matrix, numbers: Integers, stored_as_rows: bool) -> Iterator[Floats]:
        """Yield some columns of a matrix in panels of rows; those of down are rows of the file."""
        if not stored_as_rows:
            yield from (panel[:, numbers] for panel in self._reader.panels(matrix))
            return
        columns = self._reader.read_rows(matrix.T, numbers)
        for start in range(0, columns.shape[1], 1024):
            yield np.ascontiguousarray(columns[:, start : start + 1024].T)

    def heads(self, layers: Sequence[Layer]) -> dict[Layer, Features]:
        """Return the heads of some layers, by the spectra of their circuits."""
        if self._reader.remote or self.slopes:
            return {}
        read = {layer: read_heads(self._reader, layer) for layer in layers}
        return {layer: features for layer, features in read.items() if features is not None}

    def embeddings(self, tokens: Integers) -> Floats | None:
        """Return rows of the embedding as they are."""
        name = self._reader.table.ends.get("embed")
        if name is None:
            return None
        return self._reader.read_rows_in_order(self._reader.checkpoint[name], tokens)

    def units_along(self, layer: Layer, basis: Floats) -> Features | None:
        """Return the units of one layer by their products with directions of the residual."""
        count = self.layers[layer]
        numbers = sample_things(count, self.units, seed=self.seed)
        views = self._views(layer, numbers, count)
        if not views or {rows.shape[1] for rows in views.values()} != {len(basis)}:
            return None
        directions = np.ascontiguousarray(basis.T)
        for kind in views:
            views[kind] = prepare_rows(multiply_rows(views[kind], directions))
        return Features(count, numbers, views)

    def assignable(self, layer: Layer, basis: Floats | None = None) -> dict[str, Floats]:
        """Return sketches of all rows of gate and up, along directions if they are given."""
        if self._reader.remote:
            return {}
        views: dict[str, Floats] = {}
        gain = None if basis is None else self._reader.gain(layer, "mlp")
        for kind in ("gate", "up"):
            if kind in (names := self._reader.table.units[layer]):
                matrix = self._reader.things(names[kind], kind)
                rows = self._reader.read_rows(matrix, np.arange(matrix.shape[0]))
                if basis is not None:
                    rows = rows if gain is None else rows * gain
                    rows = multiply_rows(rows, np.ascontiguousarray(basis.T))
                rows = prepare_rows(rows)
                views[kind] = unit_rows(sketch_rows(rows, SKETCH_WIDTH, self.seed))
        return views


def choose_deep(
    layers: Sequence[Layer], sampled: bool, count: int = DEEP_LAYERS
) -> tuple[Layer, ...]:
    """Return the layers of which all rows are read: all, or some that are evenly spaced."""
    if not sampled or len(layers) <= count:
        return tuple(layers)
    places = np.linspace(0, len(layers) - 1, count).round().astype(int)
    return tuple(layers[place] for place in places)


def _text(layer: Layer) -> str:
    return f"{layer.tower}.{layer.number}.{layer.expert}.{layer.part}"
