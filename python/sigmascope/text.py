# SPDX-License-Identifier: BSD-3-Clause
"""Numbers, sizes and names as people read them."""

from __future__ import annotations

import math
import os
from collections import Counter


def with_error(value: float | None, error: float | None = None) -> str:
    """Show a value to the digits that its error leaves; without "±" if that is below the last.

    >>> with_error(312.4321, 0.8), with_error(260.8387, 2e-9), with_error(2e-6, 1e-8)
    ('312.4 ± 0.8', '260.8', '(2.000 ± 0.010)e-6')
    """
    if value is None:
        return "-"
    if value and not 1e-3 <= abs(value) < 1e6:
        power = math.floor(math.log10(abs(value)))
        mantissa = with_error(value / 10.0**power, (error or 0.0) / 10.0**power)
        return f"({mantissa})e{power}" if "±" in mantissa else f"{mantissa}e{power}"
    least = 0 if float(value).is_integer() and not error else max(0, _decimals(value))
    if not error or (value and error < 0.5 * 10.0**-least):
        return f"{value:.{least}f}"
    # One digit of the error; two if it is 1.
    places = max(0, -math.floor(math.log10(error)))
    if 0 < places < 12 and error * 10**places < 1.95:
        places += 1
    return f"{value:.{places}f} ± {error:.{places}f}"


def short(value: float | None, digits: int = 3) -> str:
    """Show a few significant digits."""
    if value is None:
        return "-"
    if value and not 1e-3 <= abs(value) < 1e6:
        power = math.floor(math.log10(abs(value)))
        return f"{value / 10.0**power:.{digits - 1}f}e{power}"
    whole = float(value).is_integer()
    return f"{value:.{0 if whole else max(0, _decimals(value) + digits - 4)}f}"


def _decimals(value: float) -> int:
    """Decimals that make four significant digits."""
    return 3 - math.floor(math.log10(abs(value))) if 1e-3 <= abs(value) < 1e6 else 0


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
