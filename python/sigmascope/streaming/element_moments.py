# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of the entries of rows that are read once."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.memory import elementwise_need
from sigmascope._host.keywords import public
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.moments import element_sums, moments_of, norms_of, unit_of
from sigmascope.spectra import Moments
from sigmascope.spectra.units import scaled

from .accumulator import unchanged
from .exact_sum import ExactSum
from .native_calls import native_calls
from .row_accumulator import RowAccumulator

_COUNTED = ("zeros", "nan", "inf")

_BAND = 800
"""Width, in powers of two, of the band of squares that is converted to float64 at a time."""


class MomentsAccumulator(RowAccumulator):
    """The statistics of :func:`moments`, for rows that are read once.

    Parameters
    ----------
    n_cols : int
        Columns n of the matrix, which may have any number of rows.
    row_norms : bool
        Keep the norm of every row, 8 bytes each, in the order of arrival. If False, the result has
        no row norms.
    histogram : bool
        Count the stored codes, as long as all rows have one 8- or 16-bit dtype.

    See Also
    --------
    moments : For a matrix that can be read again.

    Notes
    -----
    Memory: 16 bytes for each column, two or three times as much if their norms differ by many
    powers of ten; 512 KiB for the histogram. The moments of an update become sums of powers in
    rational arithmetic, and column sums are exact too. The order of merges therefore changes bits
    only in `row_norms` and `first_nonfinite`, which depend on it by definition. The result for a
    single update has the bits of :func:`moments`.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> stats = ss.streaming.MomentsAccumulator(2).update(np.ones((3, 2))).update(np.zeros((1, 2)))
    >>> stats.result().mean, stats.result().zeros
    (0.75, 2)
    """

    @public
    def __init__(self, n_cols: int, *, row_norms: bool = False, histogram: bool = True) -> None:
        super().__init__(n_cols, c=ExactSum((n_cols,), keep_remainder=True))
        self.row_norms, self.histogram = bool(row_norms), bool(histogram)
        self._count = dict.fromkeys(_COUNTED, 0)
        self._powers = [Fraction(0)] * 5  # sums of x^0 to x^4 over the finite entries
        self._squares = Fraction(0)
        self._range = np.inf, -np.inf
        self._first: tuple[int, int] | None = None
        self._row_norms: list[NDArray[np.float64]] = []
        self._dtype = ""  # dtype of the counted codes, or "mixed"
        self._codes: NDArray[np.int64] | None = None

    @public
    def update(
        self, rows: Any, *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add rows (any, n_cols), each of them once: anything that :func:`matrix` takes.

        NaN and infinity are counted, and all other statistics omit them. `device` reads the
        elements: "cpu", or "cuda" or "cuda:1" for a CUDA device, with the same bits. By default it
        is the one on which the rows lie.

        Raises
        ------
        ValueError
            If the rows do not have n_cols columns.
        DeviceError, MemoryLimitError
            If there is no such device, or it has no memory for this.
        """
        a = self._of_width(matrix(rows))
        if a.shape[0] == 0:
            return self
        calls = native_calls(a, elementwise_need, num_threads=num_threads, device=device)

        def look(b: Matrix) -> dict[str, Any]:
            return calls.module.moments(b.native, histogram=self.histogram, **calls.options)

        raw = element_sums(a, look)
        with self._changing():
            self._add_powers(raw)
            for name in _COUNTED:
                self._count[name] += int(raw[name])
            self._range = min(self._range[0], raw["min"]), max(self._range[1], raw["max"])
            for unit, _, columns in raw["bands"]:
                low = (
                    columns < columns.max(initial=0.0) * 2.0**-_BAND
                )  # beyond the range of one term
                for part in (np.where(low, 0.0, columns), np.where(low, columns, 0.0)):
                    self._sums["c"].add(part, 0, 2 * unit)
            if self._first is None and raw["first_nonfinite"] is not None:
                row, column = raw["first_nonfinite"]
                self._first = self.rows + row, column
            if self.row_norms:
                self._row_norms.append(norms_of((unit, rows) for unit, rows, _ in raw["bands"]))
            self._add_codes(a.storage, raw["histogram"])
            self.rows += a.shape[0]
        return self

    def _add_powers(self, raw: dict[str, Any]) -> None:
        """Add the sums of powers that follow from central moments, exactly."""
        n, unit = int(raw["count"]), Fraction(2) ** raw["unit"]
        self._squares += Fraction(raw["sum_squares"]) * unit**2
        self._powers[0] += n
        if n == 0:
            return
        mean = Fraction(raw["mean"]) * unit
        m2, m3, m4 = (
            Fraction(raw[name]) * unit**power for power, name in enumerate(("m2", "m3", "m4"), 2)
        )
        sums = [
            n * mean,
            m2 + n * mean**2,
            m3 + 3 * mean * m2 + n * mean**3,
            m4 + 4 * mean * m3 + 6 * mean**2 * m2 + n * mean**4,
        ]
        for power, term in enumerate(sums, start=1):
            self._powers[power] += term

    def _add_codes(self, dtype: str, counts: NDArray[np.int64] | None) -> None:
        if counts is None or self._dtype not in ("", dtype):
            self._dtype, self._codes = "mixed", None
        else:
            self._dtype = dtype
            self._codes = counts if self._codes is None else self._codes + counts

    def _panel_rows(self) -> int:
        """Return 1: updates are cheap, and collecting rows would lose their dtype."""
        return 1

    @unchanged
    def result(self) -> Moments:
        """Return the statistics of all added rows; `row_norms` is None unless they were kept.

        Raises
        ------
        ValueError
            No rows were added.
        """
        self._require_intact()
        if self.rows == 0:
            raise ValueError("the accumulator has no rows yet")
        started = time.perf_counter()
        raw: dict[str, Any] = {
            **self._count,
            **self._central(),
            "min": self._range[0],
            "max": self._range[1],
            "first_nonfinite": self._first,
            "column_norms": self._column_norms(),
            "row_norms": np.concatenate(self._row_norms) if self.row_norms else None,
            "histogram": self._codes,
            "passes": 1,
        }
        return moments_of((self.rows, self.n_cols), raw, time.perf_counter() - started)

    def _column_norms(self) -> NDArray[np.float64]:
        """Compute each norm from its highest grids, in units that keep its square in range."""
        sums, norms = self._sums["c"], np.zeros(self.n_cols)
        for unit in range(sums.highest, -2160, -_BAND):
            squares = sums.value(unit)
            new = (norms == 0.0) & (squares > 2.0**-_BAND)
            norms[new] = scaled(np.sqrt(squares[new]), unit // 2)
            if np.all(new | (norms > 0.0)):
                break
        return norms

    def _central(self) -> dict[str, float]:
        """Return count, mean and central sums of powers in units of 2^unit, each rounded once."""
        n = self._powers[0]
        if n == 0:
            names = ("count", "mean", "m2", "m3", "m4", "sum_squares", "unit")
            return dict.fromkeys(names, 0)
        unit = unit_of(max(self._range[1], -self._range[0]))
        s1, s2, s3, s4 = (
            s / Fraction(2) ** (power * unit) for power, s in enumerate(self._powers[1:], 1)
        )
        mean = s1 / n
        central = {
            "m2": s2 - mean * s1,
            "m3": s3 - 3 * mean * s2 + 2 * mean**2 * s1,
            "m4": s4 - 4 * mean * s3 + 6 * mean**2 * s2 - 3 * mean**3 * s1,
        }
        central["sum_squares"] = self._squares / Fraction(4) ** unit
        rounded = {name: float(value) for name, value in central.items()}
        return {"count": float(n), "mean": float(mean), "unit": unit, **rounded}

    def _absorb(self, other: Self) -> None:
        if self._first is None and other._first is not None:
            self._first = self.rows + other._first[0], other._first[1]
        super()._absorb(other)
        for name in _COUNTED:
            self._count[name] += other._count[name]
        self._powers = [a + b for a, b in zip(self._powers, other._powers, strict=True)]
        self._squares += other._squares
        self._range = min(self._range[0], other._range[0]), max(self._range[1], other._range[1])
        self._row_norms += other._row_norms
        if other._dtype:
            self._add_codes(other._dtype, other._codes)

    def _counts(self) -> dict[str, Any]:
        return {
            **super()._counts(),
            **self._count,
            "powers": [_dyadic(x) for x in (*self._powers, self._squares)],
            "range": [x.hex() for x in self._range],
            "first": self._first,
            "dtype": self._dtype,
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        rows = np.concatenate([np.zeros(0), *self._row_norms])
        codes = np.zeros(0, np.int64) if self._codes is None else self._codes
        return {**super()._arrays(), "row_norms": rows, "codes": codes}

    def _restore(self, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(counts, arrays)
        self._count = {name: int(counts[name]) for name in _COUNTED}
        *self._powers, self._squares = (_of_dyadic(x) for x in counts["powers"])
        low, high = (float.fromhex(x) for x in counts["range"])
        self._range = low, high
        if counts["first"] is not None:
            row, column = counts["first"]
            self._first = int(row), int(column)
        self._dtype = str(counts["dtype"])
        if "row_squares" in arrays:  # written by earlier versions
            arrays = {**arrays, "row_norms": np.sqrt(arrays["row_squares"])}
        rows, codes = arrays["row_norms"], arrays["codes"]
        if len(self._powers) != 5 or len(rows) != (self.rows if self.row_norms else 0):
            raise ValueError(f"{len(self._powers)} powers, but {len(rows)} row norms")
        self._row_norms = [rows]
        self._codes = codes if len(codes) else None

    def _options(self) -> dict[str, Any]:
        return {"n_cols": self.n_cols, "row_norms": self.row_norms, "histogram": self.histogram}

    def __repr__(self) -> str:
        """Return the shape."""
        return f"MomentsAccumulator({self.rows} rows x {self.n_cols})"


def _dyadic(x: Fraction) -> list[Any]:
    """Return a dyadic fraction: its numerator, hexadecimal, and the exponent of its denominator."""
    return [hex(x.numerator), x.denominator.bit_length() - 1]


def _of_dyadic(stored: list[Any]) -> Fraction:
    numerator, shift = stored
    return Fraction(int(numerator, 16), 1 << int(shift))
