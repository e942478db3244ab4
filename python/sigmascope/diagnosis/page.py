# SPDX-License-Identifier: BSD-3-Clause
"""The page of a diagnosis: the finding, the runs at each place, the conditions, the limits.

Strips are drawn as SVG when the page is written: the page has no script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from sigmascope.extension import writable
from sigmascope.extension.pages import Section, fill_template, head, part

from .explanation import explain

WIDTH, LABELS, RIGHT, TOP, ROW = 900, 250, 20, 10, 30
DOT = 4.5

_LEAST = 1e-3
"""Least margin of an axis, relative to its numbers, so that six digits distinguish the ticks."""


class Axis(NamedTuple):
    """The axis of strips: its label, its numbers and their unit."""

    label: str
    number: Callable[[float], float]
    unit: str


PER_CENT = Axis(
    "Effective rank of the update at each place, with the runs of the calibration",
    lambda value: 100 * math.exp(value),
    " %",
)
PLAIN = Axis("Position of the score, with the runs of the calibration", lambda value: value, "")

_MARKS = {"passed": "passed", "qualified": "condition", "refused": "refused"}
_TITLES = {
    "narrow": "Narrow, or new to the base",
    "broad": "Broad",
    "not distinguishable": "Narrow and broad data are both plausible",
    "unlike both": "Unlike narrow and broad runs",
    "refused": "No answer: the calibration does not apply",
    "no calibration": "What can be measured without reference runs",
}


def title_of(record: Mapping[str, Any]) -> str:
    """Return the verdict of a diagnosis in words, marked if it comes from the example."""
    title = _TITLES[record["verdict"]]
    return (
        f"{title} (example calibration: not from your kind of run)" if _example(record) else title
    )


def _example(record: Mapping[str, Any]) -> bool:
    """Return True if the example calibration gave an answer; earlier records lack the flag."""
    return bool(record.get("example") or (record.get("calibrated") or {}).get("example"))


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write the page of a diagnosis, from its record as plain JSON."""
    path.write_text(writable(page(record)), encoding="utf-8")


def page(record: Mapping[str, Any]) -> str:
    """Return the page of a diagnosis, of a paired one, or of the increments of a run."""
    style = part("style.css") + _part("diagnosis.css")
    kind, body = _KINDS[record["kind"]]
    heading = _heading(record)
    return fill_template(
        _part("page.html"),
        head=head(f"{heading}: diagnosis", str(record["version"]), style),
        kind=f"{kind}, by the example calibration" if _example(record) else kind,
        heading=escape(heading),
        explanation=explain(record).html(),
        body="\n".join([*body(record), _starts(record)]),
    )


def section(record: Mapping[str, Any]) -> Section:
    """Return a diagnosis as a section of the page of its comparison."""
    body = "\n".join(_body(record))
    html = (
        "<section id='diagnosis' aria-labelledby='diagnosis-title'>"
        f"<h2 id='diagnosis-title'>How narrow was the data?</h2>\n{body}\n</section>"
    )
    return Section(html, _part("diagnosis.css"))


def _part(name: str) -> str:
    """Return a part of the page that only diagnoses have."""
    return resources.files(__package__).joinpath("parts", name).read_text(encoding="utf-8")


def _heading(record: Mapping[str, Any]) -> str:
    if record["kind"] == "diagnosis":
        return str(record["name"])
    names = record["names"]
    return f"{names[0]} {'and' if record['kind'] == 'paired' else 'to'} {names[-1]}"


def _starts(record: Mapping[str, Any]) -> str:
    """State the seeds of the comparisons; nothing where a record has none."""
    texts = [", ".join(map(str, seeds)) for seeds in record.get("seeds", ()) if seeds]
    if not texts:
        return ""
    start = "Random start of the comparison" + "s" * (len(texts) > 1)
    return f"<p class='note'>{start}: seed {'; '.join(dict.fromkeys(texts))}.</p>"


def _counts(record: Mapping[str, Any]) -> str:
    return (
        f"{record['matrices']} matrices in {record['blocks']} blocks (attention or MLP of a layer)."
    )


def _increments(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{escape(record['text'])}</p>"
    yield (
        f"<p class='note'>{_counts(record)} Effective rank of each increment without its decay, in "
        "per cent of the full rank: geometric mean over its matrices. "
        f"Left out of the test, from the first: {record['left_out']}.</p>"
    )
    values = [
        {"text": name, "value": value, "narrow": [], "broad": [], "others": []}
        for name, value in zip(record["names"], record["spreads"], strict=True)
    ]
    yield _strips(values, PER_CENT)


def _paired(record: Mapping[str, Any]) -> Iterator[str]:
    yield _sentences(record["reasons"])
    yield (
        f"<p class='note'>{_counts(record)} Without a calibration, the p-value is the share of "
        "random signs of the blocks that make as large a difference. It holds if blocks are "
        "independent, which two runs cannot show.</p>"
    )
    if record["calibrated"] is not None:
        yield from _guards(record["calibrated"]["guards"])


def _sentences(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(each)}</li>" for each in sentences)
    return f"<ul class='sentences'>{items}</ul>"


def _guards(guards: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "<h3>Conditions</h3>"
    yield f"<table class='guards'><tbody>{''.join(map(_guard, guards))}</tbody></table>"


def _body(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p class='verdict'>{title_of(record)}</p>"
    yield _sentences(record["reasons"])
    yield "<h3>Where the update lies</h3>"
    yield (
        "<p class='note'>Effective rank of the update without its decay, in per cent of the full "
        "rank: geometric mean over the matrices at each place. Narrow data lowers it.</p>"
    )
    yield _key(record["places"])
    yield _strips(record["places"], PER_CENT)
    if record["judgement"] is not None:
        yield (
            "<p class='note'>Position of the score between the levels of narrow runs (0) and "
            f"broad runs (1), with its interval at {100 * (1 - record['alpha']):g}&nbsp;%; each "
            "run is scored by a fit without its group.</p>"
        )
        place = record["judgement"]
        score = {"text": "position", "value": place["position"], "interval": place["interval"]}
        yield _strips([score | record["positions"] | {"others": []}], PLAIN)
    if record["guards"]:
        yield from _guards(record["guards"])
    yield f"<h3>What this cannot say</h3>{_sentences(record['limits'])}"


def _guard(guard: Mapping[str, Any]) -> str:
    return (
        f"<tr><th scope='row'>{escape(guard['name'])}</th>"
        f"<td class='{guard['outcome']}'>{_MARKS[guard['outcome']]}</td>"
        f"<td>{escape(guard['text'])}</td></tr>"
    )


def _key(places: Sequence[Mapping[str, Any]]) -> str:
    dot = "<svg viewBox='0 0 14 14' class='strips'><circle class='{0}' cx='7' cy='7' r='5'/></svg>"
    line = dot.partition("<circle")[0] + "<line class='model' x1='7' x2='7' y1='0' y2='14'/></svg>"
    parts = [f"<span>{line}this model</span>"]
    for side, label in (
        ("narrow", "narrow runs"),
        ("broad", "broad runs"),
        ("others", "other runs"),
    ):
        if any(place[side] for place in places):
            parts.append(f"<span>{dot.format(side.removesuffix('s'))}{label}</span>")
    return f"<p class='signs'>{''.join(parts)}</p>"


def _strips(places: Sequence[Mapping[str, Any]], axis: Axis) -> str:
    """Draw a strip for each place, on one axis."""
    every = [
        axis.number(x)
        for place in places
        for x in (
            place["value"],
            *place["narrow"],
            *place["broad"],
            *place["others"],
            *place.get("interval", ()),
        )
    ]
    low, high = min(every), max(every)
    room = max(0.04 * (high - low), _LEAST * max(abs(low), abs(high))) or 1.0
    low, high = low - room, high + room

    def x_of(value: float) -> float:
        share = (axis.number(value) - low) / (high - low)
        return LABELS + share * (WIDTH - LABELS - RIGHT)

    height = TOP + ROW * len(places) + 30
    parts = [
        f"<svg class='strips' viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{axis.label}'>"
    ]
    for i, place in enumerate(places):
        y = TOP + ROW * i + ROW / 2
        parts.append(f"<text x='0' y='{y + 4:.1f}'>{escape(place['text'])}</text>")
        parts.append(
            f"<line class='line' x1='{LABELS}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
        )
        for side, shift in (("others", 0.0), ("narrow", -6.0), ("broad", 6.0)):
            kind = side.removesuffix("s")
            parts += [
                f"<circle class='{kind}' cx='{x_of(x):.1f}' cy='{y + shift:.1f}' r='{DOT}'/>"
                for x in place[side]
            ]
        if "interval" in place:
            left, right = map(x_of, place["interval"])
            parts.append(
                f"<line class='interval' x1='{left:.1f}' x2='{right:.1f}' "
                f"y1='{y:.1f}' y2='{y:.1f}'/>"
            )
        at = x_of(place["value"])
        parts.append(
            f"<line class='model' x1='{at:.1f}' x2='{at:.1f}' y1='{y - 12:.1f}' y2='{y + 12:.1f}'>"
            f"<title>{axis.number(place['value']):.3g}{axis.unit}</title></line>"
        )
    base = TOP + ROW * len(places) + 16
    for tick in _ticks(low, high):
        at = LABELS + (tick - low) / (high - low) * (WIDTH - LABELS - RIGHT)
        parts.append(
            f"<text class='tick' x='{at:.1f}' y='{base}' text-anchor='middle'>"
            f"{tick:g}{axis.unit}</text>"
        )
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> Iterator[float]:
    """Return about six round numbers within the range."""
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step < 4:
        step /= 2
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield number * step


_KINDS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Iterator[str]]]] = {
    "diagnosis": ("Diagnosis of a model", _body),
    "paired": ("Diagnosis of two models of one base", _paired),
    "increments": ("Diagnosis of the increments of a run", _increments),
}
