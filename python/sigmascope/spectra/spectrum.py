# SPDX-License-Identifier: BSD-3-Clause
"""The spectrum of one matrix: values or density, all measures, and their evidence."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, KeysView
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope._words.notebook import measures_html
from sigmascope._words.text import counted, dimensions, with_error

from . import weightwatcher
from .density import Density
from .known import FRACTIONS, Known
from .measure import Measure
from .moments import Moments
from .results import SVD, state

if TYPE_CHECKING:
    from sigmascope._display.plot import Axes

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Spectrum:
    """The spectrum of one matrix, with one of the efforts "top", "density", "exact".

    It behaves like a dictionary of its measures: ``found["stable_rank"]``, ``list(found)``,
    ``found.items()``, ``dict(found)``. ``found.stable_rank`` is the same measure.

    Attributes
    ----------
    shape, effort, k
        Shape of the matrix, and the requested effort and number of values.
    top, top_errors
        (k,) largest singular values and their error bounds (sigma).
    values, value_errors
        All min(m, n) singular values and their error bounds with effort "exact", else None.
    density
        The spectral density with effort "density", else None.
    moments
        One-pass statistics, or None.
    svd
        If requested, the k largest values with their vectors, each with its residual; else None.
    measures
        Measures by name, each with its error and basis. Measures that the effort cannot give are
        absent.
    method, precision, passes, block, columns, seed, seconds, num_threads, converged, notes
        As for :class:`SVD`.
    device
        The device that found the singular values: "cpu", or "cuda:0".
    """

    shape: tuple[int, int]
    effort: str
    k: int
    top: Array
    top_errors: Array
    values: Array | None
    value_errors: Array | None
    density: Density | None
    moments: Moments | None
    measures: dict[str, Measure]
    method: str
    precision: str
    passes: int
    block: int
    columns: int
    seed: int
    seconds: float
    num_threads: int
    converged: bool
    notes: tuple[str, ...] = ()
    svd: SVD | None = None
    device: str = "cpu"

    def __getitem__(self, name: str) -> Measure:
        try:
            return self.measures[name]
        except KeyError:
            have = ", ".join(self.measures)
            raise KeyError(
                f"no measure {name!r} at effort {self.effort!r}; available: {have}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.measures

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    def keys(self) -> KeysView[str]:
        """Return the names of the measures."""
        return self.measures.keys()

    def items(self) -> ItemsView[str, Measure]:
        """Return the measures with their names."""
        return self.measures.items()

    def get(self, name: str, default: Any = None) -> Measure | Any:
        """Return a measure, or `default` if this effort does not give it."""
        return self.measures.get(name, default)

    def __getattr__(self, name: str) -> Measure:
        """Return a measure; AttributeError if no measure has this name."""
        if not name.startswith("_"):
            try:
                return self[name]
            except KeyError as error:
                raise AttributeError(error.args[0]) from None
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self.measures]

    @property
    def singular_values(self) -> Array:
        """The known singular values, descending (sigma): all of them, or the k largest."""
        return self.top if self.values is None else self.values

    @property
    def known(self) -> Known:
        """All min(m, n) singular values, or the largest ones and the density if there is one."""
        n = min(self.shape)
        if self.values is not None and self.value_errors is not None:
            return Known(n, self.values, self.value_errors)
        return Known(n, self.top.astype(np.float64), self.top_errors, self.density)

    def quantiles(self, fractions: ArrayLike = FRACTIONS) -> tuple[Array, Array] | None:
        """Return the sigma below which each fraction of the values lies, and its error.

        Parameters
        ----------
        fractions
            (f,) in [0, 1]; by default the 33 multiples of 1/32.

        Returns
        -------
        (sigma, errors) or None
            (f,) each, from all values or from the density as in :meth:`Known.quantiles`. None if
            this effort gives neither.
        """
        known = self.known
        several = known.complete or known.density is not None
        return known.quantiles(fractions) if several else None

    def plot(
        self, kind: Literal["spectrum", "density"] = "spectrum", *, ax: Axes | None = None
    ) -> Axes:
        """Draw the singular values by rank, or their density (extra ``plot``).

        Parameters
        ----------
        kind : {"spectrum", "density"}
            "spectrum" draws singular values by rank on logarithmic axes, with bands of two errors.
            "density" draws the density of all values, and the density of noise; it needs effort
            "density" or "exact".
        ax : matplotlib Axes, optional
            By default the axes of a new figure.

        Raises
        ------
        ImportError
            If the extra ``plot`` is not installed.
        ValueError
            If there is no such plot, or this effort has no density.
        """
        from sigmascope._display.plot import draw_density, draw_spectrum

        if kind == "spectrum":
            return draw_spectrum(ax, self._row(), [""])
        if kind == "density":
            return draw_density(ax, self._row(), "")
        raise ValueError(f"kind is 'spectrum' or 'density', not {kind!r}")

    def _row(self) -> dict[str, Any]:
        """Return the columns of a table's row that the plots use."""
        edge = self.measures.get("mp_edge")
        row: dict[str, Any] = {
            "name": f"{dimensions(self.shape)}, {self.effort}",
            "rows": self.shape[0],
            "columns": self.shape[1],
            "top": self.top,
            "top_errors": self.top_errors,
            "mp_edge": None if edge is None else edge.value,
        }
        quantiles = self.quantiles()
        if quantiles is not None:
            row["quantiles"], row["quantile_errors"] = quantiles
        return row

    def to_weightwatcher(self) -> dict[str, Any]:
        """Return the columns that weightwatcher 0.7.7 would print for this matrix.

        Names and units follow weightwatcher (``spectral_norm`` is lambda_1). So does the power law,
        which needs effort "exact": see :mod:`sigmascope.spectra.weightwatcher`. Columns that this
        effort cannot give are None. It takes O(p^2) time for p = min(m, n) values.
        """
        least = self.quantiles([0.0])
        return weightwatcher.details(
            {**self.to_dict(), **weightwatcher.power_law(self.values)},
            None if least is None else Measure(float(least[0][0]), float(least[1][0]), "spectrum"),
        )

    def to_dict(self) -> dict[str, object]:
        """Return a flat record for JSON: evidence, and each measure with its ``<name>_error``.

        NaN and infinity become None.
        """
        record: dict[str, object] = {
            "rows": self.shape[0],
            "columns": self.shape[1],
            "effort": self.effort,
            "k": self.k,
            "method": self.method,
            "precision": self.precision,
            "passes": self.passes,
            "block": self.block,
            "basis_columns": self.columns,
            "seed": self.seed,
            "seconds": self.seconds,
            "num_threads": self.num_threads,
            "device": self.device,
            "converged": self.converged,
            "notes": "; ".join(self.notes),
        }
        for name, measure in self.measures.items():
            record[name] = _finite_or_none(measure.value)
            record[f"{name}_error"] = _finite_or_none(measure.error)
        return record

    def __repr__(self) -> str:
        shown = ("fro_norm", "spectral_norm", "stable_rank", "effective_rank")
        parts = [
            f"{name} {with_error(self.measures[name].value, self.measures[name].error)}"
            for name in shown
            if name in self.measures
        ]
        return (
            f"Spectrum({self.shape[0]} x {self.shape[1]}, {self.effort}, {', '.join(parts)}, "
            f"{len(self.measures)} measures, {state(self.converged)}, "
            f"{counted(self.passes, 'read')}, {self.seconds:.2f} s)"
        )

    def _repr_html_(self) -> str:
        return measures_html(repr(self), self.measures)


def _finite_or_none(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
