# SPDX-License-Identifier: BSD-3-Clause
"""Fingerprints: files of a megabyte or two that stand for a model in tests of lineage."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError
from sigmascope.extension import read_regular, replacing

from .blocks import Floats, Integers, unit_rows
from .extraction import CheckpointModel, choose_deep
from .features import Features, Layer, LayerFeatures, Order
from .sketched import FINGERPRINT_WIDTH, SketchedModel, among
from .vocabularies import Vocabulary

FORMAT = 1
MOST_BYTES = 256 << 20
"""Larger files are refused. A model of 7 billion parameters has 2 MB."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of one kind of things in int8: each row is scaled to its largest entry."""

    count: int
    numbers: NDArray[np.int32]
    views: Mapping[str, NDArray[np.int8]]

    def features(self) -> Features:
        """Return the rows as unit rows."""
        views = {kind: unit_rows(rows.astype(np.float32)) for kind, rows in self.views.items()}
        return Features(self.count, self.numbers.astype(np.int64), views)


def store(features: Features) -> Stored:
    """Round unit rows to int8."""
    views = {}
    for kind, rows in features.views.items():
        largest = np.abs(rows).max(axis=1, keepdims=True)
        scaled = rows / np.where(largest > 0, largest, 1) * 127
        views[kind] = np.round(scaled).astype(np.int8)
    return Stored(features.count, features.numbers.astype(np.int32), views)


class Fingerprint:
    """A sketch of a model that stands for it in :func:`lineage`, with the hash of its files.

    :func:`fingerprint` makes it, and :meth:`load` reads it. It has no weights: 16 sums of the
    prepared rows of each unit in int8. Match of permuted units needs the files.

    Attributes
    ----------
    name : str
        The path of the checkpoint.
    source : tuple of mapping
        Name, size and digest of each file of the checkpoint.
    units : int or None
        Most units that were read of a layer.
    seed : int
        Seed of the samples and of the map.
    slopes : bool
        True if the heads differ by number.
    layers : dict of Layer to int
        The number of hidden units of each layer.
    """

    nbytes = 0
    """A fingerprint reads no weights."""

    def __init__(self, header: Mapping[str, Any], parts: Mapping[str, Stored]) -> None:
        self._header, self._parts = header, parts
        self.name: str = header["name"]
        self.source = tuple(header["source"])
        self.units: int | None = header["units"]
        self.seed: int = header["seed"]
        self.slopes: bool = header["slopes"]
        self.layers = {
            Layer(*place): int(count)
            for place, count in zip(header["layers"], header["hidden"], strict=True)
        }

    def __repr__(self) -> str:
        """Return the name and the number of layers."""
        return f"<Fingerprint of {self.name!r}: {len(self.layers)} layers>"

    def layer(self, layer: Layer) -> LayerFeatures | None:
        """Return the features of the units of one layer."""
        parts = [self._parts.get(key_of(kind, layer)) for kind in ("units", "relations", "sketch")]
        if any(part is None for part in parts):
            return None
        units, relations, sketch = (part.features() for part in parts if part is not None)
        order = Order(self._header["order"][key_of("order", layer)])
        return LayerFeatures(units, relations, among(units, sketch), order)

    @property
    def vocabulary(self) -> Vocabulary:
        """The rows of the embedding, and the digest of their texts."""
        return Vocabulary(*self._header["vocabulary"])

    def coordinates(self, tokens: Integers | None = None) -> tuple[Features | None, Order]:
        """Return the residual coordinates by tokens, and whether their order is information."""
        assert tokens is None, "a fingerprint has one sample of tokens"
        part = self._parts.get("coordinates")
        order = Order(self._header["order"]["coordinates"])
        return None if part is None else part.features(), order

    def related_coordinates(self, layers: Sequence[Layer]) -> Features | None:
        """Return the residual coordinates by their products in the layers that were read."""
        part = self._parts.get("related coordinates")
        return None if part is None else part.features()

    def heads(self, layers: Sequence[Layer]) -> dict[Layer, Features]:
        """Return the heads of some layers."""
        parts = {layer: self._parts.get(key_of("heads", layer)) for layer in layers}
        return {layer: part.features() for layer, part in parts.items() if part is not None}

    def embeddings(self, tokens: Integers) -> Floats | None:
        """Return nothing: a fingerprint has no rows of weights."""
        return None

    def units_along(self, layer: Layer, basis: Floats) -> Features | None:
        """Return nothing: a fingerprint has no rows of weights."""
        return None

    def assignable(self, layer: Layer, basis: Floats | None = None) -> dict[str, Floats]:
        """Return nothing: a fingerprint is too small to match units."""
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fingerprint as .npz; equal fingerprints have equal bytes.

        Raises
        ------
        ValueError
            If the path does not end with .npz.
        """
        place = Path(path)
        if place.suffix != ".npz":
            raise ValueError(f"{place}: a fingerprint is saved as .npz, not {place.suffix!r}")
        index: dict[str, Any] = {}
        arrays: list[NDArray[Any]] = []
        places: dict[bytes, int] = {}
        for key, part in self._parts.items():
            numbers = part.numbers.tobytes()
            if numbers not in places:  # the layers of a model mostly have the same sample
                places[numbers] = len(arrays)
                arrays.append(part.numbers)
            views = {}
            for kind, rows in part.views.items():
                views[kind] = len(arrays)
                arrays.append(rows)
            index[key] = {"count": part.count, "numbers": places[numbers], "views": views}
        text = json.dumps({**self._header, "format": FORMAT, "parts": index})
        header = np.frombuffer(text.encode("utf-8"), np.uint8)
        with replacing(place) as temporary, temporary.open("wb") as file:
            named: dict[str, Any] = {f"a{i}": array for i, array in enumerate(arrays)}
            np.savez(file, header=header, **named)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fingerprint:
        """Read a fingerprint.

        Raises
        ------
        CheckpointError
            If the file is not a fingerprint, or larger than 256 MB.
        """
        data = read_regular(Path(path), MOST_BYTES)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(each.file_size for each in archive.infolist()) > MOST_BYTES:
                    raise ValueError("its arrays are larger than 256 MB")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                header = json.loads(bytes(arrays["header"]).decode("utf-8"))
                if header["format"] != FORMAT:
                    raise ValueError(f"its format is {header['format']}, not {FORMAT}")
                parts = {
                    key: _read_part(entry, arrays) for key, entry in header.pop("parts").items()
                }
            return cls(header, parts)
        except (ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: not a fingerprint of a model: {error}") from error


def _read_part(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Stored:
    numbers = arrays[f"a{entry['numbers']}"]
    views = {kind: arrays[f"a{place}"] for kind, place in entry["views"].items()}
    if numbers.dtype != np.int32 or numbers.ndim != 1 or np.any(np.diff(numbers) <= 0):
        raise ValueError("the numbers of its things are not ascending")
    if any(
        rows.dtype != np.int8 or rows.ndim != 2 or len(rows) != len(numbers)
        for rows in views.values()
    ):
        raise ValueError("its rows are not int8, or not one for each thing")
    return Stored(int(entry["count"]), numbers, views)


def key_of(kind: str, layer: Layer) -> str:
    """Return the name of a part of a layer."""
    return f"{kind} {layer.tower}.{layer.number}.{layer.expert}.{layer.part}"


def sketch_model(model: CheckpointModel, source: Sequence[Mapping[str, Any]]) -> Fingerprint:
    """Return the fingerprint of an open model."""
    sketched = SketchedModel(model, FINGERPRINT_WIDTH)
    parts: dict[str, Stored] = {}
    orders: dict[str, dict[str, float]] = {}
    for layer in model.layers:
        features = sketched.layer(layer)
        if features is not None:
            parts[key_of("units", layer)] = store(features.units)
            parts[key_of("relations", layer)] = store(features.relations)
            numbers = features.sketch.numbers
            parts[key_of("sketch", layer)] = Stored(
                features.sketch.count, numbers.astype(np.int32), {}
            )
            orders[key_of("order", layer)] = dict(features.order.p)
    coordinates, order = sketched.coordinates()
    orders["coordinates"] = dict(order.p)
    deep = choose_deep(list(model.layers), model.is_sampled)
    places = list(dict.fromkeys(Layer(layer.tower, layer.number) for layer in model.layers))
    named = {
        "coordinates": coordinates,
        "related coordinates": sketched.related_coordinates(deep),
        **{
            key_of("heads", layer): heads
            for layer, heads in sketched.heads(choose_deep(places, model.is_sampled)).items()
        },
    }
    parts |= {key: store(each) for key, each in named.items() if each is not None}
    header = {
        "kind": "fingerprint",
        "name": model.name,
        "source": list(source),
        "units": model.units,
        "seed": model.seed,
        "width": FINGERPRINT_WIDTH,
        "slopes": model.slopes,
        "vocabulary": [model.vocabulary.rows, model.vocabulary.digest],
        "layers": [list(layer) for layer in model.layers],
        "hidden": list(model.layers.values()),
        "order": orders,
    }
    return Fingerprint(header, parts)
