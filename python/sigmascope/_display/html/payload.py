# SPDX-License-Identifier: BSD-3-Clause
"""What the charts of a page are drawn from: columns of numbers, a little longer than is shown.

A page is read in a browser, so it has a size to keep. A table of a thousand matrices fits whole; of
a larger one the last measures and the spectra of some matrices are left out, and the page says so.
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
from sigmascope._display.text import digits_of

Row = dict[str, Any]

BUDGET = 4_400_000
"""Characters of all numbers; the page around them takes about a tenth of a megabyte."""

_FOR_MEASURES = 0.6
"""Part of the budget that the measures may take."""

_POINTS = 36
"""Points of a spectrum by rank, and half as many of principal angles: more than a line shows."""

_SPARE = 2
"""Digits beyond those that are shown, so that a share or a multiple of a number is right too."""

_OF_ERRORS = 4
"""Digits of an error: no rule of how a number is written asks for more."""

_STROKES = 24
"""Single values that are drawn below a density; more are bars enough."""

ANGLES = ("angles_left", "angles_right", "delta_angles_left", "delta_angles_right")


@dataclass(frozen=True, slots=True)
class Payload:
    """Numbers of a page.

    Attributes
    ----------
    text
        JSON that may stand inside a script element.
    measures
        How many measures were left out.
    spectra
        How many matrices have their spectrum left out.
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
        The analysed ones, in the order in which the page counts them.
    first
        Names of those whose spectra matter most.
    """
    found = _matrices(rows)
    found["kind"], found["roles"] = kind, glossary.ROLES
    columns = glossary.measured(rows)
    found["measures"], found["values"], found["errors"] = [], {}, {}
    spent = len(_text(found))
    for column in columns:
        values, errors = _column(rows, column)
        cost = len(_text(values)) + len(_text(errors))
        if spent + cost > _FOR_MEASURES * BUDGET:
            continue
        spent += cost
        found["measures"].append(_description(column))
        found["values"][column] = values
        if any(error != 0 for error in errors):
            found["errors"][column] = errors
    sides = ("before", "after", "delta", "projected") if kind == "comparison" else ("",)
    found["curves"], left = _curves(rows, sides, BUDGET - spent, set(first))
    return Payload(_harmless(_text(found)), len(columns) - len(found["measures"]), left)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _harmless(text: str) -> str:
    """Escape what could end a script element, or begin a comment in it."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _description(column: str) -> dict[str, Any]:
    found = glossary.entry(column)
    return {
        "key": column,
        "label": found.label,
        "meaning": found.meaning,
        "group": found.group,
        "unit": found.unit,
        "log": found.log,
        "rank": found.rank,
        "signed": found.signed,
    }


def _matrices(rows: Sequence[Row]) -> dict[str, Any]:
    """What is known of every matrix besides its measures; texts are numbers of a list of texts."""
    texts: dict[str, int] = {}

    def interned(text: Any) -> int | None:
        return None if text is None else texts.setdefault(str(text), len(texts))

    matrices: dict[str, list[Any]] = {"name": [row["name"] for row in rows]}
    for column in ("layer", "expert", "rows", "columns", "k", "passes"):
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
    """Return a column of a scan, or those of both sides of a comparison."""
    if column in row:
        return row[column]
    before, after = row.get(f"before_{column}"), row.get(f"after_{column}")
    return before if before == after else f"{before} → {after}"


def _column(rows: Sequence[Row], column: str) -> tuple[list[Any], list[Any]]:
    values, errors = [], []
    for row in rows:
        value, error = row.get(column), row.get(f"{column}_error", 0.0)
        # What a cosine lacks of 1 is what it says.
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
    """Shorten a number so that the page writes it as ``_display.text.with_error`` does.

    What is cut off is remembered by the last digit, which is never a 0 or a 5 that was not there:
    a number that is rounded twice is then rounded as if it had been once (Boldo & Melquiond 2008).

    Parameters
    ----------
    value, error
        None where there is none, or where the error is not known.
    size
        The number that is shown for it, if another: what a cosine lacks of 1.
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
    """Shorten an error; 0 if it is below the last digit that is shown, None if it is not known."""
    if value is None or not math.isfinite(value):
        return 0
    if error is None or not math.isfinite(error):
        return None
    power, places, visible = digits_of(value, error)
    if not visible:
        return 0
    return _cut(error, max(_OF_ERRORS - math.floor(math.log10(error)), places + 1 - power))


def _cut(value: float, places: int) -> float | int:
    found = float(Decimal(repr(float(value))).quantize(Decimal((0, (1,), -places)), ROUND_05UP))
    return int(found) if abs(found) < 1e15 and found == int(found) else found


def _curves(
    rows: Sequence[Row], sides: Iterable[str], room: int, first: set[str]
) -> tuple[list[Any], int]:
    """Spectra and angles of every row, of as many as there is room for."""
    sides = list(sides)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["name"] not in first, _spread(i)))
    found: list[Any] = [None] * len(rows)
    left = 0
    for i in order:
        one = {side or "w": c for side in sides if (c := _curve(rows[i], side)) is not None}
        one |= {name: c for name in ANGLES if (c := _angles(rows[i], name)) is not None}
        if not one:
            continue
        room -= len(_text(one))
        if room > 0:
            found[i] = one
        else:
            left += 1
    return found, left


def _spread(i: int) -> float:
    """Order whole numbers so that every beginning of the order is spread over all of them."""
    return i * 0.6180339887498949 % 1.0


def _curve(row: Row, side: str) -> list[Any] | None:
    """Ranks, singular values, errors, and their density if they reach the smallest one."""
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
        _density(curve, edge) if curve.whole else 0,
    ]


def _density(curve: Curve, edge: float | None) -> list[Any]:
    """Its axis' end, shares of the bars in 1/10,000, their error, what is beyond, and strokes.

    Strokes are the values between the noise edge and the end, in 1/1,000 of the axis.
    """
    found = density_of(curve, edge)
    strokes = [round(1000 * value / found.end) for value in found.above]
    return [
        compact(found.end),
        [round(10_000 * share) for share in found.shares.tolist()],
        math.ceil(10_000 * found.error),
        found.beyond,
        found.beyond_error,
        strokes if len(strokes) <= _STROKES else [],
    ]


def _angles(row: Row, name: str) -> list[Any] | None:
    """How many angles there are, the places of some, those in degrees, and the error of all."""
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
