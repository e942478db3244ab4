# SPDX-License-Identifier: BSD-3-Clause
"""The command line as its users meet it: what it prints, where, with which exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.command_line import COMMAND, invoke
from tests.support.slow_scans import slow_model, stopped

import sigmascope as ss
from sigmascope.analysis.spectrum import analysed
from sigmascope.cli.demo import DemoError


def normal(name: str, *shape: int) -> Stored:
    return of_array(name, "F32", np.random.default_rng(0).standard_normal(shape).astype(np.float32))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    tensors = [normal(f"h.{i}.mlp.up_proj.weight", 20, 12) for i in range(3)]
    return write_file(tmp_path / "good.safetensors", normal("norm.weight", 5), *tensors)


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    bad = np.full((4, 4), np.nan, np.float32)
    return write_file(
        tmp_path / "flawed.safetensors", normal("a", 6, 4), of_array("bad", "F32", bad)
    )


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    return slow_model(tmp_path)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


# ------------------------------------------------------------------------------------ results


def test_scan_prints_tables_and_lines(good: Path) -> None:
    found = run("scan", good, "--effort", "exact", COLUMNS="80")
    assert found.returncode == 0
    assert max(map(len, found.stdout.splitlines()[1:])) <= 80
    assert "By role" in found.stdout
    assert "3 matrices analysed" in found.stdout
    assert len(found.stderr.splitlines()) == 3
    assert found.stderr.startswith("[1/3] h.0.mlp.up_proj.weight 20 x 12: sigma_1 ")


def test_accuracy_is_that_of_the_library(good: Path) -> None:
    options = ["--effort", "exact", "--json", "--quiet"]
    rows = {}
    for accuracy in ("reference", "fast"):
        status, out, _ = invoke("scan", good, *options, "--accuracy", accuracy)
        assert status == 0
        rows[accuracy] = [json.loads(line) for line in out.splitlines()]
        again = ss.scan(good, effort="exact", accuracy=accuracy).rows
        assert [row["top"] for row in rows[accuracy]] == [row["top"] for row in again]
    assert rows["fast"] != rows["reference"]


def test_workers_report_bytes(good: Path) -> None:
    found = run("scan", good, "--workers", 2)
    assert found.returncode == 0
    for line, done in zip(found.stderr.splitlines(), ("960 B", "1.92 kB", "2.88 kB"), strict=True):
        assert f", {done} of 2.88 kB" in line


@pytest.mark.parametrize("command", ["trajectory", "reference"])
def test_series_of_checkpoints_report_progress(good: Path, command: str) -> None:
    options = ["--seed", "0", *(["--step", "1"] if command == "trajectory" else [])]
    status, out, err = invoke(command, good, *options)
    assert status == 0
    assert len(err.splitlines()) == 3
    assert invoke(command, good, *options, "--quiet") == (0, out, "")


def test_quiet_is_quiet(good: Path) -> None:
    status, out, err = invoke("scan", good, "--quiet")
    assert (status, err) == (0, "")
    assert "By role" in out


def test_json_is_rows_and_nothing_else(good: Path) -> None:
    found = run("scan", good, "--json", "-k", 3, "--seed", 7, "--threads", 1, "--memory", "1GiB")
    assert found.returncode == 0
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    again = ss.scan(good, k=3, seed=7, num_threads=1, memory_limit="1GiB").rows
    for row in (*rows, *again):
        row["seconds"] = None
    assert rows == again


def test_outputs_and_patterns(good: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")]
    options = [option for out in outs for option in ("--out", out)]
    status, _, _ = invoke("scan", good, *options, "--include", "h.*", "--exclude", "h.0.*")
    assert status == 0
    for out in outs:
        names = [row["name"] for row in ss.Scan.load(out).analysed]
        assert names == ["h.1.mlp.up_proj.weight", "h.2.mlp.up_proj.weight"]


def test_a_page_is_saved_and_named(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    status, said, _ = invoke("scan", good, "--out", out)
    assert status == 0
    assert said.splitlines()[-1] == f"Saved: {out}."
    assert "h.1.mlp.up_proj.weight" in out.read_text(encoding="utf-8")
    _, silent, _ = invoke("scan", good, "--out", out, "--json")
    assert "Saved" not in silent


def test_info(good: Path) -> None:
    status, out, err = invoke("info", good)
    assert (status, err) == (0, "")
    assert "3 matrices to analyse" in out
    _, every, _ = invoke("info", good, "--all")
    assert "norm.weight" in every
    status, lines, _ = invoke("info", good, "--json")
    assert json.loads(lines.splitlines()[0])["name"] == "norm.weight"
    assert len(lines.splitlines()) == 4


def test_version_and_config() -> None:
    assert run("--version").stdout.strip() == f"sigmascope {ss.__version__}".strip()
    found = run("config")
    assert found.returncode == 0
    assert "isa" in found.stdout
    assert "OpenBLAS" in found.stdout


def test_demo_scans_what_was_fetched(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigmascope.cli.app.fetch", lambda: good)
    for options in ([], ["--quiet"]):
        status, out, _ = invoke("demo", *options)
        assert status == 0
        assert "Effort exact" in out


def test_demo_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch() -> Path:
        raise DemoError("could not download it. Or scan a model of your own")

    monkeypatch.setattr("sigmascope.cli.app.fetch", fetch)
    status, out, err = invoke("demo", "--quiet")
    assert (status, out) == (2, "")
    assert err == "sigmascope: could not download it. Or scan a model of your own\n"


# -------------------------------------------------------------------------------- exit status


def test_failed_tensors_are_status_1(flawed: Path, tmp_path: Path) -> None:
    found = run("scan", flawed, "--out", tmp_path / "x.csv")
    assert found.returncode == 1
    assert "bad: the matrix holds 16 NaN" in found.stdout
    assert [row["status"] for row in ss.Scan.load(tmp_path / "x.csv")] == ["analysed", "failed"]


def test_unreadable_tensors_are_status_1(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("codes", "F4", (4, 4)))
    for command in ("info", "scan"):
        status, out, _ = invoke(command, path)
        assert status == 1
        assert "codes: dtype F4 is not decoded" in out


def test_an_unconverged_search_is_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, path = analysed, write_file(tmp_path / "x.safetensors", normal("a", 1100, 1000))
    monkeypatch.setattr(
        "sigmascope.scanning.tasks.analysed",
        lambda a, asked, **how: real(a, asked, **how, max_passes=2),
    )
    options = ["--effort", "top", "-k", 8, "--tol", "1e-5", "--quiet"]
    status, out, _ = invoke("scan", path, *options, "--out", tmp_path / "x.jsonl")
    assert status == 1
    assert "Did not converge" in out
    assert invoke("show", tmp_path / "x.jsonl")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "nowhere"], "nowhere: cannot be read: No such file or directory"),
        (["info", "nowhere"], "nowhere: cannot be read: No such file or directory"),
        (["scan", "{good}", "--memory", "3 apples"], "memory_limit '3 apples'"),
        (["scan", "{good}", "--out", "x.xml"], "x.xml: a scan is saved as"),
        (["scan", "{good}", "--out", "no/x.jsonl"], "no/x.jsonl: No such file or directory"),
        (["scan", "{good}", "--out", "no/x.csv"], "no/x.csv: No such file or directory"),
        (["scan", "{good}", "--include", "zzz"], "no tensor matches 'zzz'"),
        (["scan", "{good}", "--tol", "nan"], "tol must be positive, not nan"),
    ],
)
def test_bad_input_is_one_line_and_status_2(good: Path, arguments: list[str], message: str) -> None:
    found = run(*(argument.format(good=good) for argument in arguments))
    assert found.returncode == 2
    assert found.stdout == ""
    assert message in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert found.stderr.startswith("sigmascope: ")


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["scan", "x", "--effort", "all"], ["scan", "x", "-k", "0"], ["unknown"], []],
)
def test_bad_usage_is_status_2(arguments: list[str]) -> None:
    found = run(*arguments)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


def test_full_disk_keeps_the_other_output(good: Path, tmp_path: Path) -> None:
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    found = run("scan", good, "--out", tmp_path / "full.jsonl")
    assert found.returncode == 2
    assert "full.jsonl: No space left on device" in found.stderr
    assert "Traceback" not in found.stderr


# -------------------------------------------------------------------------------- early ends


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_a_polite_kill_save_what_was_done(
    slow: Path, tmp_path: Path, number: int, status: int
) -> None:
    """The status is that of the signal, although a tensor failed before."""
    table = tmp_path / "x.csv"
    found = stopped(slow, tmp_path, number, table)
    assert found.returncode == status
    assert "Traceback" not in found.stderr
    assert "interrupted after" in found.stdout
    journal = ss.Scan.load(tmp_path / "x.jsonl")
    assert [row["name"] for row in journal.failed] == ["bad"]
    assert "first" in [row["name"] for row in journal.analysed]
    assert not journal.complete
    assert ss.Scan.load(table).rows == journal.rows


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_processes_too(
    slow: Path, tmp_path: Path, number: int, status: int
) -> None:
    """Without a word of theirs, and what they did is there to go on with."""
    path = tmp_path / "x.jsonl"
    options = ["--workers", "2", "--quiet", "--resume", str(path), "--effort", "top"]
    command = [*COMMAND, "scan", str(slow), *options, "-k", "300", "--tol", "1e-15"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            while not (path.exists() and path.read_bytes().count(b"\n") >= 3):
                assert process.poll() is None
                time.sleep(0.02)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does
            else:
                process.send_signal(number)
            stdout, stderr = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, stderr) == (status, "")
    assert "interrupted after" in stdout
    assert ss.Scan.load(path).rows[0]["name"] == "first"


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_ctrl_c_is_ignored_where_the_parent_ignores_it(tmp_path: Path, workers: list[str]) -> None:
    """As in a shell's background: the scan goes on to its end, and so do its processes."""
    rng = np.random.default_rng(0)
    tensors = [of_array("first", "F32", rng.standard_normal((8, 8)).astype("f4"))]
    numbers = rng.standard_normal((700, 600)).astype("f4")
    tensors += [of_array(f"w.{i}", "F32", numbers) for i in range(4)]
    path, journal = write_file(tmp_path / "m.safetensors", *tensors), tmp_path / "x.jsonl"
    options = ["--quiet", "--effort", "exact", "--out", str(journal), *workers]
    with subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *COMMAND, "scan", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while process.poll() is None:
                if journal.exists() and b"\n" in journal.read_bytes():
                    os.killpg(process.pid, signal.SIGINT)
                time.sleep(0.02)
            _, stderr = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, stderr) == (0, "")
    assert len(ss.Scan.load(journal).analysed) == 5


def test_a_hard_kill_leaves_a_journal(slow: Path, tmp_path: Path) -> None:
    found = stopped(slow, tmp_path, signal.SIGKILL)
    assert found.returncode == -signal.SIGKILL
    journal = ss.Scan.load(tmp_path / "x.jsonl")
    assert "first" in [row["name"] for row in journal.analysed]
    assert journal.expected == 5


# ----------------------------------------------------------------------------- missing extras

_BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = ["sigmascope", "--version"]
from sigmascope.__main__ import main
main()
"""


@pytest.mark.parametrize("blocked", ["typer", "rich"])
def test_without_its_extra_the_command_says_how_to_get_it(blocked: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(blocked=blocked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert found.stderr == (
        f"sigmascope: the command line needs {blocked}: pip install 'sigmascope[cli]'\n"
    )


def test_a_missing_extra_is_one_line_and_status_2(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, out, err = invoke("scan", good, "--out", tmp_path / "x.parquet", "--quiet")
    assert (status, out) == (2, "")
    assert err.startswith("sigmascope: ")
    assert err.endswith("pip install 'sigmascope[table]'\n")
    assert len(err.splitlines()) == 1


def test_the_library_needs_numpy_alone() -> None:
    code = "import sys, sigmascope; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "pandas", "pyarrow", "scipy", "torch"} & set(found.stdout.split())
