# SPDX-License-Identifier: BSD-3-Clause
"""Own rules, heads and adapters on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.command_line import invoke
from tests.support.families import FAMILIES

Q = "model.layers.0.self_attn.q_proj"


def run(*arguments: object, status: int = 0) -> str:
    """Return what a command prints and says, in turn; it ends with this status."""
    ended, out, err = invoke(*arguments)
    assert ended == status, out + err
    return out + err


def lines(*arguments: object, status: int = 0) -> list[dict[str, object]]:
    return [json.loads(line) for line in run(*arguments, status=status).splitlines()]


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    FAMILIES["llama"].opened(tmp_path / "llama")
    return tmp_path / "llama"


def test_heads_are_rows(llama: Path) -> None:
    arguments = (llama, "--include", "*q_proj*", "--effort", "exact", "--json", "-q")
    rows = [row for row in lines("scan", *arguments, "--heads") if row["status"] == "analysed"]
    assert [row["name"] for row in rows] == [f"{Q}.weight[head {head}]" for head in range(4)]
    (plain,) = (row for row in lines("scan", *arguments) if row["status"] == "analysed")
    assert plain["name"] == f"{Q}.weight"
    plans = lines("scan", llama, "--include", "*q_proj*", "--heads", "--plan", "--json")
    assert [plan.get("name") for plan in plans] == [row["name"] for row in rows] + [None]


def test_rules_are_of_a_file(llama: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("modules = [['mine', 'q_proj']]")
    (result,) = (r for r in lines("info", llama, "--rules", rules, "--json") if r["role"] == "mine")
    assert result["name"] == f"{Q}.weight"
    rules.write_text("modules = [['mine', '(']]")
    assert "rules.toml: modules, rule 1" in run("scan", llama, "--rules", rules, status=2)


def test_an_adapter_is_shown_and_scanned(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", lora(Q, *factors(32, 24)))
    assert "product" in run("info", folder)
    (row,) = lines("scan", folder, "--json", "-q")
    assert (row["method"], row["role"]) == ("low-rank product, exact", "q")
    assert "q" in run("scan", folder, "-q")
    assert "1 matrix" in run("scan", folder, "--plan") or "exact" in run("scan", folder, "--plan")
    assert "cannot be split into heads" in run("info", folder, "--heads", status=2)
    assert "has no variant 'fp16'" in run("scan", folder, "--variant", "fp16", status=2)


def test_dora_is_shown_as_unreadable(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", lora(Q, *factors(32, 24)), use_dora=True)
    assert "DoRA" in run("info", folder, status=1)
    assert "DoRA" in run("scan", folder, "-q", status=1)


def test_a_run_and_a_family(tmp_path: Path) -> None:
    paths = []
    for step in (100, 200):
        folder = tmp_path / f"checkpoint-{step}"
        FAMILIES["llama"].opened(folder, seed=step)
        paths.append(folder)
    run_rows = lines("trajectory", *paths, "--measure", "stable_rank", "--json", "-q", "--seed", 0)
    assert {row["step"] for row in run_rows} == {100, 200}
    assert "text up" in run("trajectory", *paths, "--step", 1, "--step", 2)
    rows = lines(
        "reference", *paths, "--measure", "stable_rank", "--bands", 1, "--json", "-q", "--seed", 0
    )
    assert {row["count"] for row in rows} == {2}
    out = tmp_path / "placed.csv"
    shown = run("reference", *paths, "--place", paths[0], "--out", out)
    assert "text up" in shown
    assert out.read_text().startswith("tower,role,depth_from")
    assert "no column 'nothing'" in run("reference", *paths, "--measure", "nothing", status=2)
    assert "No place in common" in run("reference", paths[0], "--place", paths[0])
