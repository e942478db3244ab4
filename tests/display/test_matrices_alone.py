# SPDX-License-Identifier: BSD-3-Clause
"""Matrices whose role has too few for a test by role, and matrices like noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support import html_pages
from tests.support.html_pages import headline_of, page_of, scan_page
from tests.support.made_rows import ODD, ROLES, scan_rows
from tests.support.screens import screen, shown
from tests.support.tiers import short

import sigmascope as ss
from sigmascope import report


def findings_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the title and the text of every finding of a scan, with the names in it."""
    return {title: each.whole for title, each in html_pages.findings_of(scan_page(rows)).items()}


@pytest.mark.parametrize(
    ("size", "others"),
    short(
        ["changed as all-four other roles", "changed most-one other role"],
        {
            f"{change}-{number} other role{'s' * (others > 1)}": (size, others)
            for change, size in {"changed as all": 1.0, "changed most": 20.0}.items()
            for number, others in {"one": 1, "four": 4, "seven": 7}.items()
        },
    ),
)
def test_the_only_matrix_of_a_role_is_named_if_it_changed_most(size: float, others: int) -> None:
    """A pooler has no role mates, so that only a comparison with all other matrices finds it."""
    rng = np.random.default_rng(2)
    names = [f"model.layers.{i}.{ROLES[r][0]}.weight" for i in range(6) for r in [*ROLES][:others]]
    steep = 2.0 + np.geomspace(1, 0.1, 48)
    before = {
        name: (rng.standard_normal((48, 48)) * steep).astype(np.float32)
        for name in [*names, "pooler.dense.weight"]
    }
    after = {
        name: W
        + (size if "pooler" in name else 1.0)
        * (0.01 * np.linalg.norm(W) / 48 * rng.standard_normal(W.shape)).astype(np.float32)
        for name, W in before.items()
    }
    pair = ss.compare(before, after)
    html = page_of(pair)
    sentence, _ = headline_of(html)
    out = screen(200)
    report.show_comparison(out, pair)
    named = "most in pooler.dense.weight, by "
    assert (named in sentence) == (size > 1)
    assert (named in shown(out)) == (size > 1)
    assert ("Changed most" in html) == (size > 1)
    assert ("no clear difference between roles" in sentence) == (size == 1 and others > 1)


@pytest.mark.parametrize(("noise", "kind"), [(1, "plain"), (30, "notice")])
def test_noise_is_a_notice_only_of_a_model_of_noise(noise: int, kind: str) -> None:
    """A healthy model may have a matrix like noise, which is not its headline."""
    rows = [row for row in scan_rows(4) if row["status"] == "analysed" and row["name"] != ODD[0]]
    for row in rows[:noise]:
        row |= {"mp_outliers": 0.0, "mp_outliers_error": 1.0}
    page = scan_page(rows)
    assert html_pages.findings_of(page)["Like noise"].kind == kind
    sentence, _ = headline_of(page)
    assert ("noise" in sentence) == (kind == "notice")
    assert ("no sign of damage, and no outlier in any role" in sentence) == (kind == "plain")


def test_the_only_matrix_of_a_role_is_compared_with_all_others() -> None:
    rows = [row for row in scan_rows(4) if row["status"] == "analysed"]
    embed = rows[0]
    embed |= {"effective_rank": 3.2, "fro_norm": 1e4}
    remark = findings_of(rows)["Alone in a role"]
    assert "2 matrices are the only ones of their role" in remark
    assert f"{embed['name']}: 256 x 64, effective rank 5 % of the full rank, below the" in remark
    assert "root mean square of the entries 78.1, above the others" in remark
    rows = [row for row in rows if row["name"] != ODD[0]]
    assert "Not tested: 29 matrices" in findings_of(rows)["Nothing stands out"]


def test_noise_is_called_noise() -> None:
    rows = scan_rows(4)
    for row in rows[:3]:
        row |= {"mp_outliers": 0.0, "mp_outliers_error": 1.0}
    noise = findings_of(rows)["Like noise"]
    assert noise.startswith(
        "Of 30 matrices with a noise edge, 3 have no singular value clearly above it. Their "
        "singular values do not distinguish them from matrices of random numbers."
    )
    rows[1] |= {"mp_outliers": 9.0}
    rows[2] |= {"mp_outliers": 9.0}
    assert "Of 30 matrices with a noise edge, 1 has" in findings_of(rows)["Like noise"]
    assert (
        "Its singular values do not distinguish it from a matrix" in findings_of(rows)["Like noise"]
    )
    assert rows[0]["name"] in findings_of(rows)["Like noise"]
