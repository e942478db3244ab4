# SPDX-License-Identifier: BSD-3-Clause
"""Distributions of measures over the models of a family, and where one model lies in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from sigmascope._distributions import clopper_pearson_lower, clopper_pearson_upper
from sigmascope._host.keywords import public_with_options_of
from sigmascope._tables.schema import Row
from sigmascope.scanning import scan
from sigmascope.scanning.keywords import ScanOptions, ScanOptionsWithMeasures

from .sources import (
    MEASURES,
    Cell,
    Source,
    cells_of,
    check_measures,
    common_seed,
    read_source,
    read_sources,
    seed_of,
)
from .tables import SeriesTable

_BAND = ("tower", "role", "depth_from", "depth_to", "measure", "count")
"""Columns of the matrices that are summed up in a row."""

COLUMNS = (
    *_BAND,
    "least",
    "lower_quartile",
    "median",
    "upper_quartile",
    "greatest",
    "error",
    "seed",
)
PLACED = (
    *_BAND,
    "value",
    "error",
    "quantile",
    "quantile_low",
    "quantile_high",
    "seed",
    "reference_seed",
)

Band = tuple[float, float] | tuple[None, None]
Place = tuple[str, str, Band, str]
"""Tower, role, band of depth, measure."""


class Value(NamedTuple):
    """A model's value at a place, its error, and the seeds of its rows."""

    value: float
    error: float
    seeds: frozenset[int | None]


class Reference(SeriesTable):
    """The result of :func:`reference`: a row for each place and measure.

    ==========================  ==================================================================
    `tower`, `role`             tower and role of the place
    `depth_from`, `depth_to`    its band of relative depth, 0 for the first layer and 1 for the
                                last; None for matrices without a layer
    `measure`                   name of a column of a scan
    `count`                     number of models with matrices at this place
    `least` … `greatest`        quartiles over the models; the value of a model is the median of its
                                matrices at this place
    `error`                     largest error of these values
    `seed`                      seed of all their rows; None if they differ, or have no random start
    ==========================  ==================================================================

    Attributes
    ----------
    models : tuple of str
        Labels of the models.
    measures : tuple of str
        Measures of the reference.
    bands : int
        Number of bands of depth.
    """

    def __init__(
        self,
        values: Mapping[Place, Mapping[int, Value]],
        models: tuple[str, ...],
        identities: tuple[frozenset[str], ...],
        measures: tuple[str, ...],
        bands: int,
        seed: int | None = None,
    ) -> None:
        rows = [_summary(place, by_model) for place, by_model in values.items()]
        super().__init__(COLUMNS, rows, seed)
        self._values, self._identities = values, identities
        self.models, self.measures, self.bands = models, measures, bands

    def __repr__(self) -> str:
        return f"Reference({len(self.models)} models, {len(self)} places and measures)"

    @public_with_options_of(scan)
    def place(
        self,
        model: Source,
        *,
        confidence: float = 0.95,
        **options: Unpack[ScanOptionsWithMeasures],
    ) -> SeriesTable:
        """Compute the quantiles of a model in the distributions of the reference.

        Parameters
        ----------
        model : Scan, file of one, or checkpoint
            The model. If the reference contains a model with the same files, it is left out.
        confidence : float
            Confidence level of the intervals.
        **options
            Options for the scan of a checkpoint, as for :func:`scan`.

        Returns
        -------
        SeriesTable
            A row for each place and measure that the model and the reference share. `value` and
            `error` belong to the model. `quantile` is the fraction of the reference below it; ties
            count half. The reference is a sample of a family, and `quantile_low` and
            `quantile_high` bound this fraction in the family. They are Clopper-Pearson bounds in
            which every value is as far off as its error allows. `count` is the number of models of
            the reference; fewer models give wider intervals. `seed` is the seed of the model's
            rows, `reference_seed` of the others; None where rows differ, or have no random start.

        Raises
        ------
        ValueError
            If the confidence is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
        given = read_source(model, options)
        same = {i for i, known in enumerate(self._identities) if known and known == given.identity}
        placed: list[Row] = []
        for place, own in _values_of(given.rows, self.measures, self.bands).items():
            others = [other for i, other in self._values.get(place, {}).items() if i not in same]
            if others:
                quantile = _quantile(own, others, confidence)
                seeds = _common_seed([own]), _common_seed(others)
                columns = (*_flat(place), len(others), own.value, own.error, *quantile, *seeds)
                placed.append(dict(zip(PLACED, columns, strict=True)))
        return SeriesTable(PLACED, placed, given.seed)


@public_with_options_of(scan)
def reference(
    models: Sequence[Source],
    *,
    measures: Sequence[str] | str = MEASURES,
    bands: int = 4,
    **options: Unpack[ScanOptions],
) -> Reference:
    """Collect the models of a family into distributions by role and relative depth.

    Parameters
    ----------
    models : sequence of sources
        Scans, files with saved scans, or checkpoints, which are scanned.
    measures : str or sequence of str
        Names of columns. To compare models of different sizes, choose measures that do not scale
        with the matrix.
    bands : int
        Number of bands of equal width into which relative depth is divided.
    **options
        Options for the scan of a checkpoint, as for :func:`scan`.

    Returns
    -------
    Reference

    Raises
    ------
    ValueError
        If there is no model or less than one band, or if no row has one of the measures.
    TypeError
        If a source is something else.

    See Also
    --------
    scan : One checkpoint.
    trajectory : The checkpoints of one run.

    Examples
    --------
    >>> family = reference(["llama-a/", "llama-b/", "llama-c/"])      # doctest: +SKIP
    >>> family.place("mine/").where(role="up")                       # doctest: +SKIP
    """
    if not models:
        raise ValueError("a reference needs at least one model")
    if bands < 1:
        raise ValueError(f"bands must be at least 1, not {bands}")
    known = read_sources(models, options)
    wanted = check_measures(measures, [row for model in known for row in model.rows])
    values: dict[Place, dict[int, Value]] = {}
    for number, model in enumerate(known):
        for place, value in _values_of(model.rows, wanted, bands).items():
            values.setdefault(place, {})[number] = value
    labels = tuple(model.label for model in known)
    identities = tuple(model.identity for model in known)
    return Reference(values, labels, identities, wanted, bands, seed_of(known))


def _values_of(rows: Sequence[Row], measures: Sequence[str], bands: int) -> dict[Place, Value]:
    """Return the values of one model: for each place, the median of its matrices."""
    places: dict[Place, list[Cell]] = {}
    for measure in measures:
        for cell in cells_of(rows, measure):
            place = cell.tower, cell.role, _band(cell.depth, bands), measure
            places.setdefault(place, []).append(cell)
    return {
        place: Value(
            float(np.median([cell.value for cell in cells])),
            max(cell.error for cell in cells),  # no median changes by more than all values do
            frozenset(cell.seed for cell in cells),
        )
        for place, cells in places.items()
    }


def _band(depth: float | None, bands: int) -> Band:
    if depth is None:
        return None, None
    number = min(int(depth * bands), bands - 1)
    return number / bands, (number + 1) / bands


def _flat(place: Place) -> tuple[Any, ...]:
    tower, role, (low, high), measure = place
    return tower, role, low, high, measure


def _common_seed(values: Iterable[Value]) -> int | None:
    return common_seed(seed for value in values for seed in value.seeds)


def _summary(place: Place, by_model: Mapping[int, Value]) -> Row:
    values = np.array([own.value for own in by_model.values()])
    quartiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
    error = max(own.error for own in by_model.values())
    seed = _common_seed(by_model.values())
    return dict(zip(COLUMNS, (*_flat(place), len(values), *quartiles, error, seed), strict=True))


def _quantile(own: Value, others: Sequence[Value], confidence: float) -> tuple[float, float, float]:
    """Return the fraction of others below a value, and an interval for it."""
    n, value, error = len(others), own.value, own.error
    below = sum(other.value < value for other in others)
    equal = sum(other.value == value for other in others)
    surely = sum(other.value + other.error < value - error for other in others)
    perhaps = sum(other.value - other.error <= value + error for other in others)
    tail = (1 - confidence) / 2
    low = clopper_pearson_lower(surely, n, tail)
    high = clopper_pearson_upper(perhaps, n, tail)
    return (below + equal / 2) / n, low, high
