# SPDX-License-Identifier: BSD-3-Clause
"""Numbers at axes: they differ, they do not overlap, and they are those of their ticks."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from tests.support.html_pages import Open, scan_of, scan_page, script_of
from tests.support.made_rows import scan_rows
from tests.support.tiers import short

mpl.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = (1e-12, 3.7e-7, 0.0441, 1.0, 44.123456, 9999.9, 123456.7, 8.2e11)
SPREADS = (0, 3e-16, 1e-14, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.3, 5)
WIDTHS = (90, 170, 300, 700)

CASES = [
    {"values": [sign * size * (1 + f * spread) for f in (0, 0.31, 1)], "width": width, "log": log}
    for size, spread, width, log, sign in itertools.product(
        SIZES, SPREADS, WIDTHS, (False, True), (1, -1)
    )
    if sign > 0 or not log
]

RUN = """(cases) => { %s
  const room = (_, texts, near) => !near || texts.every((text) => textWidth(text) <= 40);
  return cases.map(({ values, width, log }) => {
    const x = fitted(values, 0, width, { log });
    const below = [Math.max(3, Math.floor(width / 48)), apartBelow(x)];
    return [below, [6, room]].map(([count, fits]) => {
      const axis = labelled(x, count, fits);
      const widths = axis.texts.map(textWidth);
      return { ...axis, low: x.low, high: x.high, places: axis.ticks.map(x), widths };
    });
  });
}"""

DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")


def number(text: str) -> float:
    """The number that a text of the page states."""
    match = re.fullmatch(r"(-?[\d.]*)(?:·?10(-?\d+))?", plain(text))
    assert match is not None, text
    digits = match[1] or "1"
    return float(f"{digits}e{match[2]}") if match[2] else float(digits)


def plain(text: str) -> str:
    """The text with a mark between 10 and its power, which is no longer a superscript."""
    return re.sub(r"10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", r"·10\1", text).translate(DIGITS).replace("··", "·")


def value_at(text: str, note: str) -> float:
    """The number at a tick: that of its text, or what the note makes of it."""
    if not note:
        return number(text)
    match = re.fullmatch(r"(?:·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))? ?(?:([+−]) (\S+))?", note)
    assert match is not None, note
    unit = 10.0 ** int((match[1] or "⁰").translate(DIGITS))
    base = number(match[3]) if match[3] else 0.0
    return float(text) * unit + (-base if match[2] == "−" else base)


@pytest.mark.slow
def test_numbers_of_an_axis_differ_fit_and_are_those_of_the_ticks(opened: Open) -> None:
    result = opened("scan").evaluate(RUN % script_of("numbers", "axes"), CASES)
    several = 0
    for case, axes in zip(CASES, result, strict=True):
        for below, axis in zip((True, False), axes, strict=True):
            texts, ticks = axis["texts"], axis["ticks"]
            assert texts, case
            assert len(set(texts)) == len(texts), (case, axis)
            several += len(texts) > 1
            spread = axis["high"] - axis["low"]
            for text, tick in zip(texts, ticks, strict=True):
                off = abs(value_at(text, axis["note"]) - tick)
                assert off <= 0.02 * spread / len(texts) + 1e-3 * abs(tick) * (len(texts) == 1), (
                    axis
                )
            if below and len(texts) > 1:
                assert sum(axis["widths"]) < case["width"] + axis["widths"][0], (case, axis)
                ends = [
                    (at - wide / 2, at + wide / 2)
                    for at, wide in zip(axis["places"], axis["widths"], strict=True)
                ]
                assert all(a[1] < b[0] for a, b in itertools.pairwise(ends)), (case, axis)
    assert several > 1.5 * len(CASES)


def same_rows(spread: float) -> list[dict[str, Any]]:
    """Rows whose values agree in their first digits."""
    rows, rng = scan_rows(12), np.random.default_rng(0)
    for row in rows:
        for name in ("effective_rank", "spectral_norm", "fro_norm", "stable_rank"):
            if row.get(name) is not None:
                full = min(row["shape"])  # the page divides ranks by it
                row[name] = 0.44123456 * full * (1 + spread * rng.uniform())
                row[f"{name}_error"] = 0.0
    return rows


OVERLAPS = """() => {
  const charts = document.querySelectorAll('#depth svg, #layerless svg, #heatmap .legend svg');
  return [...charts].flatMap((svg) => {
    const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent);
    const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
    const meet = (a, b, from, to, spare) => a[from] < b[to] - spare && b[from] < a[to] - spare;
    return boxes.flatMap(([one, a], i) => boxes.slice(i + 1)
      .filter(([, b]) => meet(a, b, 'left', 'right', 1) && meet(a, b, 'top', 'bottom', 4))
      .map(([two]) => [one, two]));
  });
}"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500, 360])
def test_numbers_do_not_overlap_in_a_browser(browser: Browser, width: int, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for spread in (1e-9, 3e-6, 1e-5, 3e-5, 1e-3):
        rows = same_rows(spread)
        path.write_text(scan_page(rows), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(path.as_uri())
        assert page.locator("#depth svg").count() == 7
        assert page.evaluate(OVERLAPS) == []
        left = page.evaluate(
            "[...document.querySelectorAll('#depth svg')].map((svg) => [...svg.querySelectorAll("
            "'text[text-anchor=end]')].map((t) => t.textContent))"
        )
        assert all(len(set(texts)) == len(texts) > 1 for texts in left), left
        page.close()


@pytest.mark.parametrize(
    ("spread", "size"),
    short(
        ["0-small figure", "1e-07-large figure"],
        {
            f"{spread:g}-{name}": (spread, size)
            for spread in (0, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 5)
            for name, size in {"small figure": (3.0, 2.2), "large figure": (7.0, 4.5)}.items()
        },
    ),
)
def test_numbers_of_plots_differ_and_do_not_overlap(
    spread: float, size: tuple[float, float]
) -> None:
    rows = same_rows(spread)
    for row in rows:
        if row.get("top"):
            row["top"] = [44.123456 * (1 + spread / (i + 1)) for i in range(len(row["top"]))]
            row["quantiles"] = row["quantile_errors"] = row["mp_edge"] = None
    plots = scan_of(rows).plot
    name = next(row["name"] for row in rows if row.get("top"))
    for ax in (plots.depth("fro_norm"), plots.heatmap("fro_norm"), plots.spectrum(name)):
        figure: Any = ax.figure
        figure.set_size_inches(*size)
        figure.canvas.draw()
        for each in figure.axes:
            check_axis(each.xaxis, "x0", "x1")
            check_axis(each.yaxis, "y0", "y1")
        plt.close(figure)


def check_axis(axis: Any, start: str, end: str) -> None:
    labels = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
    texts = [label.get_text() for label in labels]
    assert len(set(texts)) == len(texts), texts
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda b: getattr(b, start))
    assert all(getattr(a, end) <= getattr(b, start) + 2 for a, b in itertools.pairwise(boxes)), (
        texts
    )
