# SPDX-License-Identifier: BSD-3-Clause
"""The page in a browser: no error, no request, and everything is drawn and legible."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.support.html_pages import (
    EVIL,
    Open,
    Read,
    comparison_page,
    drawn,
    scan_page,
    script_of,
    wait_for_drawing,
)
from tests.support.made_rows import (
    columns_of,
    evidence,
    noise,
    pair_row,
    planted,
    scan_row,
    scan_rows,
)
from tests.support.page_numbers import kept_error, kept_number, number_alone, number_with_error

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("kind", ["scan", "comparison", "evil"])
def test_everything_is_drawn(read: Read, kind: str) -> None:
    page = read(kind)
    roles = 8 if kind == "evil" else 7
    assert page.locator("#depth .panel").count() == roles
    assert page.locator("#heatmap rect.cell").count() == 7 * (4 if kind == "evil" else 12)
    for place in ("layerless", "ranks", "density"):
        assert drawn(page, place) == 1, place
    assert drawn(page, "angles") == (kind == "comparison")
    assert page.locator("#findings .finding").count() >= 4
    assert page.locator("#numbers tbody tr").count() > 30


def test_a_page_without_matrices(opened: Open) -> None:
    page = opened("empty")
    assert not page.locator("#charts").is_visible()
    assert page.locator("#findings").is_visible()


def test_names_are_shown_as_text(opened: Open) -> None:
    page = opened("evil")
    page.locator("button.go", has_text="onerror").first.click()
    page.locator("#depth svg").first.focus()
    assert page.evaluate("window.evil") is None
    assert page.locator("img").count() == 0
    assert page.locator("#matrix option:checked").text_content() == EVIL


def test_the_browser_refuses_what_is_not_of_the_page(
    browser: Browser, files: dict[str, Path]
) -> None:
    page = browser.new_page()
    page.goto(files["scan"].as_uri())
    blocked = page.evaluate(
        """async () => {
          const seen = new Promise((done) => addEventListener('securitypolicyviolation',
            (event) => done(event.effectiveDirective), { once: true }));
          const made = document.createElement('script');
          made.textContent = 'window.evil = 1';
          document.body.append(made);
          return [await seen, window.evil === undefined];
        }"""
    )
    assert blocked[0].startswith("script-src")
    assert blocked[1]
    page.close()


def pairs_of_every_size(count: int) -> list[tuple[float, float | None]]:
    """Numbers and errors of every size, whole ones, halves, and errors that are not known."""
    rng = np.random.default_rng(0)
    values = (
        rng.choice([-1, 1], count) * rng.uniform(1, 10, count) * 10.0 ** rng.uniform(-9, 9, count)
    )
    errors = np.abs(values) * rng.uniform(1, 10, count) * 10.0 ** rng.integers(-7, 3, count)
    result = list(zip(values.tolist(), errors.tolist(), strict=True))
    result += [(float(round(v)), float(round(e))) for v, e in result[: count // 4] if abs(v) < 1e9]
    result += [(round(v * 2) / 2, 0.0) for v, _ in result[: count // 4] if abs(v) < 1e9]
    extreme = [(5e-324, 0.0), (1.7e308, 1e300), (0.0, 1e-12), (1e-9, 3.0), (999_999.7, 0.0)]
    return [*result, *extreme, (68.0, 37.2), (0.00099996, 0.0), (3.0, None), (0.0, 0.0), (2.5, 3.2)]


def test_the_page_writes_every_number_as_terminals_do(read: Read) -> None:
    """From the digits that it keeps, as from those of the row."""
    pairs = pairs_of_every_size(2000)
    kept = [[kept_number(v, e), kept_error(v, e)] for v, e in pairs]
    script = script_of("numbers")
    page = read("scan")
    run = f"(pairs) => {{ {script}; return pairs.map(([v, e]) => [withError(v, e), short(v)]); }}"
    expected = [number_with_error(v, e) for v, e in pairs]
    assert [text for text, _ in page.evaluate(run, kept)] == expected
    assert page.evaluate(run, [list(p) for p in pairs]) == [
        [text, number_alone(v)] for text, (v, _) in zip(expected, pairs, strict=True)
    ]


def wide_row(count: int, k: int, error: float) -> dict[str, Any]:
    """A matrix with so many values far beyond its noise, of which k are in the row."""
    rng = np.random.default_rng(count)
    shape = (240, 300)
    values = planted(noise(rng, shape, 1.0), np.linspace(900.0, 300.0, count).tolist())
    row = scan_row("w", 0, "up", shape) | evidence(shape) | columns_of(values, shape, error, k)
    return row | {"mp_outliers": 68.0, "mp_outliers_error": 36.9}


@pytest.mark.parametrize(("count", "k"), [(1, 64), (38, 64), (38, 20), (64, 64), (64, 70)])
def test_what_lies_beyond_is_counted_of_the_row(
    browser: Browser, tmp_path: Path, count: int, k: int
) -> None:
    row = wide_row(count, k, 1e-6)
    path = tmp_path / "r.html"
    path.write_text(scan_page([row]), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    text = page.locator("#density text", has_text="beyond").text_content() or ""
    match = re.match(r"([\d.]+)(?: ± ([\d.]+))? more beyond this axis, up to 900 →", text)
    assert match
    assert (match[2] is None) == (count < k), "exact where the row has them all"
    assert abs(float(match[1]) - count) <= float(match[2] or 0)
    cells = page.locator("#numbers tr", has_text="values above the noise edge").locator("td")
    assert cells.first.text_content() == "68 ± 37"
    page.close()


def test_the_curve_by_rank_is_where_its_values_are(browser: Browser, tmp_path: Path) -> None:
    shape = (64, 64)
    values = np.append(np.linspace(9.0, 2.0, 63), 0.00245)
    row = scan_row("w", 0, "up", shape) | evidence(shape) | columns_of(values, shape, 0.0, 64)
    path = tmp_path / "r.html"
    path.write_text(scan_page([row]), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    line = page.locator("#ranks path.series")
    assert line.get_attribute("clip-path") == "url(#plot-of-ranks)"
    places = [float(y) for y in re.findall(r"[ML][\d.]+ ([-\d.]+)", line.get_attribute("d") or "")]
    ticks = [float(one.get_attribute("y1") or 0) for one in page.locator("#ranks line.grid").all()]
    texts = page.locator("#ranks text[text-anchor=end]").all_text_contents()
    known = [float(text) for text in texts[: len(ticks)]]
    assert len(known) > 1
    slope = (ticks[-1] - ticks[0]) / np.log(known[-1] / known[0])
    drawn_values = known[0] * np.exp((np.array(places) - ticks[0]) / slope)
    assert drawn_values[0] == pytest.approx(9.0, rel=0.02)
    assert drawn_values[-1] == pytest.approx(0.00245, rel=0.1)
    assert page.locator("#ranks text", has_text="↓ to 0.002450").count() == 1
    page.close()


def test_angles_by_chance_are_those_of_random_subspaces(browser: Browser, tmp_path: Path) -> None:
    """Left subspaces lie among the rows of a matrix, of which it has four times as many."""
    shape, rng = (400, 100), np.random.default_rng(3)
    path = tmp_path / "r.html"
    path.write_text(comparison_page([pair_row(rng, "w", 0, "up", shape)]), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    ticks = page.locator("#angles line.grid")
    bottom, top = (float(tick.get_attribute("y1") or 0) for tick in (ticks.first, ticks.last))
    for side, size in zip(("left", "right"), shape, strict=True):
        text = page.locator("#angles text", has_text=f"closest by chance, {side}")
        line = float(text.evaluate("(e) => e.previousElementSibling.getAttribute('y1')"))
        least = []
        for _ in range(20):
            x, y = (np.linalg.qr(rng.standard_normal((size, 16)))[0] for _ in range(2))
            least.append(np.arccos(np.linalg.norm(x.T @ y, 2)))
        expected = float(np.degrees(np.mean(least)))
        assert 90 * (line - bottom) / (top - bottom) == pytest.approx(expected, abs=3), side
    page.close()


def test_medians_say_their_error_and_of_how_many(browser: Browser, tmp_path: Path) -> None:
    rows = [row for row in scan_rows(2) if row["role"] == "up"]
    experts = [
        row
        | {
            "name": f"{row['name']}.{e}",
            "expert": e,
            "stable_rank": value,
            "stable_rank_error": 3.0,
        }
        for row in rows
        for e, value in enumerate((20.0, 24.0, None, 31.0))
    ]
    path = tmp_path / "r.html"
    path.write_text(scan_page(experts), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_role("combobox", name="Measure").select_option("stable_rank")
    page.locator("#depth svg").first.focus()
    tip = page.locator("#tip")
    assert "median 24 ± 3 of 3 (of 4), 20 ± 3 to 31 ± 3" in (tip.text_content() or "")
    page.locator("#heatmap svg[tabindex]").focus()
    assert "median 24 ± 3 of 3 (of 4) matrices" in (tip.text_content() or "")
    page.close()


def test_towers_are_told_apart(browser: Browser, tmp_path: Path) -> None:
    rows = scan_rows(3)
    seen = [row | {"tower": "vision", "name": f"vision.{row['name']}"} for row in rows]
    path = tmp_path / "r.html"
    path.write_text(scan_page([*rows, *seen]), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator("#depth .panel").count() == 14
    assert page.locator("#heatmap svg[tabindex]").count() == 2
    page.get_by_role("combobox", name="Tower").select_option("vision")
    headings = page.locator("#depth .panel h3").all_text_contents()
    assert [heading.strip() for heading in headings][:2] == ["vision q", "vision k"]
    page.close()


def test_several_matrices_of_a_role_in_a_layer_are_a_median(
    browser: Browser, tmp_path: Path
) -> None:
    rows = [row for row in scan_rows(3) if row["role"] == "up"]
    experts = [
        row | {"name": f"{row['name']}.{e}", "expert": e, "stable_rank": 2.0 + e}
        for row in rows
        for e in range(5)
    ]
    path = tmp_path / "r.html"
    path.write_text(scan_page(experts), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_role("combobox", name="Measure").select_option("stable_rank")
    assert page.locator("#depth line.range").count() == 3
    page.locator("#depth svg").first.focus()
    assert "median 4 of 5, 2 to 6" in (page.locator("#tip").text_content() or "")
    assert page.locator("#heatmap rect.cell").count() == 3
    page.close()


def test_what_is_missing_is_not_zero(browser: Browser, tmp_path: Path) -> None:
    rows = scan_rows(5)
    first, second = [row for row in rows if row["role"] == "up"][1:3]
    first["mp_outliers"] = first["mp_outliers_error"] = None
    rows.remove(next(row for row in rows if row["role"] == "q"))
    second["mp_outliers"] = 0.0
    path = tmp_path / "r.html"
    path.write_text(scan_page(rows), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_role("combobox", name="Measure").select_option("mp_outliers")
    panel = page.locator("#depth .panel", has=page.locator("h3", has_text="up"))
    assert panel.locator("path.missing").count() == 1
    assert panel.locator("circle.dot").count() == 4
    assert page.locator("#heatmap svg[tabindex] rect.empty").count() == 2
    assert page.locator("#heatmap rect.cell").count() == 33
    page.close()


@pytest.mark.parametrize("kind", ["scan", "comparison", "evil"])
def test_nothing_is_wider_than_the_screen(opened: Open, kind: str) -> None:
    """Neither on the screen on which it is opened, nor on wider ones to which it is moved."""
    page = opened(kind, 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for width in (768, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        wait_for_drawing(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_follow_the_width(opened: Open) -> None:
    page = opened("scan", 1280)
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelector('#ranks svg').viewBox.baseVal.width < 380")


@pytest.mark.parametrize("kind", ["scan", "comparison"])
def test_everything_that_is_operated_has_a_name(read: Read, kind: str) -> None:
    page = read(kind)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, [tabindex]')]
          .filter((e) => !(e.labels?.length || e.getAttribute('aria-label')
            || e.textContent.trim()))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    duplicates = page.evaluate(
        """[...document.querySelectorAll('[id]')].map((e) => e.id)
          .filter((id, i, all) => all.indexOf(id) !== i)"""
    )
    assert duplicates == []


CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => numbers(text).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = (e) => {
    const ink = light(getComputedStyle(e)[e.namespaceURI.endsWith('svg') ? 'fill' : 'color']);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  return [...document.querySelectorAll('p, h1, h2, h3, a, .go, .note, label, td, th, dt, svg text')]
    .filter((e) => ratio(e) < 4.5).map((e) => e.outerHTML.slice(0, 80));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(read: Read, scheme: Any) -> None:
    page = read("comparison")
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    red = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) > 128) == (scheme == "light")


def test_it_prints(opened: Open) -> None:
    page = opened("comparison", color_scheme="dark")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    red = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert int(red) == 255
