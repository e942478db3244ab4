# SPDX-License-Identifier: BSD-3-Clause
"""The page of a verification: weights, survival, what does not fit, and every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sigmascope.extension import counted, short
from sigmascope.extension.pages import Explanation

from .frame import (
    TONES,
    Chapter,
    Page,
    Table,
    claims,
    code,
    facts,
    folded,
    last_part,
    listing,
    meaning,
    note,
    text,
)
from .numbers import (
    FORMATS,
    Row,
    by_role,
    expected,
    interval_of,
    interval_text,
    name_of,
    nominal_weights,
    percent,
    survived,
)
from .panels import Axis, Mark, draw_panels, key

Record = Mapping[str, Any]

UNSEEN = ("unpaired", "not verified", "failed")
LIMITS = (
    "It does not say who merged the file or whether the model is good, and a merge that rounds in "
    "an order outside of the list of orders may be refuted wrongly."
)


def verification_page(record: Record) -> Page:
    """Return the page of a verification."""
    merged, base = last_part(record["merged"]), last_part(record["base"])
    donors = " and ".join(map(last_part, record["donors"])) or "no donors"
    examined = (
        f"The stored numbers of {counted(len(record['rows']), 'tensor')} were compared with {base} "
        f"plus weighted changes of {donors}, through each order in which mergers round."
    )
    return Page(
        kind="Verification of a merged file",
        heading=f"{merged}: {base} + {donors}" if record["donors"] else f"{merged}: {base}",
        verdict=record["verdict"],
        tone=TONES[record["verdict"]],
        sentences=record["sentences"],
        explanation=Explanation(examined, meaning(record["decisions"]), LIMITS),
        chapters=list(verification_chapters(record)),
    )


def verification_chapters(record: Record, prefix: str = "") -> Iterator[Chapter]:
    """Yield the evidence of a verification.

    Parameters
    ----------
    record
        A verification as plain JSON.
    prefix
        Start of all anchors, on a page with other results.
    """
    if not prefix:
        yield Chapter("claims", "Claims", claims(record["decisions"]))
    yield Chapter(f"{prefix}weights", "Weights", _weights(record))
    yield Chapter(f"{prefix}survival", "What rounding left of the change", _survival(record))
    yield Chapter(f"{prefix}refused", "What does not fit", _refused(record))
    yield Chapter(f"{prefix}orders", "Orders of rounding", _orders(record["rows"]))
    yield Chapter(f"{prefix}tensors", "Every tensor", _tensors(record))
    values = {
        "base": record["base"],
        "merged": record["merged"],
        **{f"donor {i + 1}": donor for i, donor in enumerate(record["donors"])},
        "tolerance": f"{record['tolerance']:g}",
        "sigmascope": record["version"],
    }
    notes = [*record["notes"], *(f"{k}: {v}" for k, v in record["unpaired_changes"].items())]
    notes += [f"{name_of(row)}: {row['note']}" for row in record["rows"] if row["note"]]
    yield Chapter(f"{prefix}files", "Files", facts(values) + listing(notes))


def _weights(record: Record) -> str:
    donors = record["donors"]
    lines = [
        [code(last_part(each["donor"])), interval_text(*_ends(each))]
        for each in record["weights"] or ()
    ]
    parts = [Table("Weights of the model", ["donor", "weight"], lines).html()]
    if record["weights"] is None and donors:
        parts.append(note("There are no weights that hold for all tensors."))
    claimed = _claimed(record)
    roles = by_role(record["rows"])
    for donor, name in enumerate(donors):
        panels = {role: list(_intervals(rows, donor)) for role, rows in roles.items()}
        axis = Axis(f"weight of {last_part(name)} by layer", line=claimed.get(donor))
        plot = draw_panels((panels, axis))
        if plot:
            title = f"Weight of {last_part(name)} by layer, for each role"
            signs = [("dot", "weight, with the interval that contains it")]
            signs += [("claim", "claimed weight")] if donor in claimed else []
            parts.append(f"<h3>{text(title)}</h3>{key(signs)}{plot}")
    return "".join(parts)


def _ends(weight: Record) -> tuple[float, float]:
    low, high = weight["low"], weight["high"]
    return float("-inf") if low is None else low, float("inf") if high is None else high


def _claimed(record: Record) -> dict[int, float]:
    """Return the claimed weight of each donor, if weights are claimed."""
    for decision in record["decisions"]:
        name, _, values = decision["expectation"].partition("=")
        if name == "adapter":
            return dict.fromkeys(range(len(record["donors"])), 1.0)
        if name == "weights":
            return {i: float(value) for i, value in enumerate(values.split(","))}
    return {}


def _intervals(rows: Sequence[Row], donor: int) -> Iterator[Mark]:
    for row in rows:
        ends = interval_of(row, donor)
        if ends is None:
            continue
        low, high = ends
        words = f"{name_of(row)}: {interval_text(low, high)}"
        if low == -float("inf") and high == float("inf"):
            continue
        middle = high if low == -float("inf") else low if high == float("inf") else (low + high) / 2
        yield Mark(row["layer"], middle, low, high, "dot", words)


def _survival(record: Record) -> str:
    weights = nominal_weights(record)
    touched = [row for row in record["rows"] if survived(row, weights) is not None]
    if not touched:
        return ""
    lines = []
    for row_format in sorted({row["formats"]["merged"] for row in touched}):
        own = [row for row in touched if row["formats"]["merged"] == row_format]
        moved = sum(row["changed"] for row in own)
        numbers = sum(row["numbers"] for row in own)
        lines.append(
            [
                FORMATS.get(row_format, text(row_format)),
                f"{len(own):,}",
                f"{moved:,} of {numbers:,}",
                percent(moved / numbers if numbers else None),
            ]
        )
    headers = ["stored in", ">tensors", ">numbers that moved", ">share"]
    panels = {
        role: [mark for row in rows for mark in survival_marks(row, survived(row, weights))]
        for role, rows in by_role(touched).items()
    }
    axis = Axis("part of the change that survived, by layer", least=0.0, most=1.0)
    signs = [("dot", "survived"), ("ring", "expected by the closed form")]
    plot = draw_panels((panels, axis))
    total = f"{percent(record['survived'])} of the whole change survived: " if (
        record["survived"] is not None) else ""  # fmt: skip
    return (
        note(f"{total}the part of the change before rounding that the stored numbers have.")
        + Table("Numbers that moved", headers, lines).html()
        + (f"<h3>Part that survived, by layer and role</h3>{key(signs)}{plot}" if plot else "")
    )


def survival_marks(row: Row, part: float | None) -> Iterator[Mark]:
    """Yield the expected and the measured part of the change that survived in a tensor."""
    closed = expected(row)
    words = f"{name_of(row)}: survived {percent(part)}, expected {percent(closed)}"
    if closed is not None:
        yield Mark(row["layer"], closed, closed, closed, "ring", words)
    if part is not None:
        yield Mark(row["layer"], part, part, part, "dot", words)


def _refused(record: Record) -> str:
    rows = record["rows"]
    wrong = [row for row in rows if row["status"] in ("unexplained", "changed")]
    unseen = [row for row in rows if row["status"] in UNSEEN]
    if not wrong and not unseen:
        return "<p>Nothing: weights explain each tensor that a donor changes.</p>"
    lines = [
        [code(name_of(row)), f"{row['changed']:,} of {row['numbers']:,}", _explanation(row)]
        for row in wrong
    ]
    parts = [Table("Tensors that do not fit", ["tensor", ">moved", "explanation"], lines).html()]
    witness = record["witness"]
    if witness is not None:
        parts.append(
            f"<h3>Numbers of {code(witness['tensor'])} that contradict each other</h3>"
            + note("Whatever the weights, no order of rounding stores all of them.")
            + _witness(witness["numbers"], record["donors"])
        )
    lines = [[code(name_of(row)), text(row["status"]), text(row["reason"])] for row in unseen]
    table = Table("Tensors that were not verified", ["tensor", "status", "reason"], lines).html()
    parts.append(f"<h3>Not verified</h3>{table}" if table else "")
    return "".join(parts)


def _explanation(row: Row) -> str:
    if row["status"] == "changed":
        return "no donor changes this tensor"
    explanation = row.get("explanation")
    if not explanation:
        return "no weights explain it"
    words = {
        "slerp": "an interpolation on a sphere (SLERP)",
        "sum": "weights that do not sum to 1",
        "trimmed": "small changes were left out, as TIES does",
        "dropped": "changes were dropped at random, as DARE does",
    }
    return text(explanation.get("words") or words.get(explanation["kind"], explanation["kind"]))


def _witness(numbers: Sequence[Record], donors: Sequence[str]) -> str:
    lines = [
        [
            text(", ".join(map(str, number["place"]))),
            _number(number["base"]),
            _number(number["merged"]),
            *map(_number, number["changes"]),
        ]
        for number in numbers
    ]
    count = len(numbers[0]["changes"]) if numbers else 0
    several = count == len(donors)
    names = [f">change by {text(last_part(donors[i]))}" if several else f">change {i + 1}"
             for i in range(count)]  # fmt: skip
    return Table("Witness", ["place", ">in the base", ">in the merged file", *names], lines).html()


def _number(value: float | str) -> str:
    return text(value) if isinstance(value, str) else short(value, 7)


def _orders(rows: Sequence[Row]) -> str:
    explained: dict[str, int] = {}
    refuted: dict[str, int] = {}
    for row in rows:
        for fit in row.get("orders", ()):
            explained[fit["order"]] = explained.get(fit["order"], 0) + 1
        for order in row.get("refuted", ()):
            refuted[order] = refuted.get(order, 0) + 1
    names = sorted({*explained, *refuted}, key=lambda name: -explained.get(name, 0))
    lines = [[text(n), f"{explained.get(n, 0):,}", f"{refuted.get(n, 0):,}"] for n in names]
    headers = ["order", ">tensors that it explains", ">tensors that refute it"]
    return Table("Orders of rounding", headers, lines).html()


def _tensors(record: Record) -> str:
    weights = nominal_weights(record)
    lines = []
    for row in record["rows"]:
        numbers = row.get("numbers")
        moved = "-" if numbers is None else f"{row['changed']:,} of {numbers:,}"
        own = [interval_of(row, donor) for donor in row["donors"]]
        texts = ", ".join(interval_text(*ends) for ends in own if ends is not None)
        part = survived(row, weights)
        lines.append([code(name_of(row)), text(row["status"]), moved, texts, percent(part),
                      percent(expected(row))])  # fmt: skip
    headers = ["tensor", "status", ">moved", "weights", ">survived", ">expected"]
    table = Table("Every tensor", headers, lines).html()
    return folded(f"{counted(len(lines), 'tensor')}", table) if len(lines) > 40 else table
