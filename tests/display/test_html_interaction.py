# SPDX-License-Identifier: BSD-3-Clause
"""The page at work in a browser: choices, filters, hovering, pointer, keyboard, sorting.

A choice, and sorting with a filter, are in the short tier; they redraw every part of a page.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.support.html_pages import Open
from tests.support.made_rows import ODD


def test_a_measure_is_chosen(opened: Open) -> None:
    page = opened("scan")
    assert "Effective rank." in (page.locator("#meaning").text_content() or "")
    page.get_by_role("combobox", name="Measure").select_option("stable_rank")
    assert "strongest direction" in (page.locator("#meaning").text_content() or "")
    assert "stable rank" in (page.locator("#depth-caption").text_content() or "")
    assert "stable rank" in (page.locator("#table thead").text_content() or "")
    page.get_by_role("combobox", name="Shown as").select_option("share")
    assert "%" in (page.locator("#heatmap-caption").text_content() or "")
    page.get_by_role("combobox", name="Measure").select_option("spectral_norm")
    assert page.get_by_role("combobox", name="Shown as").input_value() == "value"


@pytest.mark.slow
def test_filters_leave_some(opened: Open) -> None:
    page = opened("scan")
    page.get_by_role("combobox", name="Role").select_option("up")
    assert page.locator("#depth .panel").count() == 1
    page.get_by_role("textbox", name="Layers").fill("2-4, 7")
    assert page.locator("#table tbody tr").count() == 4
    assert page.locator("#heatmap rect.cell").count() == 4
    assert "4 of 86 matrices" in (page.locator("#shown").text_content() or "")
    page.get_by_role("searchbox", name="Name contains").fill("layers.7.")
    assert page.locator("#table tbody tr").count() == 1
    page.get_by_role("searchbox", name="Name contains").fill("nothing like that")
    assert page.locator("#table tbody tr").count() == 0
    page.get_by_role("button", name="Reset").click()
    assert page.locator("#depth .panel").count() == 7


@pytest.mark.slow
def test_values_are_shown_on_hover(opened: Open) -> None:
    page = opened("comparison")
    page.locator("#heatmap rect.cell").nth(20).hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "relative change" in (tip.text_content() or "")
    page.locator("#ranks svg").hover()
    assert "σ of rank" in (tip.text_content() or "")
    page.locator("#angles svg").hover()
    assert "°" in (tip.text_content() or "")
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    page.locator("#numbers .term").first.hover()
    assert tip.is_visible()


@pytest.mark.slow
def test_words_explain_themselves_on_hover_and_focus(opened: Open) -> None:
    page = opened("scan")
    tip = page.locator("#tip")
    page.locator("#findings .term", has_text="robust standard deviations").hover()
    assert "outliers do not distort" in (tip.text_content() or "")
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    page.locator("#numbers .term", has_text="stable rank").focus()
    assert tip.is_visible()
    assert "strongest direction" in (tip.text_content() or "")


@pytest.mark.slow
def test_a_matrix_is_chosen_by_pointer(opened: Open) -> None:
    page = opened("scan")
    page.locator("#heatmap rect.cell").nth(12 + 5).click()
    chosen = page.locator("#matrix option:checked").text_content() or ""
    assert "layers.5." in chosen
    assert "k_proj" in chosen
    assert chosen in (page.locator("#ranks svg").get_attribute("aria-label") or "")
    page.locator("#findings button.go", has_text=ODD[0]).first.click()
    assert page.locator("#matrix option:checked").text_content() == ODD[0]
    page.get_by_role("button", name="Next matrix").click()
    assert page.locator("#matrix option:checked").text_content() != ODD[0]


@pytest.mark.slow
def test_charts_are_worked_by_keyboard(opened: Open) -> None:
    page = opened("scan")
    page.locator("#name").focus()
    page.keyboard.press("Tab")  # the reset button
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#depth') !== null")
    tip = page.locator("#tip")
    assert "layer 0" in (tip.text_content() or "")
    page.keyboard.press("ArrowRight")
    assert "layer 1" in (tip.text_content() or "")
    page.keyboard.press("Enter")
    assert "layers.1.self_attn.q_proj" in (
        page.locator("#matrix option:checked").text_content() or ""
    )
    assert page.evaluate("document.activeElement.closest('#depth') !== null"), "focus is kept"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.locator("#heatmap svg[tabindex]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert "layer 2, k" in (tip.text_content() or "")


def test_the_table_is_sorted(opened: Open) -> None:
    page = opened("scan")
    button = page.locator("#table th button").nth(5)
    button.click()
    assert page.locator("#table th").nth(5).get_attribute("aria-sort") == "descending"
    values = page.locator("#table tbody tr > :nth-child(6)").all_text_contents()
    numbers = [float(value.split(" ±")[0]) for value in values]
    assert numbers == sorted(numbers, reverse=True)
    before = page.locator("#table tbody tr").count()
    page.get_by_role("button", name="Show all 86").click()
    assert (before, page.locator("#table tbody tr").count()) == (60, 86)
    page.get_by_role("searchbox", name="Name contains").fill(".up_proj.")
    by_layer = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(12)]
    for names in (by_layer, by_layer[::-1]):
        page.locator("#table th button").nth(0).click()
        assert page.locator("#table tbody th").all_text_contents() == names


@pytest.mark.slow
def test_sides_of_a_pair_are_switched(opened: Open) -> None:
    page = opened("comparison")
    assert page.locator("#ranks path.series").count() == 3
    page.locator("#sides").get_by_label("ΔW without decay").check()
    assert page.locator("#ranks path.series").count() == 4
    page.locator("#side").get_by_label("before").check()
    assert "before" in (page.locator("#density-caption").text_content() or "")
    headers = page.locator("#numbers table").nth(1).locator("thead th").all_text_contents()
    assert headers == ["Measure", "before", "after", "change", "ΔW", "ΔW without decay"]


@pytest.mark.slow
def test_a_table_is_saved_as_csv(opened: Open, tmp_path: Path) -> None:
    page = opened("scan")
    page.get_by_role("combobox", name="Role").select_option("up")
    page.get_by_role("textbox", name="Layers").fill("2-4")
    page.locator("#table th button", has_text="stable rank").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    download.value.save_as(tmp_path / "matrices.csv")
    with (tmp_path / "matrices.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["role"] for row in rows} == {"up"}
    assert sorted(int(row["layer"]) for row in rows) == [2, 3, 4]
    ranks = [float(row["stable_rank"]) for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    shown = page.locator("#table tbody th").all_text_contents()
    assert [row["name"] for row in rows] == shown
    assert all(float(row["stable_rank_error"]) >= 0 for row in rows)


@pytest.mark.slow
def test_the_table_has_several_measures(opened: Open) -> None:
    page = opened("comparison")
    head = page.locator("#table thead th").all_text_contents()
    assert len(head) > 7
    page.get_by_role("combobox", name="Measure").select_option("delta_effective_rank")
    again = page.locator("#table thead th").all_text_contents()
    assert sum("effective rank of ΔW" in text for text in again) == 1
    assert any("relative change" in text for text in again)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_numbers_of_a_pair_stand_under_their_own_head_and_in_sight(
    opened: Open, width: int
) -> None:
    page = opened("comparison", width)
    tables = page.locator("#numbers table")
    assert page.locator("#numbers h3").all_text_contents() == [
        "Measures of the pair as a whole",
        "Measures of each matrix",
    ]
    assert tables.nth(0).locator("thead th").all_text_contents() == ["Measure", "Value"]
    rows = tables.nth(0).locator("tbody tr").all()
    assert any("relative change" in (row.text_content() or "") for row in rows)
    for row in rows:
        box = row.locator("td").bounding_box()
        assert row.locator("td").count() == 1
        assert box is not None
        assert box["x"] + box["width"] <= width
    heads = tables.nth(1).locator("thead th").count()
    assert heads == 6
    for row in tables.nth(1).locator("tbody tr").all():
        assert row.locator("th, td").count() == heads, "a number under each head"
    names = tables.nth(1).locator("tbody th").first
    before = names.bounding_box()
    tables.nth(1).locator("..").evaluate("(box) => { box.scrollLeft = 400; }")
    assert names.bounding_box() == before, "names stay in sight"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scan", "comparison"])
def test_notes_in_charts_stay_inside_them(opened: Open, kind: str) -> None:
    """The notes on values below the axis were cut off at the left, three of them in one line."""
    page = opened(kind, 400)
    for chart in page.locator("#one svg").all():
        frame = chart.bounding_box()
        assert frame is not None
        for text in chart.locator("text").all():
            box = text.bounding_box()
            assert box is not None
            assert box["x"] >= frame["x"] - 1, text.text_content()
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, text.text_content()
