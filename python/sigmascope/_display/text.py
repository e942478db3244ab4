# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, sizes and names as people read them.

:func:`with_error` is the one way in which a number that has an error is written: in terminals,
pages, plots and the repr of results. `html/parts/numbers.js` is the same function in the browser.
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
    """Show a value to the digits that its error leaves; without "±" if that is below the last.

    Parameters
    ----------
    value
        None where there is none: "-".
    error
        Its error, not negative; None where it is not known, which is shown as "± ?".

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


@lru_cache(maxsize=256)  # a page asks twice: for the value, and for the error
def digits_of(value: float, error: float) -> tuple[int, int, bool]:
    """Return how :func:`with_error` writes a number: power of ten, decimals, whether with error.

    An error has one digit, two if the first is a 1, and all of its whole part. Whole numbers stay
    whole where their error is whole too, or is not shown.
    """
    power = _power(max(abs(value), error))
    least = max(0, _DIGITS - 1 + power - _order(value)) if value else 0
    if not error or (value and error < float(f"5e{power - least - 1}")):
        return power, 0 if _is_whole(value, power) else least, False
    if _is_whole(value, power) and _is_whole(error, power):
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
    """Return the power of ten that is written out; 0 for numbers of a usual size."""
    order = _order(size) if size else 0
    return 0 if -3 <= order < 6 else order


def _order(number: float) -> int:
    """Return the power of ten of the first digit once there are as many as are shown."""
    return int(f"{number:.{_DIGITS - 1}e}".partition("e")[2])


def _is_whole(number: float, power: int) -> bool:
    if power == 0:
        return float(number).is_integer()
    scaled = Decimal(repr(float(number))).scaleb(-power)
    return scaled == scaled.to_integral_value()


def _fixed(number: Decimal, places: int, rounding: str = ROUND_HALF_UP) -> str:
    """Write a number with so many decimals; halves go away from zero, and 0 has no sign."""
    rounded = number.quantize(Decimal((0, (1,), -places)), rounding)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def number_of(row: Mapping[str, Any], column: str, times: float = 1.0) -> str:
    """Show a column of a row with the error that the row has for it; "± ?" if it has none.

    Parameters
    ----------
    row
        With `column`, and `column`_error.
    times
        What both are multiplied by: 100 for a percentage.
    """
    value, error = row.get(column), row.get(f"{column}_error")
    return with_error(
        None if value is None else value * times, None if error is None else error * abs(times)
    )


def median_with_error(pairs: Iterable[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Return the median of values, and how far it can be off if each is off by its error.

    A median rises with each of its values, so it lies between the medians of their ends. None for
    the error if one is not known.

    Parameters
    ----------
    pairs
        A value and its error each; one or more.
    """
    found = list(pairs)
    middle = median(value for value, _ in found)
    if any(error is None or not math.isfinite(error) for _, error in found):
        return middle, None
    low = median(value - (error or 0.0) for value, error in found)
    high = median(value + (error or 0.0) for value, error in found)
    return middle, max(high - middle, middle - low, 0.0)


def bounds(low: float, high: float, digits: int = 3) -> tuple[str, str]:
    """Show the ends of an interval with a few significant digits, rounded outwards.

    >>> bounds(0.12345, 12.301)
    ('0.123', '12.4')
    """
    return _bound(low, digits, ROUND_FLOOR), _bound(high, digits, ROUND_CEILING)


def at_most(bound: float, digits: int = 1) -> str:
    """Show a bound with a few significant digits, rounded up."""
    return _bound(bound, digits, ROUND_CEILING)


def _bound(value: float, digits: int, rounding: str) -> str:
    # What is beyond a short number by rounding alone is that number.
    whole = math.isfinite(value) and _is_whole(value, 0)
    return _significant(float(f"{value:.12g}"), digits, rounding, whole)


def short(value: float | None, digits: int = 3) -> str:
    """Show a few significant digits of a number that has no error."""
    if value is None:
        return "-"
    return _significant(value, digits, ROUND_HALF_UP, math.isfinite(value) and _is_whole(value, 0))


def _significant(value: float, digits: int, rounding: str, whole: bool) -> str:
    if not math.isfinite(value):
        return f"{value}"
    power = _power(abs(value))
    places = 0 if whole and not power else max(0, digits - 1 + power - _order(value))
    text = _fixed(Decimal(repr(float(value))).scaleb(-power), places, rounding)
    return f"{text}e{power}" if power else text


def size(nbytes: float) -> str:
    """Show bytes in decimal units: "90.9 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def duration(seconds: float) -> str:
    """Show a time: "0.03 s", "12 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 or seconds < 5e-4 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def path_text(path: str | os.PathLike[str]) -> str:
    r"""Return a path as the same text in every locale: UTF-8, what is not as lone surrogates.

    These are those of Python's "surrogateescape", one for each byte. In JSON they are escapes
    (`\udce9` for the byte 0xE9), in CSV the bytes again, so that no name is lost.
    """
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def writable(text: str) -> str:
    """Return text that is UTF-8: escapes, as in JSON, for lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Replace what a terminal would obey rather than show: names come out of files."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def ending(text: str, width: int) -> str:
    """Shorten a name to its end, which tells tensors of one model apart."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[len(text) - max(width, 1) + 1 :]


def times(shape: tuple[int, ...] | list[int]) -> str:
    """Show a shape: "384 x 1536"."""
    return " x ".join(map(str, shape))


def counted(count: int, what: str, plural: str | None = None) -> str:
    """Show a count with its noun: "1 tensor", "40 tensors"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {plural or what + 's'}"


_KINDS = {
    "integer": ("integer tensor",),
    "empty": ("empty tensor",),
    "tied": ("second name of a tensor", "second names of tensors"),
    "other": ("entry that is no tensor", "entries that are no tensors"),
    "whole": ("weight saved whole", "weights saved whole"),
    "part": ("part of quantised weights", "parts of quantised weights"),
}


def kinds(counts: Counter[str]) -> str:
    """Show how many tensors there are of each kind that has no spectrum: "63 vectors"."""
    return ", ".join(
        counted(count, *_KINDS.get(kind, (kind,))) for kind, count in counts.most_common()
    )


def amount(nbytes: int) -> str:
    """Show bytes as memory is counted, three digits, rounded up.

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
