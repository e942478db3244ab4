# SPDX-License-Identifier: BSD-3-Clause
"""Sentences on the error of quantised matrices: its size, its spectrum and what it hurts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from sigmascope._words.rows import Row
from sigmascope._words.text import bounds, counted, short

DECIBELS = 20 * math.log10(2)
"""Decibels of the signal-to-noise ratio for each effective bit."""

LEAST_ABOVE = 1.1
"""Least ratio of the largest singular value to the edge of independent errors to report."""

_LISTED_DIRECTIONS = 8
_PLAIN = ("F64", "F32", "F16", "BF16")


def quantised(rows: Iterable[Row]) -> list[Row]:
    """Return the pairs in which one matrix is quantised."""
    return [row for row in rows if row.get("effective_bits") is not None]


def sentences(rows: Sequence[Row]) -> str:
    """Describe the errors of one or more pairs in which one matrix is quantised."""
    return " ".join([f"In {counted(len(rows), 'pair')} one matrix is quantised.", *_parts(rows)])


def hurt(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return the pairs with hurt directions, and a description of these, the worst first."""
    having = [row for row in rows if row.get("hurt_directions")]
    having.sort(key=lambda row: -max(map(_times_noise, _errors(row))))
    return [(row["name"], _directions(row)) for row in having]


def _parts(rows: Sequence[Row]) -> Iterator[str]:
    known = [row for row in rows if row.get("rounding_floor")]
    if known:
        ratios = [row["delta_fro_norm"] / row["rounding_floor"] for row in known]
        more = sum(row.get("above_rounding") is True for row in known)
        yield f"The error is {_spread(ratios)} times that of rounding to the format" + (
            f"; in {counted(more, 'pair')} it exceeds rounding." if more else "."
        )
    if len(known) < len(rows):
        rest = counted(len(rows) - len(known), "pair")
        yield f"The error of rounding is not known for the format of {rest}."
    yield f"Effective bits per weight: {_bits(rows)}."
    yield from _of_spectrum([row for row in rows if row.get("error_edge")])
    count = sum(len(row.get("hurt_directions") or ()) for row in rows)
    pairs = sum(bool(row.get("hurt_directions")) for row in rows)
    if count:
        what = counted(count, "leading direction")
        yield f"It hurts {what} of W, in {counted(pairs, 'pair')}, more than noise would."
    elif all(row.get("hurt_directions") is not None for row in rows):
        yield "It hurts no leading direction of W more than noise would."


def headline(pairs: Sequence[Row]) -> str | None:
    """Say how many pairs are quantised, at how many bits, for a reader who reads nothing else.

    None if no pair is quantised, or if the error of a pair exceeds the rounding of its format.
    """
    rows = quantised(pairs)
    if not rows or any(row.get("above_rounding") is not False for row in rows):
        return None
    bits = short(median([row["effective_bits"] for row in rows]))
    bits += " (median)" if len(rows) > 1 else ""
    text = f"{len(rows):,} of {counted(len(pairs), 'pair')} of matrices"
    verb = "is" if len(rows) == 1 else "are"
    text += f" {verb} quantised, with {bits} effective bits per weight"
    count = sum(bool(row.get("hurt_directions")) for row in rows)
    hurts = f", and hurts leading directions of {counted(count, 'matrix', 'matrices')}"
    return f"{text}; the error is that of rounding to the format{hurts if count else ''}"


def _bits(rows: Sequence[Row]) -> str:
    """Write the effective bits of each format, the format of most pairs first."""
    formats: dict[str, list[float]] = {}
    for row in rows:
        formats.setdefault(_format(row), []).append(row["effective_bits"])
    if len(formats) == 1:
        (bits,) = formats.values()
        return f"{_spread(bits)}, a signal-to-noise ratio of {_decibels(bits)} dB"
    parts = [
        f"{_spread(bits)}, {_decibels(bits)} dB, for {name} in {counted(len(bits), 'pair')}"
        for name, bits in sorted(formats.items(), key=lambda item: -len(item[1]))
    ]
    return "; ".join(parts)


def _decibels(bits: Sequence[float]) -> str:
    return short(DECIBELS * median(bits))


def _format(row: Row) -> str:
    """Return the dtype of the codes of a pair."""
    dtypes = [row.get("after_dtype") or "", row.get("before_dtype") or ""]
    return next((dtype for dtype in dtypes if dtype not in _PLAIN), dtypes[0])


def _of_spectrum(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        ratios = [row["delta_spectral_norm"] / row["error_edge"] for row in rows]
        above = sum(ratio > LEAST_ABOVE for ratio in ratios)
        where = f", and exceeds it in {counted(above, 'pair')}" if above else ""
        yield f"Its largest singular value is {_spread(ratios)} times that of noise{where}."


def _spread(values: Sequence[float]) -> str:
    """Write the median, and the range of several values."""
    text = short(median(values))
    if len(values) == 1:
        return text
    low, high = bounds(min(values), max(values))
    return f"{text} (median; {low} to {high})"


def _errors(row: Row) -> list[tuple[float, float]]:
    """Return the error of each hurt direction, and its error from noise."""
    return [
        (row["direction_errors"][i - 1], row["direction_noise"][i - 1])
        for i in row["hurt_directions"]
    ]


def _times_noise(pair: tuple[float, float]) -> float:
    """Return the ratio of an error to noise; infinite without noise, as when all steps are 0."""
    error, noise = pair
    return error / noise if noise > 0 else math.inf


def _directions(row: Row) -> str:
    numbers = row["hurt_directions"]
    names = ", ".join(map(str, numbers[:_LISTED_DIRECTIONS]))
    names += f" and {len(numbers) - _LISTED_DIRECTIONS} more" * (len(numbers) > _LISTED_DIRECTIONS)
    error, noise = max(_errors(row), key=_times_noise)
    worst = (
        f"{short(100 * error, 2)} % of its output is wrong; noise would make "
        f"{short(100 * noise, 2)} % wrong"
    )
    if len(numbers) == 1:
        return f"direction {names}: {worst}"
    return f"directions {names}; at worst {worst}"
