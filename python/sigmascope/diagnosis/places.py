# SPDX-License-Identifier: BSD-3-Clause
"""The digest of one comparison: the spread of its update at each place of the model.

The statistic of a matrix is x = ln(effective rank / min(m, n)) of its projected update: dW without
the component along W. A place is a tower, a group of roles and a band of relative depth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple

from sigmascope.extension.tables import Row

STATISTIC = "projected_effective_rank"
"""Column of a comparison that gives the statistic of a matrix."""

GROUPS = {
    "q": "attention in",
    "k": "attention in",
    "v": "attention in",
    "qkv": "attention in",
    "o": "attention out",
    "gate": "mlp in",
    "up": "mlp in",
    "gate_up": "mlp in",
    "down": "mlp out",
}
"""Group of each counted role; matrices of other roles are left out."""

_OF_A_BULK = ("delta_mp_outliers", "delta_shoulder_286")
"""Columns that the change of an adapter lacks: it has no bulk, and so no median."""

EMBEDDING = "embed"
"""Role of the input embedding, whose rows belong to tokens."""

BANDS, FEW_BANDS, FEW_LAYERS = 4, 2, 4
"""Bands of relative depth; a tower with fewer layers than the last number has the second number."""

PROFILE = (4, 8, 12, 20, 24, 26, 28, 30)
"""Indices of the profile's quantiles in the list of 33; it has ln(quantile / median) of each."""

MEDIAN = 16
"""Index of the median in the list of quantiles."""

ROUNDED = 0.05
"""Share of the norm of an update at which the rounding of the stored numbers matters."""


class Place(NamedTuple):
    """A part of the model whose matrices are averaged."""

    tower: str
    group: str
    band: int

    def text(self, bands: int) -> str:
        """Return the place in words: "attention in, second quarter"."""
        parts = {4: ("first", "second", "third", "last"), 2: ("first", "last")}[bands]
        unit = {4: "quarter", 2: "half"}[bands]
        tower = "" if self.tower in ("text", "") else f"{self.tower}: "
        return f"{tower}{self.group}, {parts[self.band]} {unit}"


class Spread(NamedTuple):
    """The statistic of one matrix, with its place, layer and role."""

    place: Place
    layer: int
    role: str
    value: float


@dataclass(frozen=True, slots=True)
class Update:
    """The digest of one comparison.

    Attributes
    ----------
    spreads : tuple of Spread
        The statistic of every counted matrix; experts and heads of one role in one layer are
        averaged.
    matrices, unchanged : int
        Numbers of counted matrices, and of matrices that are left out because dW = 0.
    size : float
        Mean of ln(||dW|| / ||W||).
    decay : float
        Mean of the coefficient c of the component c W of dW.
    profile : tuple of float
        Mean of ln(quantile / median) of the projected update, at the positions in `PROFILE`; NaN
        where the rows have no quantiles.
    rounded : float
        Share of the matrices whose rounding floor exceeds `ROUNDED` times ||dW||.
    formats : tuple of str
        Distinct pairs of storage formats before and after: "F32 F32".
    layers : dict of str to int
        Number of layers of each tower.
    shapes : dict of str to tuple
        Shape of the first matrix of each tower and role.
    above_rounding : float or None
        Median of ||dW|| over its rounding floor; None where the rows have no floor, or it is 0.
    tokens : tuple of int or None
        Numbers of changed rows and of all rows of the input embedding; None if they are not known.
    adapter : bool
        Whether an adapter makes the update.
    seeds : tuple of int
        Distinct seeds of the rows of the counted matrices.
    """

    spreads: tuple[Spread, ...]
    matrices: int
    unchanged: int
    size: float
    decay: float
    profile: tuple[float, ...]
    rounded: float
    formats: tuple[str, ...]
    layers: dict[str, int]
    shapes: dict[str, tuple[int, int]]
    adapter: bool
    above_rounding: float | None = field(default=None, compare=False)
    tokens: tuple[int, int] | None = field(default=None, compare=False)
    seeds: tuple[int, ...] = ()

    @property
    def places(self) -> dict[Place, float]:
        """Mean of the statistic at each place."""
        values: defaultdict[Place, list[float]] = defaultdict(list)
        for spread in self.spreads:
            values[spread.place].append(spread.value)
        return {place: fmean(numbers) for place, numbers in values.items()}

    def bands(self, tower: str) -> int:
        """Return the number of depth bands of a tower."""
        return bands_of(self.layers[tower])


def bands_of(layers: int) -> int:
    """Return the number of depth bands of a tower with this number of layers."""
    return FEW_BANDS if layers < FEW_LAYERS else BANDS


def update_of(rows: Iterable[Mapping[str, Any]]) -> Update:
    """Digest the rows of a comparison.

    Parameters
    ----------
    rows : iterable of mapping
        Rows with the columns of :mod:`sigmascope.comparing.rows`. A row is left out if it was not
        analysed, has no layer, or has a role that is not in `GROUPS`.

    Raises
    ------
    ValueError
        If the rows do not come from a comparison, no row is counted, the comparison has no
        effective ranks (effort "top"), or no counted matrix changed.
    """
    rows = list(rows)
    if rows and "relative_change" not in rows[0]:
        raise ValueError(
            "these are not rows of a comparison: a diagnosis needs the update of a model, so "
            "compare the model with its base"
        )
    chosen = [row for row in rows if _is_counted(row)]
    layers: dict[str, int] = {}
    for row in chosen:
        layers[row["tower"]] = max(layers.get(row["tower"], 0), int(row["layer"]) + 1)
    moved = [row for row in chosen if row["relative_change"]]
    if not moved:
        what = "changed" if chosen else "was analysed"
        raise ValueError(f"no matrix of an attention or MLP layer {what}: there is no update")
    changed = [row for row in moved if row.get(STATISTIC)]
    if not changed:
        raise ValueError(
            "the comparison has no effective ranks of the update: compare with effort 'exact' or "
            "'density'"
        )
    return Update(
        spreads=tuple(_spreads(changed, layers)),
        matrices=len(changed),
        unchanged=len(chosen) - len(moved),
        size=fmean(math.log(row["relative_change"]) for row in changed),
        decay=fmean(row.get("decay_coefficient") or 0.0 for row in changed),
        profile=_profile(changed),
        rounded=fmean(float(_is_rounded(row)) for row in changed),
        formats=tuple(sorted({f"{row['before_dtype']} {row['after_dtype']}" for row in changed})),
        layers=layers,
        shapes=_shapes(changed),
        adapter=any(row.get("rounding_effective_rank") is None for row in changed)
        and all(row.get(name) is None for row in changed for name in _OF_A_BULK),
        above_rounding=_above_rounding(changed),
        tokens=_tokens(rows),
        seeds=tuple(sorted({row["seed"] for row in changed if row.get("seed") is not None})),
    )


def _is_counted(row: Mapping[str, Any]) -> bool:
    return (
        row["status"] == "analysed"
        and row["layer"] is not None
        and row["tower"] is not None
        and row["role"] in GROUPS
    )


def _spreads(rows: Sequence[Row | Mapping[str, Any]], layers: Mapping[str, int]) -> list[Spread]:
    values: defaultdict[tuple[str, int, str], list[float]] = defaultdict(list)
    for row in rows:
        x = math.log(row[STATISTIC] / min(row["rows"], row["columns"]))
        values[row["tower"], int(row["layer"]), row["role"]].append(x)
    spreads = []
    for (tower, layer, role), each in values.items():
        bands = bands_of(layers[tower])
        band = min(bands - 1, layer * bands // layers[tower])
        spreads.append(Spread(Place(tower, GROUPS[role], band), layer, role, fmean(each)))
    return spreads


def _is_rounded(row: Mapping[str, Any]) -> bool:
    floor, norm = row.get("rounding_floor"), row.get("delta_fro_norm")
    return bool(floor and norm and floor > ROUNDED * norm)


def _above_rounding(rows: Sequence[Mapping[str, Any]]) -> float | None:
    ratios = [
        row["delta_fro_norm"] / row["rounding_floor"]
        for row in rows
        if row.get("rounding_floor") and row.get("delta_fro_norm")
    ]
    return median(ratios) if ratios else None


def _tokens(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Count the changed rows and all rows of the input embedding, if it exists and is known."""
    embeddings = [row for row in rows if row.get("role") == EMBEDDING and row.get("changed_rows")]
    if len(embeddings) != 1:
        return None
    return int(embeddings[0]["changed_rows"]), int(embeddings[0]["rows"])


def _profile(rows: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Return the mean of ln(quantile / median); the median of a low-rank update may be 0."""
    lists = [row.get("projected_quantiles") or [] for row in rows]
    known = [q for q in lists if len(q) > max(PROFILE) and q[MEDIAN] > 0]
    if not known:
        return (math.nan,) * len(PROFILE)
    least = 1e-30
    return tuple(fmean(math.log(max(q[i], least) / q[MEDIAN]) for q in known) for i in PROFILE)


def _shapes(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    shapes: dict[str, tuple[int, int]] = {}
    for row in rows:
        shapes.setdefault(f"{row['tower']} {row['role']}", (row["rows"], row["columns"]))
    return shapes
