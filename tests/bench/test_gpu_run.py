# SPDX-License-Identifier: BSD-3-Clause
"""The run on a GPU: within ten minutes, parts that end at their limits, and results that stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.experiments import gpu_page, gpu_parts, gpu_run
from tests.support.cuda_builds import ROOT
from tests.support.cuda_module import built, missing

pytestmark = pytest.mark.unsanitized


def test_parts_take_ten_minutes_together_at_most() -> None:
    assert sum(limit for _, limit in gpu_parts.PARTS.values()) <= 600
    assert list(gpu_parts.PARTS)[:4] == ["machine", "bits", "rounding", "answers"]


def test_a_page_has_a_table_of_each_part() -> None:
    page = gpu_page.page({"steps": {"bf16": 0.000412, "x": "a|b", "seconds_of_part": 2.5}})
    assert "## steps\n\nSeconds of one step of a density" in page
    assert "This part took 2.5 s." in page
    assert "| bf16 | 0.000412 |" in page
    assert "| x | a/b |" in page


def test_a_page_has_a_column_for_each_name_that_all_results_share() -> None:
    page = gpu_page.page(
        {"bits": {"inner": {"differ": 0, "most": 0.0}, "combine": {"differ": 12345, "most": 1e-7}}}
    )
    assert "| | differ | most |\n| --- | ---: | ---: |\n| inner | 0 | 0 |" in page
    assert "| combine | 12,345 | 1e-07 |" in page


def test_a_page_has_a_row_for_each_nested_result() -> None:
    """A record in a list takes one row, and values that are empty take none."""
    ours = {"status": "done", "message": "", "tried": [{"setting": {"tol": 0.1}, "seconds": 2.0}]}
    page = gpu_page.page({"searches": {"ours-cuda": ours, "other": {"status": "no device"}}})
    assert "| ours-cuda: status | done |" in page
    assert "| ours-cuda: tried | setting (tol 0.1); seconds 2 |" in page
    assert "| other: status | no device |" in page
    assert "message" not in page
    assert "{" not in page


def test_a_page_has_long_texts_below_its_tables() -> None:
    page = gpu_page.page({"tests": {"mathematics": {"status": 1, "end": "first\nlast"}}})
    assert "| mathematics: status | 1 |" in page
    assert "mathematics: end:\n\n    first\n    last\n" in page
    page = gpu_page.page({"tests": {"failed": "Traceback\nValueError: no"}})
    assert "**It failed:** ValueError: no" in page
    assert "    Traceback" in page


@pytest.fixture
def slow_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the program of a part by one that prints a result, starts another, and hangs."""
    mark = tmp_path / "alive"
    child = f"import time\nwhile True:\n open({str(mark)!r}, 'w').close(); time.sleep(0.05)"
    program = (
        "import subprocess, sys, time;"
        "print('[\"first\", 1]', flush=True);"
        f"subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "time.sleep(60)"
    )
    popen = subprocess.Popen

    def started(command: list[str], **options: Any) -> subprocess.Popen[str]:
        return popen([command[0], "-c", program], **options)

    monkeypatch.setattr(gpu_run.subprocess, "Popen", started)
    return mark


def test_a_part_that_hangs_ends_with_all_that_it_started(slow_part: Path) -> None:
    """The results that it has printed stay."""
    saved: list[dict[str, Any]] = []
    result = gpu_run.run_part("bits", [], 2, lambda part: saved.append(dict(part)))
    assert result["first"] == 1
    assert result["failed"] == "took more than 2 s"
    assert saved[0] == {"first": 1}
    assert slow_part.exists()
    slow_part.unlink()
    time.sleep(0.5)
    assert not slow_part.exists()


def results(options: list[str], folder: Path) -> Iterator[tuple[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.experiments.gpu_run", "--rehearse"]
    command += ["--module", str(built()), *options]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        key, value = json.loads(line)
        yield key, value


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason="needs the build of the simulated device")
def test_searches_agree_on_the_simulated_device(tmp_path: Path) -> None:
    gpu_parts.prepare(tmp_path, rehearse=True)
    answers = dict(results(["--part", "answers"], tmp_path))
    assert len(answers) == 8
    assert all(answer["within"] and answer["same_bits_again"] for answer in answers.values())
    small = dict(results(["--part", "small"], tmp_path))
    assert set(small) == {"16 columns", "32 columns", "64 columns", "moments", "values"}


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason="needs the build of the simulated device")
def test_processes_of_a_part_have_the_simulated_device(tmp_path: Path) -> None:
    """A `sitecustomize` of the environment runs as well."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['OTHER'] = 'ran'")
    program = "import os, sigmascope; print(os.environ['OTHER'], sigmascope.available_devices())"
    paths = [str(gpu_run.SIMULATED_DEVICE), str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "SIMULATED_MODULE": str(built()),
        "SIGMASCOPE_SIMULATED": "1",
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "ran ['cpu', 'cuda:0']\n"


@pytest.mark.nightly
@pytest.mark.skipif(missing() is not None, reason="needs the build of the simulated device")
def test_the_whole_run_is_rehearsed(tmp_path: Path) -> None:
    gpu_parts.prepare(tmp_path / "cache", rehearse=True)
    command = [sys.executable, "-m", "benchmarks.experiments.gpu_run", "--rehearse"]
    command += ["--module", str(built()), "--cache", str(tmp_path / "cache")]
    command += ["--out", str(tmp_path / "run")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    parts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert list(parts) == list(gpu_parts.PARTS)
    assert not [name for name, result in parts.items() if "failed" in result]
    for part, name in (("searches", "ours-cuda"), ("every value", "ours-cuda-svdvals")):
        ours = parts[part].pop(name)
        assert ours["status"] == "done"
        assert ours["message"] == ""
        assert any(rung["seconds"] > 0 for rung in ours["tried"])
        assert all(timing["seconds"] for timing in ours["timings"])
        assert ours["timings"]
    page = (tmp_path / "run.md").read_text(encoding="utf-8")
    assert gpu_page.SIMULATED in page
    assert all(f"## {name}" in page for name in parts)
