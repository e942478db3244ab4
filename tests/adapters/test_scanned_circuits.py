# SPDX-License-Identifier: BSD-3-Clause
"""Circuits in scans, comparisons, journals, workers and commands."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.command_line import invoke
from tests.support.families import FAMILIES
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.adapters import circuits_of

SELF = "model.layers.0.self_attn"
NAMES = [f"{SELF}[{kind} {head}]" for kind in ("qk", "ov") for head in range(4)]
NOTE = "circuits of heads: biases and norms after attention are not included"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two small models of one family."""
    for seed, name in enumerate(("before", "after")):
        FAMILIES["llama"].opened(tmp_path / name, seed)
    return tmp_path / "before", tmp_path / "after"


def dense(folder: Path, name: str) -> np.ndarray:
    product = circuits_of(ss.open_checkpoint(folder, circuits=True))[name]
    return np.asarray(product.B) @ np.asarray(product.A)


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_a_scan_has_a_row_for_each_circuit(effort: str, pair: tuple[Path, Path]) -> None:
    scan = ss.scan(ss.open_checkpoint(pair[0], circuits=True), effort=effort, k=8)
    assert [row["name"] for row in scan.rows] == NAMES
    for row in scan.rows:
        values = np.linalg.svd(dense(pair[0], row["name"]), compute_uv=False)
        np.testing.assert_allclose(row["top"], values[:8], rtol=0, atol=1e-12 * values[0])
        assert (row["status"], row["effort"], row["product_rank"]) == ("analysed", "exact", 8)
        assert (row["rows"], row["columns"], row["layer"], row["tensor"]) == (32, 32, 0, SELF)
        assert row["role"] == row["name"].split("[")[1][:2]
    assert NOTE in scan.notes
    assert scan.options["circuits"] is True


def test_a_comparison_has_the_change_of_each_circuit(pair: tuple[Path, Path]) -> None:
    both = [ss.open_checkpoint(folder, circuits=True) for folder in pair]
    comparison = ss.compare(*both, k=8)
    assert [row["name"] for row in comparison.rows] == NAMES
    for row in comparison.rows:
        before, after = (dense(folder, row["name"]) for folder in pair)
        values = np.linalg.svd(after - before, compute_uv=False)
        np.testing.assert_allclose(row["delta_top"], values[:8], rtol=0, atol=1e-12 * values[0])
        change = np.linalg.norm(after - before) / np.linalg.norm(before)
        assert row["relative_change"] == pytest.approx(change, rel=1e-10)
        cosine = np.sum(before * after) / np.linalg.norm(before) / np.linalg.norm(after)
        assert row["cosine"] == pytest.approx(cosine, abs=1e-10)
        left = [np.linalg.svd(x)[0][:, :8] for x in (before, after)]
        overlap = np.linalg.svd(left[0].T @ left[1], compute_uv=False)
        np.testing.assert_allclose(np.cos(row["angles_left"]), overlap, atol=1e-9)
        assert row["product_rank"] == 16
        assert 0 < row["rounding_floor"] < 1e-3  # of float32, in which the weights are stored
    same = ss.compare(both[0], both[0], k=8)
    assert all(row["relative_change"] == 0 for row in same.rows)


def test_circuits_are_compared_with_circuits(pair: tuple[Path, Path]) -> None:
    one = ss.open_checkpoint(pair[0], circuits=True)
    for both in ((one, pair[1]), (pair[1], one)):
        with pytest.raises(ValueError, match=r"was opened with circuits and .* without"):
            ss.compare(*both)


def test_circuits_of_other_names_are_paired_by_role(pair: tuple[Path, Path]) -> None:
    tensors = {
        name.replace("self_attn", "attention"): np.asarray(matrix)
        for name, matrix in ss.open_checkpoint(pair[1]).items()
    }

    class Model:
        """A module with the configuration of the family."""

        class config:  # noqa: N801 - as transformers calls it
            @staticmethod
            def to_dict() -> dict[str, object]:
                return FAMILIES["llama"].config

        def state_dict(self) -> dict[str, np.ndarray]:
            return tensors

    both = (ss.open_checkpoint(x, circuits=True) for x in (pair[0], Model()))
    rows = ss.compare(*both, k=8).rows
    assert [row["after"] for row in rows] == [n.replace("self_attn", "attention") for n in NAMES]
    assert all(row["status"] == "analysed" for row in rows)


def test_a_journal_continues_and_refuses_another_choice(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    journal = tmp_path / "x.jsonl"
    checkpoint = ss.open_checkpoint(pair[0], circuits=True)
    whole = ss.scan(checkpoint, resume=journal).rows
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:4]), encoding="utf-8")
    assert bits(ss.scan(checkpoint, resume=journal).rows) == bits(whole)
    with pytest.raises(ValueError, match="circuits was True, is None"):
        ss.scan(pair[0], resume=journal)
    with pytest.raises(ValueError, match="circuits was True, is None"):
        ss.scan(ss.open_checkpoint(pair[0], heads=True), resume=journal)


def test_a_worker_opens_circuits_again(pair: tuple[Path, Path]) -> None:
    both = [ss.open_checkpoint(folder, circuits=True) for folder in pair]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        how = {"executor": pool, "workers": 1, "k": 8}
        assert bits(ss.scan(both[0], **how).rows) == bits(ss.scan(both[0], k=8).rows)
        assert bits(ss.compare(*both, **how).rows) == bits(ss.compare(*both, k=8).rows)


def test_a_plan_lists_circuits(pair: tuple[Path, Path]) -> None:
    both = [ss.open_checkpoint(folder, circuits=True) for folder in pair]
    plans = (ss.scan(both[0], plan=True), ss.compare(*both, plan=True))
    assert [[matrix.name for matrix in plan.tensors] for plan in plans] == [NAMES, NAMES]


def test_weights_without_a_circuit_are_rows_with_a_reason(pair: tuple[Path, Path]) -> None:
    config = pair[0] / "config.json"
    config.write_text(json.dumps({**FAMILIES["llama"].config, "num_key_value_heads": 3}))
    scan = ss.scan(ss.open_checkpoint(pair[0], circuits=True))
    rows = {row["name"]: row for row in scan.rows}
    assert rows[f"{SELF}.k_proj.weight"]["reason"].startswith("3 heads of 8 by config.json")
    assert {row["kind"] for row in scan.rows} == {"unreadable"}


def run(*arguments: object, status: int = 0) -> str:
    ended, out, err = invoke(*arguments)
    assert ended == status, out + err
    return out + err


def test_commands_take_circuits(pair: tuple[Path, Path], tmp_path: Path) -> None:
    rows = run("scan", pair[0], "--circuits", "--json", "-q").splitlines()
    assert [json.loads(row)["name"] for row in rows] == NAMES
    rows = run("compare", *pair, "--circuits", "--json", "-q").splitlines()
    assert [json.loads(row)["name"] for row in rows] == NAMES
    assert "qk" in run("scan", pair[0], "--circuits", "-q")
    assert "product" in run("info", pair[0], "--circuits")
    page = tmp_path / "x.html"
    run("scan", pair[0], "--circuits", "-q", "--out", page)
    assert "qk" in page.read_text(encoding="utf-8")
    assert "request one of them" in run("scan", pair[0], "--circuits", "--heads", status=2)
    q = f"{SELF}.q_proj"
    adapter = write_adapter(tmp_path / "adapter", lora(q, *factors(32, 32)))
    assert "which has no circuits" in run("scan", adapter, "--circuits", status=2)


def test_an_interrupted_command_continues_with_circuits(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    journal = tmp_path / "x.jsonl"
    run("scan", pair[0], "--circuits", "-q", "--out", journal)
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:3]), encoding="utf-8")
    assert "--circuits" in run("show", journal, status=1)


def test_circuits_are_not_extracted(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = [ss.open_checkpoint(folder, circuits=True) for folder in pair]
    with pytest.raises(ValueError, match="was opened with circuits: extract reads its weights"):
        ss.extract(*both, tmp_path / "out", rank=2)


def test_rows_have_the_bounds_on_logits(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = [ss.open_checkpoint(folder, circuits=True) for folder in pair]
    bounds = [{n: circuits_of(one).logit_bound(n) for n in NAMES[:4]} for one in both]
    table = tmp_path / "scan.csv"
    scan, comparison = ss.scan(both[0], k=8), ss.compare(*both, k=8)
    scan.save(table)
    saved = {row["name"]: row for row in csv.DictReader(table.read_text("utf-8").splitlines())}
    for row, pair_row in zip(scan.rows, comparison.rows, strict=True):
        for column in ("same_position", "any_positions"):
            value = row[f"logit_bound_{column}"]
            values = [pair_row[f"{side}_logit_bound_{column}"] for side in ("before", "after")]
            if row["role"] == "ov":
                assert [value, *values] == [None, None, None]
                assert saved[row["name"]][f"logit_bound_{column}"] == ""
                continue
            expected = [getattr(each[row["name"]], column) for each in bounds]
            assert [value, *values] == [expected[0], *expected]
            assert float(saved[row["name"]][f"logit_bound_{column}"]) == value
            assert pair_row[f"change_logit_bound_{column}"] == expected[1] - expected[0]
    plain = ss.scan(pair[0], k=8).rows[0]
    assert plain["logit_bound_same_position"] is None
    comparison.save(tmp_path / "comparison.jsonl")
    read = ss.results.Comparison.load(tmp_path / "comparison.jsonl")
    assert bits(read.rows) == bits(comparison.rows)


def test_pages_name_the_rank_of_circuits_and_the_largest_logits(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    page = tmp_path / "x.html"
    out = run("scan", pair[0], "--circuits", "-q", "--out", page)
    assert "as a share of d_head, the rank of a circuit" in out
    assert "d_head, the rank of a circuit" in page.read_text(encoding="utf-8")
    assert "adapter" not in out
    mapping = circuits_of(ss.open_checkpoint(pair[0], circuits=True))
    bounds = {name: mapping.logit_bound(name) for name in NAMES[:4]}
    largest = sorted(bounds, key=lambda name: -(bounds[name] or (0, 0))[1])[:3]
    lines = out.split("Largest bounds on the magnitude of an attention logit")[1].splitlines()
    assert [line.split("  ")[0] for line in lines[3:6]] == largest
    bound = bounds[largest[0]]
    assert bound is not None
    shown = [float(text) for text in lines[3].split()[-2:]]
    assert all(0 <= text / value - 1 < 2e-3 for text, value in zip(shown, bound, strict=True))
