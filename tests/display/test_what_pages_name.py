# SPDX-License-Identifier: BSD-3-Clause
"""Architecture, parts, outlier channels and ranks of adapters on pages, and the first matrix."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.support import adapted_model
from tests.support.changed import written
from tests.support.html_pages import findings_of, headline_of, page_of
from tests.support.page_numbers import known_spectrum_of_row, largest_rank
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report
from sigmascope.results import Comparison, Scan

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RNG = np.random.default_rng(7)
NAME = "model.layers.{}.mlp.up_proj.weight"


def model(folder: Path, count: int = 4, **tensors: Any) -> Path:
    made = {NAME.format(i): RNG.standard_normal((60, 40)) for i in range(count)}
    return written(folder, made | tensors, "F32")


def facts(table: Scan | Comparison) -> str:
    return headline_of(page_of(table))[1].split(" · ")[0]


# ----------------------------------------------------------------------- architecture and parts


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "LlamaForCausalLM"),
        ({"architectures": [], "model_type": "llama"}, "llama"),
        ({"architectures": 3}, None),
        ({}, None),
    ],
)
def test_a_page_and_info_name_the_architecture(
    tmp_path: Path, settings: Any, named: str | None
) -> None:
    folder = model(tmp_path / "model", 1)
    (folder / "config.json").write_text(json.dumps(settings))
    scan = ss.scan(folder, k=4)
    assert scan.architecture == named
    assert facts(scan) == (named or "2,400 parameters")
    out = screen(100)
    report.show_info(out, ss.open_checkpoint(folder))
    assert (shown(out).splitlines()[1] == named) == (named is not None)
    scan.save(tmp_path / "scan.jsonl")
    assert Scan.load(tmp_path / "scan.jsonl").architecture == named


def test_a_pair_names_both_if_they_differ(tmp_path: Path) -> None:
    base = written(tmp_path / "base", adapted_model.llama())
    (base / "config.json").write_text(json.dumps({"model_type": "llama"}))
    adapter = adapted_model.adapter(tmp_path / "adapter", r=4)
    assert ss.compare(base, base, k=4).architecture == "llama"
    named = "LoRA adapter of rank 4 for the/base"
    assert ss.compare(base, adapter, k=4).architecture == f"llama → {named}"
    (base / "config.json").unlink()
    assert ss.compare(base, adapter, k=4).architecture == named


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"model_type": "llama"}, "LlamaForCausalLM"),
        ({"model_type": "llama", "architectures": ["LlamaModel"]}, "LlamaForCausalLM → LlamaModel"),
        ({"model_type": "mistral"}, "LlamaForCausalLM → mistral"),
        ({}, "LlamaForCausalLM"),
    ],
)
def test_a_type_without_a_class_is_the_same_model(
    tmp_path: Path, settings: Any, shown: str
) -> None:
    """A config.json without `architectures` has "bert", where its partner has "BertModel"."""
    folders = [model(tmp_path / name, 1) for name in ("before", "after")]
    first = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    for folder, config in zip(folders, (first, settings), strict=True):
        (folder / "config.json").write_text(json.dumps(config))
    assert ss.compare(*folders, k=4).architecture == shown


def test_a_page_says_that_it_is_a_part(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    part = ss.scan(folder, k=4, shard=(1, 2))
    assert "Part 1/2 of the whole. " in page_of(part)
    out = screen(100)
    report.show_scan(out, part)
    assert f"part 1/2, with {len(part)} of 4 rows" in shown(out)
    assert "Part " not in page_of(ss.scan(folder, k=4))


# ----------------------------------------------------------------------------- outlier channels


def test_outlier_channels_are_named_with_their_size(tmp_path: Path) -> None:
    W = np.random.default_rng(5).standard_normal((300, 200))
    far, other = W.copy(), W.copy()
    far[[3, 77, 200, 250]] *= np.array([[40.0], [90.0], [20.0], [30.0]])
    other[:, 9] *= 25
    folder = model(tmp_path / "model", 0, other=other, far=far)
    scan = ss.scan(folder, k=4)
    rows = {row["name"]: row for row in scan}
    norms = np.linalg.norm(far.astype(np.float32), axis=1)
    assert rows["far"]["outlier_row_indices"] == [77, 3, 250, 200]
    np.testing.assert_allclose(
        rows["far"]["outlier_row_factors"], norms[[77, 3, 250, 200]] / np.median(norms), rtol=1e-6
    )
    assert rows["far"]["outlier_columns"] == 0
    assert rows["far"]["outlier_column_indices"] is None
    assert rows["other"]["outlier_column_indices"] == [9]
    finding = findings_of(page_of(scan))["Outlier channels"]
    assert [name for name, _ in finding.items] == ["far", "other"]
    text = finding.items[0][1]
    assert text.startswith("300 x 200, 4 rows: the farthest 77 (")
    assert [part.split(" (")[0] for part in text.split(": the farthest ")[1].split(", ")] == [
        "77",
        "3",
        "250",
    ]
    assert finding.items[1][1].startswith("300 x 200, 1 column: 9 (")


def test_a_row_lists_at_most_eight_channels(tmp_path: Path) -> None:
    W = RNG.standard_normal((300, 200))
    W[:12] = np.sign(W[:12]) * np.arange(20.0, 32.0)[:, None]
    (row,) = ss.scan(model(tmp_path / "model", 0, w=W), k=4)
    assert row["outlier_rows"] == 12
    assert row["outlier_row_indices"] == [11, 10, 9, 8, 7, 6, 5, 4]
    assert row["outlier_row_factors"] == sorted(row["outlier_row_factors"], reverse=True)


def test_lists_begin_with_the_largest_matrices(tmp_path: Path) -> None:
    small, large = np.full((8, 6), np.nan), np.full((30, 20), np.nan)
    zero, wide = np.zeros((8, 6)), np.zeros((30, 20))
    folder = model(tmp_path / "model", 2, a=small, b=large, c=zero, d=wide)
    findings = findings_of(page_of(ss.scan(folder, k=4)))
    named = {title: [name for name, _ in each.items] for title, each in findings.items()}
    assert named["Failed"] == ["b", "a"]
    assert named["Degenerate matrices"] == ["d", "c"]


# ----------------------------------------------------------------------------- ranks of adapters


def test_ranks_of_an_adapter_are_shares_of_r(tmp_path: Path) -> None:
    adapter = adapted_model.adapter(tmp_path / "adapter", r=4)
    scan = ss.scan(adapter, k=8)
    assert {row["product_rank"] for row in scan.analysed} == {4}
    row = scan.rows[0]
    assert largest_rank(row, "effective_rank") == 4
    assert "As a share of r, the rank of the adapter" in page_of(scan)
    out = screen(100)
    report.show_scan(out, scan)
    assert "as a share of r, the rank of the adapter" in shown(out)
    curve = known_spectrum_of_row(row)
    assert curve.complete
    assert (curve.full, len(curve.sigma)) == (4, 4)
    assert np.all(curve.sigma > 0)


def test_only_the_change_of_a_pair_has_the_rank_of_the_adapter(tmp_path: Path) -> None:
    base = written(tmp_path / "base", adapted_model.llama())
    adapter = adapted_model.adapter(tmp_path / "adapter", r=4)
    comparison = ss.compare(base, adapter, k=8)
    row = comparison.analysed[0]
    whole = min(row["rows"], row["columns"])
    assert row["product_rank"] == 4
    assert largest_rank(row, "delta_effective_rank") == 4
    assert largest_rank(row, "before_effective_rank") == whole
    assert largest_rank(row, "projected_effective_rank") == whole
    plain = ss.compare(base, base, k=8).analysed[0]
    assert plain["product_rank"] is None
    assert largest_rank(plain, "delta_effective_rank") == whole


# ----------------------------------------------------------------------------------- in a browser


@pytest.mark.slow
def test_the_browser_shows_shares_of_r(browser: Browser, tmp_path: Path) -> None:
    adapter = adapted_model.adapter(tmp_path / "adapter", r=4)
    scan = ss.scan(adapter, k=8, out=tmp_path / "page.html")
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert "Share of r, the rank of the adapter" in (
        opened.locator("#numbers").text_content() or ""
    )
    shares = opened.locator("#show option[value=share]").text_content()
    assert shares == "share of r, the rank of the adapter, %"
    line = opened.locator("#numbers tr", has_text="effective rank").first
    share = (line.locator("td").nth(1).text_content() or "").removesuffix(" %")
    assert math.isclose(float(share), 100 * scan.rows[0]["effective_rank"] / 4, rel_tol=1e-3)


@pytest.mark.slow
def test_a_page_opens_on_a_matrix_with_values(browser: Browser, tmp_path: Path) -> None:
    folder = model(tmp_path / "model", 3, **{NAME.format(0): np.zeros((60, 40))})
    ss.scan(folder, k=4, out=tmp_path / "page.html")
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.get_by_role("combobox", name="Matrix").input_value() == "1"
    assert opened.locator("#ranks svg").count() == 1
    opened.locator("button.go", has_text=NAME.format(0)).first.click()
    text = "Every singular value of this matrix is zero."
    assert opened.locator("#ranks").text_content() == text
    assert opened.locator("#density").text_content() == text
