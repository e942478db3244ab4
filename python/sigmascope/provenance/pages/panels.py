# SPDX-License-Identifier: BSD-3-Clause
"""Small plots side by side on one axis: a number of each layer, for each role.

They are drawn when the page is written. A table on the page has the numbers, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from .frame import text

WIDTH, HEIGHT, TOP, BOTTOM, RIGHT = 300, 150, 10, 24, 8
DIGIT = 6.4
"""Width of a character of the ticks."""


class Mark(NamedTuple):
    """A number of one layer.

    Attributes
    ----------
    place
        Number of the layer.
    value
        Middle of the mark.
    low, high
        Ends of an interval, which may be infinite.
    kind
        "dot" or "ring".
    words
        Text that is shown on hovering.
    """

    place: int
    value: float
    low: float
    high: float
    kind: str
    words: str


class Axis(NamedTuple):
    """The axis that all panels share.

    Attributes
    ----------
    label
        What is drawn, for readers of screens.
    least, most
        Numbers that are always on the axis.
    line
        A number at which a dashed line is drawn, if there is one.
    places
        Names of the places, if they are not numbers of layers.
    """

    label: str
    least: float | None = None
    most: float | None = None
    line: float | None = None
    places: Mapping[int, str] | None = None


def draw_panels(*groups: tuple[Mapping[str, Sequence[Mark]], Axis]) -> str:
    """Return a panel for each name, side by side; nothing without marks.

    Parameters
    ----------
    *groups
        Marks by the names of panels, and the axis that these panels share.
    """
    figures = ""
    for panels, axis in groups:
        drawn = {name: marks for name, marks in panels.items() if marks}
        if drawn:
            scale = _Scale.over([mark for marks in drawn.values() for mark in marks], axis)
            figures += "".join(
                f"<figure class='panel'><figcaption>{text(name)}</figcaption>"
                f"{scale.draw(name, marks, axis)}</figure>"
                for name, marks in drawn.items()
            )
    return f"<div class='panels'>{figures}</div>" if figures else ""


class _Scale(NamedTuple):
    """Ranges of both axes, and the ticks of the vertical one."""

    first: int
    last: int
    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    @classmethod
    def over(cls, marks: Sequence[Mark], axis: Axis) -> _Scale:
        every = [x for m in marks for x in (m.low, m.high, m.value) if isfinite(x)]
        every += [x for x in (axis.least, axis.most, axis.line) if x is not None]
        low, high = min(every), max(every)
        room = 0.06 * (high - low) or 1e-6 * max(abs(low), 1)
        low, high = low - room, high + room
        step = _step(high - low)
        ticks = tuple(k * step for k in range(ceil(low / step), floor(high / step) + 1))
        places = [mark.place for mark in marks]
        digits = max(0, -floor(log10(step) + 1e-9))
        return cls(min(places), max(places), low, high, ticks, digits)

    def draw(self, name: str, marks: Sequence[Mark], axis: Axis) -> str:
        labels = [f"{0.0 if abs(x) < 1e-15 else x:.{self.digits}f}" for x in self.ticks]
        left = 6 + DIGIT * max(map(len, labels), default=0)
        parts = [
            f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
            f"aria-label='{text(axis.label)}, {text(name)}: {len(marks)} marks'>"
        ]
        for tick, label in zip(self.ticks, labels, strict=True):
            y = self._y(tick)
            parts.append(
                f"<line class='grid' x1='{left:.1f}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' "
                f"y2='{y:.1f}'/><text x='{left - 4:.1f}' y='{y + 4:.1f}' text-anchor='end'>"
                f"{label}</text>"
            )
        if axis.line is not None:
            y = self._y(axis.line)
            parts.append(
                f"<line class='claim' x1='{left:.1f}' x2='{WIDTH - RIGHT}' "
                f"y1='{y:.1f}' y2='{y:.1f}'/>"
            )
        parts += self._places(left, axis)
        parts += [self._mark(mark, left) for mark in marks]
        return "".join([*parts, "</svg>"])

    def _places(self, left: float, axis: Axis) -> Iterator[str]:
        wanted = sorted({self.first, (self.first + self.last) // 2, self.last})
        if axis.places is not None or len(wanted) == 2:
            wanted = sorted({self.first, self.last})
        for place in wanted:
            label = str(place) if axis.places is None else axis.places[place]
            anchor = "end" if place == self.last > self.first else "middle"
            if place == self.first < self.last:
                anchor = "start"
            yield (
                f"<text x='{self._x(place, left):.1f}' y='{HEIGHT - 6}' "
                f"text-anchor='{anchor}'>{text(label)}</text>"
            )

    def _mark(self, mark: Mark, left: float) -> str:
        x, y = self._x(mark.place, left), self._y(mark.value)
        ends = max(mark.low, self.low), min(mark.high, self.high)
        bottom, top = map(self._y, ends)
        kind = "ring" if mark.kind == "ring" else "dot"
        line = ""
        if bottom - top > 1:
            line = (
                f"<line class='interval' x1='{x:.1f}' x2='{x:.1f}' "
                f"y1='{top:.1f}' y2='{bottom:.1f}'/>"
            )
        radius = 4 if kind == "ring" else 2.8
        return (
            f"<g>{line}<circle class='{kind}' cx='{x:.1f}' cy='{y:.1f}' r='{radius}'/>"
            f"<title>{text(mark.words)}</title></g>"
        )

    def _x(self, place: int, left: float) -> float:
        inner = left + 8, WIDTH - RIGHT - 6
        if self.first == self.last:
            return sum(inner) / 2
        share = (place - self.first) / (self.last - self.first)
        return inner[0] + share * (inner[1] - inner[0])

    def _y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _step(span: float) -> float:
    """Return a round step that makes three to seven ticks."""
    power = 10.0 ** floor(log10(span / 3))
    return power * max(k for k in (1, 2, 5) if k * power <= span / 3)


def key(signs: Iterable[tuple[str, str]]) -> str:
    """Return the meaning of marks: pairs of a kind ("dot", "ring" or "claim") and words."""
    shapes = {
        "dot": "<circle class='dot' cx='7' cy='7' r='4'/>",
        "ring": "<circle class='ring' cx='7' cy='7' r='4'/>",
        "claim": "<line class='claim' x1='0' x2='14' y1='7' y2='7'/>",
    }
    parts = "".join(
        f"<span><svg viewBox='0 0 14 14' aria-hidden='true'>{shapes[kind]}</svg>"
        f"{text(words)}</span>"
        for kind, words in signs
    )
    return f"<p class='signs'>{parts}</p>"
