# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, sizes and names as text.

:func:`with_error` writes every number that has an error, in terminals, pages, plots and the repr of
results. `html/parts/numbers.js` is the same function for the browser.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import lru_cache
from statistics import median
from typing import Any

_DIGITS = 4
"""Significant digits of a number whose error is below the last of them."""


def with_error(value: float | None, error: float | None = 0.0) -> str:
    """Write a value with the digits that its error allows.

    "±" and the error follow unless the error is below the last of four digits.

    Parameters
    ----------
    value
        The value; None is written as "-".
    error
        Its error, not negative; None, an unknown error, is written as "± ?".

    Examples
    --------
    >>> with_error(312.4321, 0.8), with_error(260.8387, 2e-9), with_error(2e-6, 1e-8)
    ('312.4 ± 0.8', '260.8', '(2.000 ± 0.010)e-6')
    >>> with_error(24.2, 251.4), with_error(24.2, None)
    ('24 ± 251', '24.20 ± ?')
    """
    if value is None:
        return "-"
    if not math.isfinite(value) or error is None or not math.isfinite(error):
        return _without_known_error(value, error)
    power, places, visible = digits_of(value, error)
    mantissa = _fixed(Decimal(value).scaleb(-power), places)
    if visible:
        mantissa = f"{mantissa} ± {_fixed(Decimal(error).scaleb(-power), places)}"
    if power == 0:
        return mantissa
    return f"({mantissa})e{power}" if visible else f"{mantissa}e{power}"


@lru_cache(maxsize=256)  # a page calls it twice, for the value and for the error
def digits_of(value: float, error: float) -> tuple[int, int, bool]:
    """Return how :func:`with_error` writes a number: exponent, decimals, True with the error.

    An error has one digit, or two if the first is a 1, and all digits of its integer part. Integers
    have no decimals if their error is an integer, too, or is not written.
    """
    power = _power(max(abs(value), error))
    least = max(0, _DIGITS - 1 + power - _order(value)) if value else 0
    if not error or (value and error < float(f"5e{power - least - 1}")):
        return power, 0 if _is_integer(value, power) else least, False
    if _is_integer(value, power) and _is_integer(error, power):
        return power, 0, True
    digits, _, order = f"{error:.1e}".partition("e")
    return power, max(0, power - int(order) + digits.startswith("1")), True


def _without_known_error(value: float, error: float | None) -> str:
    number = short(value, _DIGITS)
    if math.isnan(value) or error == 0:
        return number
    known = error is not None and not math.isnan(error)
    return f"{number} ± {short(error, 2) if known else '?'}"


def _power(size: float) -> int:
    """Return the exponent to print, or 0 for numbers from 0.001 to below 1,000,000."""
    order = _order(size) if size else 0
    return 0 if -3 <= order < 6 else order


def _order(number: float) -> int:
    """Return the power of ten of the first digit, after rounding to the digits that are shown."""
    return int(f"{number:.{_DIGITS - 1}e}".partition("e")[2])


def _is_integer(number: float, power: int) -> bool:
    if power == 0:
        return float(number).is_integer()
    scaled = Decimal(repr(float(number))).scaleb(-power)
    return scaled == scaled.to_integral_value()


def _fixed(number: Decimal, places: int, rounding: str = ROUND_HALF_UP) -> str:
    """Write a number with `places` decimals; halves are rounded away from zero, 0 has no sign."""
    rounded = number.quantize(Decimal((0, (1,), -places)), rounding)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def number_of(row: Mapping[str, Any], column: str, times: float = 1.0) -> str:
    """Write a column of a row with its error; with "± ?" if the row has none.

    Parameters
    ----------
    row
        Row with the columns `column` and `column`_error.
    times
        Factor for both: 100 for a percentage.
    """
    value, error = row.get(column), row.get(f"{column}_error")
    return with_error(
        None if value is None else value * times, None if error is None else error * abs(times)
    )


def median_with_error(pairs: Iterable[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Return the median of values, and a bound on its error from their errors.

    A median does not fall when a value rises, so it lies between the medians of the lower and of
    the upper ends. The error is None if one of the errors is not known.

    Parameters
    ----------
    pairs
        One or more values, each with its error.
    """
    values = list(pairs)
    middle = median(value for value, _ in values)
    if any(error is None or not math.isfinite(error) for _, error in values):
        return middle, None
    low = median(value - (error or 0.0) for value, error in values)
    high = median(value + (error or 0.0) for value, error in values)
    return middle, max(high - middle, middle - low, 0.0)


def bounds(low: float, high: float, digits: int = 3) -> tuple[str, str]:
    """Format the ends of an interval with a few significant digits, rounding outwards.

    >>> bounds(0.12345, 12.301)
    ('0.123', '12.4')
    """
    return _bound(low, digits, ROUND_FLOOR), _bound(high, digits, ROUND_CEILING)


def range_of(low: float, high: float, value: float, error: float | None) -> tuple[str, str]:
    """Format a range to the precision of a value inside it, rounding outwards.

    >>> range_of(38.2541, 39.1284, 38.7149, 0.0), range_of(2.1974, 6.1033, 3.4, 0.6)
    (('38.25', '39.13'), ('2.1', '6.2'))
    """
    if error is None or not all(map(math.isfinite, (low, high, value, error))):
        return bounds(low, high)
    power, places, visible = digits_of(value, error)
    whole = _is_integer(low, 0) and _is_integer(high, 0)
    if whole or (_is_integer(value, power) and not visible) or _power(max(-low, high)) != power:
        return bounds(low, high, max(places - power + _order(value) + 1, 1) if value else 3)
    low, high = (float(f"{end:.12g}") for end in (low, high))
    texts = (
        _fixed(Decimal(repr(end)).scaleb(-power), places, rounding) + (f"e{power}" if power else "")
        for end, rounding in ((low, ROUND_FLOOR), (high, ROUND_CEILING))
    )
    return next(texts), next(texts)


def at_most(bound: float, digits: int = 1) -> str:
    """Format an upper bound with a few significant digits, rounding up."""
    return _bound(bound, digits, ROUND_CEILING)


def _bound(value: float, digits: int, rounding: str) -> str:
    # Twelve digits remove the rounding error of a number that has few.
    integer = math.isfinite(value) and _is_integer(value, 0)
    return _significant(float(f"{value:.12g}"), digits, rounding, integer)


def short(value: float | None, digits: int = 3) -> str:
    """Write a number without error with a few significant digits."""
    if value is None:
        return "-"
    return _significant(
        value, digits, ROUND_HALF_UP, math.isfinite(value) and _is_integer(value, 0)
    )


def _significant(value: float, digits: int, rounding: str, integer: bool) -> str:
    if not math.isfinite(value):
        return f"{value}"
    power = _power(abs(value))
    places = 0 if integer and not power else max(0, digits - 1 + power - _order(value))
    text = _fixed(Decimal(repr(float(value))).scaleb(-power), places, rounding)
    return f"{text}e{power}" if power else text


def size(nbytes: float) -> str:
    """Write a number of bytes in decimal units: "90.9 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def duration(seconds: float) -> str:
    """Write a time: "0.03 s", "12 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 or seconds < 5e-4 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def path_text(path: str | os.PathLike[str]) -> str:
    r"""Return a path as UTF-8 text, the same in every locale.

    A byte that is not UTF-8 becomes a lone surrogate, as by Python's "surrogateescape". JSON files
    have these as escapes (`\udce9` for the byte 0xE9), CSV files as the original bytes.
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def writable(text: str) -> str:
    """Return text that can be encoded in UTF-8: lone surrogates become escapes, as in JSON."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Replace control characters, which a name from a file may have and a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def ending(text: str, width: int) -> str:
    """Shorten a name to its last `width` characters, in which the tensors of a model differ."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[len(text) - max(width, 1) + 1 :]


def dimensions(shape: tuple[int, ...] | list[int]) -> str:
    """Write a shape: "384 x 1536"."""
    return " x ".join(map(str, shape))


def with_shape(row: Mapping[str, Any], words: str) -> str:
    """Write a remark on a matrix after its shape, where the row has one: "384 x 1536, all zero"."""
    shape = (row.get("rows"), row.get("columns"))
    return words if None in shape else f"{shape[0]} x {shape[1]}, {words}"


def counted(count: int, what: str, plural: str | None = None) -> str:
    """Write a count with its noun: "1 tensor", "40 tensors"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {plural or what + 's'}"


_KINDS = {
    "matrix": ("matrix", "matrices"),
    "integer": ("integer tensor",),
    "empty": ("empty tensor",),
    "tied": ("second name of a tensor", "second names of tensors"),
    "other": ("entry that is not a tensor", "entries that are not tensors"),
    "whole": ("weight saved whole", "weights saved whole"),
    "part": ("part of quantised weights", "parts of quantised weights"),
}


def seed_text(options: Mapping[str, Any]) -> str:
    """Return the seed of a run as text, and how to use a drawn one again."""
    seed = options.get("seed")
    if not options.get("seed_drawn"):
        return f"seed {seed}"
    if seed is None:
        return "a drawn seed for each part, recorded in its rows"
    return f"seed {seed}, drawn for this run (--seed {seed} repeats its numbers)"


def kinds(counts: Counter[str]) -> str:
    """Write the number of tensors of each kind without a spectrum: "63 vectors"."""
    return ", ".join(
        counted(count, *_KINDS.get(kind, (kind,))) for kind, count in counts.most_common()
    )


def amount(nbytes: int) -> str:
    """Write a number of bytes in binary units with three digits, rounded up.

    >>> amount(2_254_857_830), amount(2**28), amount(50_000)
    ('2.1 GiB', '256 MiB', '48.9 kiB')
    """
    unit, name = next(
        (unit, name)
        for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "kiB"), (1, "B"))
        if nbytes >= unit or unit == 1
    )
    grid = 10.0 ** max(3 - len(str(nbytes // unit)), 0)
    return f"{math.ceil(nbytes / unit * grid) / grid:.6g} {name}"
