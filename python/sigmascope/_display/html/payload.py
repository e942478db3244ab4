# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of a page's charts, as columns, with a few digits more than are shown.

The size of a page is limited, since a browser has to load it. A table of a thousand matrices fits.
The page of a larger table leaves out the last measures and the spectra of some matrices, and says
so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_05UP, Decimal
from typing import Any

from sigmascope._display import glossary
from sigmascope._display.curves import Curve, curve_of, density_of, thinned
from sigmascope._words.rows import Row
from sigmascope._words.text import digits_of

BUDGET = 4_400_000
"""Largest number of characters of all numbers; the rest of the page has about 100,000."""

_FOR_MEASURES = 0.6
"""Fraction of the budget that the measures may use."""

_POINTS = 36
"""Number of points of a spectrum by rank; principal angles have half as many."""

_SPARE = 2
"""Digits beyond those that are shown, so that multiples of a number can be shown, too."""

_OF_ERRORS = 4
"""Digits of an error; writing a number never needs more."""

_STROKES = 24
"""Largest number of single values that are drawn below a density."""

ANGLES = ("angles_left", "angles_right", "delta_angles_left", "delta_angles_right")


@dataclass(frozen=True, slots=True)
class Payload:
    """Numbers of a page.

    Attributes
    ----------
    text
        JSON that is safe inside a script element.
    measures
        Number of measures that were left out.
    spectra
        Number of matrices whose spectra were left out.
    """

    text: str
    measures: int
    spectra: int


def payload(kind: str, rows: Sequence[Row], first: Collection[str] = ()) -> Payload:
    """Return the numbers of all analysed rows.

    Parameters
    ----------
    kind
        "scan" or "comparison".
    rows
        The analysed rows, in the order in which the page counts them.
    first
        Names of matrices whose spectra are included first.
    """
    data = _matrices(rows)
    data["kind"], data["roles"] = kind, glossary.ROLES
    columns = glossary.measured(rows)
    data["measures"], data["values"], data["errors"] = [], {}, {}
    spent = len(_text(data))
    for column in columns:
        values, errors = _column(rows, column)
        cost = len(_text(values)) + len(_text(errors))
        if spent + cost > _FOR_MEASURES * BUDGET:
            continue
        spent += cost
        data["measures"].append(_description(column))
        data["values"][column] = values
        if any(error != 0 for error in errors):
            data["errors"][column] = errors
    sides = ("before", "after", "delta", "projected") if kind == "comparison" else ("",)
    data["curves"], left = _curves(rows, sides, BUDGET - spent, set(first))
    return Payload(_harmless(_text(data)), len(columns) - len(data["measures"]), left)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _harmless(text: str) -> str:
    """Escape characters that could end a script element, or start a comment in it."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _description(column: str) -> dict[str, Any]:
    entry = glossary.entry(column)
    return {
        "key": column,
        "label": entry.label,
        "meaning": entry.meaning,
        "group": entry.group,
        "unit": entry.unit,
        "log": entry.log,
        "rank": entry.rank,
        "signed": entry.signed,
    }


def _matrices(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the columns of every matrix except measures; texts are indices into a list."""
    texts: dict[str, int] = {}

    def interned(text: Any) -> int | None:
        return None if text is None else texts.setdefault(str(text), len(texts))

    matrices: dict[str, list[Any]] = {"name": [row["name"] for row in rows]}
    for column in ("layer", "expert", "rows", "columns", "k", "passes", "product_rank"):
        matrices[column] = [row.get(column) for row in rows]
    for column in ("role", "tower", "effort", "method", "precision", "notes"):
        matrices[column] = [interned(row.get(column)) for row in rows]
    for column in ("dtype", "file"):
        matrices[column] = [interned(_both(row, column)) for row in rows]
    matrices["partner"] = [
        row["after"] if row.get("after") not in (None, row["name"]) else None for row in rows
    ]
    matrices["flags"] = [
        (row.get("converged") is False) + 2 * (row.get("above_rounding") is False) for row in rows
    ]
    return {"matrices": matrices, "texts": list(texts)}


def _both(row: Row, column: str) -> Any:
    """Return a column of a scan, or the columns of both sides of a comparison as one text."""
    if column in row:
        return row[column]
    before, after = row.get(f"before_{column}"), row.get(f"after_{column}")
    return before if before == after else f"{before} → {after}"


def _column(rows: Sequence[Row], column: str) -> tuple[list[Any], list[Any]]:
    values, errors = [], []
    for row in rows:
        value, error = row.get(column), row.get(f"{column}_error", 0.0)
        # A cosine is shown by its distance from 1.
        near = 1.0 - abs(value) if column == "cosine" and value is not None else value
        values.append(compact(value, error, near))
        errors.append(compact_error(near, error))
    return values, errors


def compact(
    value: float | None,
    error: float | None = 0.0,
    size: float | None = None,
    spare: int = _SPARE,
) -> float | int | None:
    """Shorten a number so that the page writes it as ``_words.text.with_error`` does.

    The number is rounded to odd: its last digit is 0 or 5 only if nothing was cut off. Rounding the
    result once more then gives the same as rounding the original (Boldo & Melquiond 2008).

    Parameters
    ----------
    value, error
        The value, or None; its error, or None if it is not known.
    size
        The number that is shown instead of the value, if any: a cosine's distance from 1.
    spare
        Digits beyond those that are shown.
    """
    if value is None or not math.isfinite(value):
        return None
    known = error if error is not None and math.isfinite(error) else 0.0
    power, places, visible = digits_of(value if size is None else size, known)
    if not visible and not places:
        places = 3 if power else 0
    return _cut(value, places + spare - power)


def compact_error(value: float | None, error: float | None) -> float | int | None:
    """Shorten an error; 0 if it is below the last digit shown, None if it is not known."""
    if value is None or not math.isfinite(value):
        return 0
    if error is None or not math.isfinite(error):
        return None
    power, places, visible = digits_of(value, error)
    if not visible:
        return 0
    order = Decimal(error).adjusted()  # a logarithm is rounded next to a power of ten
    return _cut(error, max(_OF_ERRORS - order, places + 1 - power))


def _cut(value: float, places: int) -> float | int:
    cut = float(Decimal(repr(float(value))).quantize(Decimal((0, (1,), -places)), ROUND_05UP))
    return int(cut) if abs(cut) < 1e15 and cut == int(cut) else cut


def _curves(
    rows: Sequence[Row], sides: Iterable[str], room: int, first: set[str]
) -> tuple[list[Any], int]:
    """Return spectra and angles of as many rows as fit, and the number of rows left out."""
    sides = list(sides)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["name"] not in first, _spread(i)))
    curves: list[Any] = [None] * len(rows)
    left = 0
    for i in order:
        one = {side or "w": c for side in sides if (c := _curve(rows[i], side)) is not None}
        one |= {name: c for name in ANGLES if (c := _angles(rows[i], name)) is not None}
        if not one:
            continue
        room -= len(_text(one))
        if room > 0:
            curves[i] = one
        else:
            left += 1
    return curves, left


def _spread(i: int) -> float:
    """Return a sort key by which the first few integers are spread evenly over all."""
    return i * 0.6180339887498949 % 1.0


def _curve(row: Row, side: str) -> list[Any] | None:
    """Return ranks, singular values, errors, and the density, or 0 if the curve has none."""
    curve = curve_of(row, side)
    if curve is None:
        return None
    few = thinned(curve, _POINTS)
    pairs = list(zip(few.sigma.tolist(), few.errors.tolist(), strict=True))
    edge = row.get(f"{side}_mp_edge" if side else "mp_edge")
    return [
        [compact(rank, spare=0) for rank in few.ranks.tolist()],
        [compact(value, error, spare=1) for value, error in pairs],
        [compact_error(value, error) for value, error in pairs],
        _density(curve, edge) if curve.complete else 0,
    ]


def _density(curve: Curve, edge: float | None) -> list[Any]:
    """Return the parts of a density.

    They are the end of the axis, the fractions of the bars in 1/10,000 and their error, the number
    of values beyond the axis and its error, and the single values between the noise edge and the
    end in 1/1,000 of the axis.
    """
    density = density_of(curve, edge)
    strokes = [round(1000 * value / density.end) for value in density.above]
    return [
        compact(density.end),
        [round(10_000 * share) for share in density.shares.tolist()],
        math.ceil(10_000 * density.error),
        density.beyond,
        density.beyond_error,
        strokes if len(strokes) <= _STROKES else [],
    ]


def _angles(row: Row, name: str) -> list[Any] | None:
    """Return the number of angles, the places of some, these in degrees, and the error of all."""
    angles = row.get(name)
    if not angles:
        return None
    step = -(-len(angles) // (_POINTS // 2))
    places = sorted({*range(0, len(angles), step), len(angles) - 1})
    error = row.get(f"{name}_error")
    degrees = None if error is None else math.degrees(error)
    return [
        len(angles),
        [place + 1 for place in places],
        [compact(math.degrees(angles[place]), degrees, spare=1) for place in places],
        compact_error(0.0, degrees),
    ]
