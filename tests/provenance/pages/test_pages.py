# SPDX-License-Identifier: BSD-3-Clause
"""Pages of verifications, lineages, checks and applications: what they say, and to whom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.html_pages import EVIL, Tags, plain_text, sentences_of
from tests.support.provenance_results import BASE, DONOR, RESULTS, UP, result_of

from sigmascope.provenance import verify
from sigmascope.provenance.pages import numbers, panels, render_page

MARK = re.compile(
    r"<circle class='(dot|ring)' cx='([\d.]+)' cy='([\d.]+)' r='[\d.]+'/><title>(.*?)</title>"
)


def page_of(kind: str) -> str:
    return render_page(result_of(kind).to_dict())


def words_of(page: str) -> str:
    """The text of a page in one line."""
    return " ".join(
        plain_text(re.sub(r"<style>.*?</style>|<wbr>", "", page, flags=re.DOTALL)).split()
    )


def table_of(page: str, label: str) -> list[list[str]]:
    """Cells of the first table of a name, without the headers."""
    table = re.search(rf"aria-label='Table: {label}'>(<table.*?</table>)", page, re.DOTALL)
    assert table is not None, label
    lines = re.findall(r"<tr>(.*?)</tr>", table[1].partition("<tbody>")[2])
    return [
        [plain_text(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line)]
        for line in lines
    ]


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_a_page_is_one_file_whose_links_lead_somewhere(kind: str) -> None:
    page = page_of(kind)
    tags = Tags()
    tags.feed(page)
    assert tags.dangling() == set()
    names = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert not {"script", "img", "iframe"} & {tag for tag, _ in tags.tags}
    assert not any("src" in attributes for _, attributes in tags.tags)
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b|<tests|\{\{", words_of(page))


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_verdict_and_sentences_stand_above_the_evidence(kind: str) -> None:
    page, result = page_of(kind), result_of(kind)
    top = words_of(page.partition("<main")[0])
    sentences_of(page)
    if kind == "group":
        assert "have a common origin" in top
        return
    assert result.verdict in top.lower()
    for sentence in getattr(result, "sentences", [getattr(result, "text", "")]):
        assert plain_text(sentence) in top


@pytest.mark.parametrize("kind", ["confirmed", "application", "check"])
def test_marks_stand_where_their_weights_are(kind: str) -> None:
    """One mark for each layer and role, in the middle of an interval that holds the weight."""
    page = page_of(kind)
    intervals = [title for _, _, _, title in MARK.findall(page) if " to " in title]
    layered = [key for key, x in BASE.items() if ".layers." in key and (x != DONOR[key]).any()]
    assert len(intervals) == len(layered)
    for title in intervals:
        low, high = map(float, title.rpartition(": ")[2].split(" to "))
        assert low <= 0.5 <= high
        assert high - low < 1e-3


def test_heights_of_marks_are_linear_in_the_weights() -> None:
    marks = [panels.Mark(i, x, x, x, "dot", f"{x}") for i, x in enumerate((0.0, 1.0, 0.25))]
    drawn = MARK.findall(panels.draw_panels(({"q": marks}, panels.Axis("weight"))))
    (x0, y0), (x1, y1), (x2, y2) = ((float(x), float(y)) for _, x, y, _ in drawn)
    assert y0 > y1
    assert y2 - y0 == pytest.approx(0.25 * (y1 - y0), abs=0.2)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)


def test_unbounded_intervals_reach_the_ends_of_the_axis() -> None:
    inf = float("inf")
    marks = [panels.Mark(0, 1.0, -inf, inf, "dot", "a"), panels.Mark(1, 2.0, 2.0, 2.0, "dot", "b")]
    svg = panels.draw_panels(({"q": marks}, panels.Axis("weight")))
    assert "inf" not in svg
    assert "nan" not in svg
    (line,) = re.findall(r"<line class='interval'[^>]*y1='([\d.]+)' y2='([\d.]+)'", svg)
    assert (float(line[0]), float(line[1])) == (panels.TOP, panels.HEIGHT - panels.BOTTOM)


def test_the_survival_of_each_tensor_is_that_of_the_model() -> None:
    """The weighted mean of the rows is the number of the result."""
    record = result_of("confirmed").to_dict()
    weights = numbers.nominal_weights(record)
    pairs = [(numbers.survived(row, weights), row["gram"]) for row in record["rows"]]
    known = [(part, gram[0][0]) for part, gram in pairs if part is not None]
    mean = sum(part * size for part, size in known) / sum(size for _, size in known)
    assert mean == pytest.approx(record["survived"], rel=1e-12)
    lines = table_of(page_of("confirmed"), "Every tensor")
    assert len(lines) == len(record["rows"])


def test_the_page_names_the_numbers_of_the_witness() -> None:
    result, page = result_of("witness"), page_of("witness")
    assert result.witness is not None
    places = [line[0] for line in table_of(page, "Witness")]
    assert places == [", ".join(map(str, each["place"])) for each in result.witness["numbers"]]
    assert {"17, 23", "4, 5"} & set(places)
    assert [line[0] for line in table_of(page, "Tensors that do not fit")] == [UP]
    reasons = table_of(page, "Tensors that were not verified")
    assert reasons[0][1] == "unpaired"


def test_the_matrix_has_both_halves_and_certified_bounds() -> None:
    page, result = page_of("group"), result_of("group")
    matrix = re.search(r"<table class='matrix'>(.*?)</table>", page, re.DOTALL)
    assert matrix is not None
    lines = re.findall(r"<tr>(.*?)</tr>", matrix[1].partition("<tbody>")[2])
    cells = [re.findall(r"<td class='(\w*)'>(.*?)</td>", line) for line in lines]
    assert [len(line) for line in cells] == [4] * 4
    for (i, j), pair in result.pairs.items():
        assert cells[i][j] == cells[j][i]
        kind, text = cells[i][j]
        assert pair.verdict in text
        assert (kind == "linked") == pair.related
        assert pair.log10_p is None or "p &lt;= " in text


def test_each_test_of_a_pair_is_listed_with_its_bound_or_reason() -> None:
    result = result_of("related")
    lines = {line[0]: line for line in table_of(page_of("related"), "Tests")}
    assert lines.keys() == result.tests.keys()
    for name, test in result.tests.items():
        assert lines[name][2] == (f"abstains: {test.reason}" if test.reason else f"p {test.p_text}")
    assert len(table_of(page_of("related"), "Layers")) == len(result.layers)
    assert str(result.seed) in words_of(page_of("related"))


def test_names_from_files_cannot_break_a_page() -> None:
    page = page_of("evil")
    assert EVIL not in page
    assert EVIL in words_of(page)


def test_intervals_are_rounded_outwards() -> None:
    for low, high in ((0.5, 0.5), (0.49999913, 0.5000021), (-0.00012, 3.0), (1 - 1e-13, 1.0)):
        text = numbers.interval_text(low, high)
        first, last = map(float, text.split(" to "))
        assert first <= low
        assert high <= last
    assert numbers.interval_text(0.0, float("inf")) == "unbounded"


def test_a_file_is_written_and_another_suffix_is_refused(tmp_path: Path) -> None:
    for kind in ("confirmed", "related", "group", "check", "application"):
        result: Any = result_of(kind)
        result.save(tmp_path / "x.html")
        assert (tmp_path / "x.html").read_text(encoding="utf-8") == page_of(kind)
        with pytest.raises(ValueError, match=r"saved as \.json(,| or) \.html"):
            result.save(tmp_path / "x.pdf")


def test_a_claim_that_was_not_made_has_no_line() -> None:
    page = render_page(verify(BASE, DONOR, DONOR).to_dict())
    assert "claimed weight" not in page
    assert "claimed weight" in page_of("confirmed")
