# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of extractions at a small size: answers are asserted, its section is written."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.support.sources import ROOT

pytestmark = pytest.mark.slow

pytest.importorskip("torch")
pytest.importorskip("safetensors")

BENCHMARKS = ROOT / "benchmarks"


def module(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    result = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, result)
    spec.loader.exec_module(result)
    return result


@pytest.mark.nightly
def test_a_small_run_finds_what_was_planted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "found.json"
    script = str(BENCHMARKS / "experiments" / "extract_pair.py")
    sizes = ["--hidden", "160", "--inner", "224", "--turns", "2"]
    done = subprocess.run(
        [sys.executable, script, *sizes, "--json", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert [len(tool["seconds"]) for tool in result["tools"]] == [2, 2]
    assert len(result["matrices"]) == 7
    for each in result["matrices"]:
        assert abs(each["rank"] - 16) <= 1
        assert each["relative_error"] == pytest.approx(each["peer_error"], rel=0.05)
    section = module(BENCHMARKS / "findings.py", monkeypatch).finding(result)
    assert section.startswith("## An adapter from two checkpoints of 0 M parameters")
    assert "torch.linalg.svd of every change" in section
    assert "times the processor time" in section
    assert "model.layers.0.mlp.down_proj.weight | 160 × 224 | 16" in section


def test_wrong_answers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = module(BENCHMARKS / "experiments" / "extract_pair.py", monkeypatch).wrong
    right: dict[str, Any] = {"name": "w", "rank": 17, "stated": True}
    assert wrong([right] * 20, 20) is None
    assert wrong([right] * 19 + [right | {"rank": 13}], 20) is None
    assert "20 of 21" in wrong([right] * 20, 21)
    assert "planted are 16" in wrong([right] * 18 + [right | {"rank": 14}] * 2, 20)
    assert "'w'" in wrong([right] * 19 + [right | {"stated": False}], 20)


def test_the_runner_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("findings", "report", "headline"):
        module(BENCHMARKS / f"{name}.py", monkeypatch)
    command = module(BENCHMARKS / "run.py", monkeypatch).commands("machine", [], None)["extraction"]
    assert Path(command[1]).is_file()
    assert command[-1] == "--json"


def test_a_part_that_fails_is_named_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {
        name: module(BENCHMARKS / f"{name}.py", monkeypatch)
        for name in ("findings", "report", "headline", "run")
    }
    write = "import sys; open(sys.argv[1], 'w').write('{}'); print('a table')"
    fails = f"{write}; sys.exit('ranks [13]')"
    measure = modules["run"].measure
    assert measure("right", [sys.executable, "-c", write], tmp_path) == {}
    assert measure("wrong", [sys.executable, "-c", fails], tmp_path) == {"failure": "ranks [13]"}
    assert modules["report"].failed({"wrong": "ranks [13]"}) == "- **Failed**: wrong: ranks [13]\n"
    with pytest.raises(SystemExit, match="ended with 3 and wrote nothing"):
        measure("nothing", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
