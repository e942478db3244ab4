# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of the entries of rows that are seen once."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope import _core
from sigmascope.distributions import moments_of
from sigmascope.sources import matrix
from sigmascope.spectra import Moments

from .accumulator import RowAccumulator, native_options
from .exact_sum import ExactSum

_COUNTED = ("zeros", "nan", "inf")


class MomentsAccumulator(RowAccumulator):
    """What :func:`moments` says, of rows that are seen once.

    Parameters
    ----------
    n_cols : int
        Columns n of the matrix; its rows may be any number.
    row_norms : bool
        Keep the norm of every row, 8 bytes each, in the order in which they came. Else the result
        has none.
    histogram : bool
        Count the stored codes, while all rows are of one 8- or 16-bit dtype.

    Notes
    -----
    Memory: 16 bytes for each column, and twice or three times that where their norms differ by many
    powers of ten; 512 KiB for the histogram. The sums of an update's powers are made of its moments
    in rational arithmetic, which is exact, as are those of the columns: merged in any order, no bit
    changes, but for what is said in terms of that order, `row_norms` and `first_nonfinite`. What
    a single update is given is as :func:`moments` has it, to the bit.
    """

    def __init__(self, n_cols: int, *, row_norms: bool = False, histogram: bool = True) -> None:
        super().__init__(n_cols, c=ExactSum((n_cols,), whole=True))
        self.row_norms, self.histogram = bool(row_norms), bool(histogram)
        self._count = dict.fromkeys(_COUNTED, 0)
        self._powers = [Fraction(0)] * 5  # sums of x^0 to x^4 over the finite entries
        self._squares = Fraction(0)
        self._overflown = 5  # the least power whose sum some update could not give
        self._range = np.inf, -np.inf
        self._first: tuple[int, int] | None = None
        self._row_squares: list[NDArray[np.float64]] = []
        self._dtype = ""  # of the codes, or "mixed"
        self._codes: NDArray[np.int64] | None = None

    def update(self, rows: Any, *, num_threads: int | None = None) -> Self:
        """Add rows, each seen once: anything that :func:`matrix` takes, of shape (any, n_cols).

        NaN and infinity are counted, and left out of everything else.

        Raises
        ------
        ValueError
            If the width differs.
        OverflowError
            If squares of the entries overflow; nothing is then changed.
        """
        a = self._of_width(matrix(rows))
        if a.shape[0] == 0:
            return self
        raw = _core.moments(a._native, histogram=self.histogram, **native_options(num_threads))
        if not np.isfinite(raw["sum_squares"]):
            raise OverflowError("the squares of the entries overflow double precision")
        with self._changing():
            self._add_powers(raw)
            for name in _COUNTED:
                self._count[name] += int(raw[name])
            self._range = min(self._range[0], raw["min"]), max(self._range[1], raw["max"])
            self._sums["c"].add(raw["column_squares"])
            if self._first is None and raw["first_nonfinite"] is not None:
                row, column = raw["first_nonfinite"]
                self._first = self.rows + row, column
            if self.row_norms:
                self._row_squares.append(raw["row_squares"])
            self._add_codes(a.dtype, raw["histogram"])
            self.rows += a.shape[0]
        return self

    def _add_powers(self, raw: dict[str, Any]) -> None:
        """Sums of powers from central ones, exactly."""
        n = int(raw["count"])
        self._squares += Fraction(raw["sum_squares"])
        self._powers[0] += n
        if n == 0:
            return
        central = [float(raw[name]) for name in ("m2", "m3", "m4")]
        known = next((i for i, m in enumerate(central) if not np.isfinite(m)), 3)
        self._overflown = min(self._overflown, 2 + known)
        mean = Fraction(raw["mean"])
        m2, m3, m4 = [Fraction(m) for m in central[:known]] + [Fraction(0)] * (3 - known)
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
        """An update costs little beside its rows, and their dtype is to be seen."""
        return 1

    def result(self) -> Moments:
        """Return the statistics of all rows seen; `row_norms` are None unless they are kept.

        Raises
        ------
        ValueError
            If nothing was seen.
        OverflowError
            If the sum of the squares exceeds double precision.
        """
        self._require_whole()
        if self.rows == 0:
            raise ValueError("the accumulator has seen no rows")
        started = time.perf_counter()
        column_squares = self._sums["c"].value()
        raw: dict[str, Any] = {
            **self._count,
            **self._central(),
            "min": self._range[0],
            "max": self._range[1],
            "first_nonfinite": self._first,
            "column_squares": column_squares,
            "row_squares": np.concatenate(self._row_squares) if self.row_norms else None,
            "histogram": self._codes,
            "sum_squares": _float(self._squares),
        }
        if not np.isfinite(raw["sum_squares"]):
            raise OverflowError("the sum of the squares overflows double precision")
        return moments_of((self.rows, self.n_cols), raw, time.perf_counter() - started)

    def _central(self) -> dict[str, float]:
        """Count, mean and sums of central powers, each rounded once; infinite if overflown."""
        n, s1, s2, s3, s4 = self._powers
        if n == 0:
            return {"count": 0.0, "mean": 0.0, "m2": 0.0, "m3": 0.0, "m4": 0.0}
        mean = s1 / n
        central = {
            "m2": s2 - mean * s1,
            "m3": s3 - 3 * mean * s2 + 2 * mean**2 * s1,
            "m4": s4 - 4 * mean * s3 + 6 * mean**2 * s2 - 3 * mean**3 * s1,
        }
        rounded = {name: _float(value) for name, value in central.items()}
        for name in list(rounded)[self._overflown - 2 :]:
            rounded[name] = np.inf
        return {"count": float(n), "mean": _float(mean), **rounded}

    def _absorb(self, other: Self) -> None:
        if self._first is None and other._first is not None:
            self._first = self.rows + other._first[0], other._first[1]
        super()._absorb(other)
        for name in _COUNTED:
            self._count[name] += other._count[name]
        self._powers = [a + b for a, b in zip(self._powers, other._powers, strict=True)]
        self._squares += other._squares
        self._overflown = min(self._overflown, other._overflown)
        self._range = min(self._range[0], other._range[0]), max(self._range[1], other._range[1])
        self._row_squares += other._row_squares
        if other._dtype:
            self._add_codes(other._dtype, other._codes)

    def _counts(self) -> dict[str, Any]:
        return {
            **super()._counts(),
            **self._count,
            "powers": [_dyadic(x) for x in (*self._powers, self._squares)],
            "overflown": self._overflown,
            "range": [x.hex() for x in self._range],
            "first": self._first,
            "dtype": self._dtype,
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        rows = np.concatenate([np.zeros(0), *self._row_squares])
        codes = np.zeros(0, np.int64) if self._codes is None else self._codes
        return {**super()._arrays(), "row_squares": rows, "codes": codes}

    def _restore(self, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(counts, arrays)
        self._count = {name: int(counts[name]) for name in _COUNTED}
        *self._powers, self._squares = (_of_dyadic(x) for x in counts["powers"])
        self._overflown = int(counts["overflown"])
        low, high = (float.fromhex(x) for x in counts["range"])
        self._range = low, high
        if counts["first"] is not None:
            row, column = counts["first"]
            self._first = int(row), int(column)
        self._dtype = str(counts["dtype"])
        rows, codes = arrays["row_squares"], arrays["codes"]
        if len(self._powers) != 5 or len(rows) != (self.rows if self.row_norms else 0):
            raise ValueError(f"{len(self._powers)} powers, {len(rows)} row norms")
        self._row_squares = [rows]
        self._codes = codes if len(codes) else None

    def _options(self) -> dict[str, Any]:
        return {"n_cols": self.n_cols, "row_norms": self.row_norms, "histogram": self.histogram}

    def __repr__(self) -> str:
        """Shape."""
        return f"MomentsAccumulator({self.rows} rows x {self.n_cols})"


def _float(x: Fraction) -> float:
    """Rounded, and infinite where float64 ends."""
    try:
        return float(x)
    except OverflowError:
        return np.inf if x > 0 else -np.inf


def _dyadic(x: Fraction) -> list[Any]:
    """A sum of floats: an integer, as text, and the power of two below it."""
    return [hex(x.numerator), x.denominator.bit_length() - 1]


def _of_dyadic(stored: list[Any]) -> Fraction:
    numerator, shift = stored
    return Fraction(int(numerator, 16), 1 << int(shift))
