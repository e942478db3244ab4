# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope compare` as its users meet it: what it prints, where, with which exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.changed import update, weights, written
from tests.support.command_line import COMMAND, invoke

import sigmascope as ss
from sigmascope.results import Comparison

NAMES = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(3)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    base = {name: weights(30, 20, rng, spikes=2) for name in NAMES}
    other = {name: w + update(w, 0.05, rng, rank=2) for name, w in base.items()}
    other[NAMES[2]] = base[NAMES[2]]
    return written(tmp_path / "before", base), written(tmp_path / "after", other)


def test_prints_pairs_and_what_is_the_same(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    status, printed, errors = invoke("compare", *folders)
    assert status == 0
    assert "3 pairs analysed" in printed
    assert "|dW|/|W|" in printed
    assert f"Identical:\n  {NAMES[2]}" in printed
    lines = errors.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"[1/3] {NAMES[0]} 30 x 20: |dW| ")
    assert f"{NAMES[2]} 30 x 20: identical" in lines[2]


def test_many_pairs_are_shown_by_role(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = {f"model.layers.{i}.mlp.up_proj.weight": weights(12, 8, rng, 2) for i in range(14)}
    one, two = (
        written(tmp_path / "a", base),
        written(tmp_path / "b", {name: 1.1 * w for name, w in base.items()}),
    )
    status, out, err = invoke("compare", one, two, "--quiet")
    assert (status, err) == (0, "")
    assert "By role" in out
    assert "14 pairs analysed" in out


def test_what_has_no_partner_is_listed_and_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    less = written(tmp_path / "less", {NAMES[0]: weights(30, 20, rng, 2)})
    status, out, _ = invoke("compare", folders[0], less, "--quiet")
    assert status == 1
    assert "Without a partner:" in out
    assert f"{NAMES[1]}: after has neither a tensor of this name nor" in out


@pytest.mark.parametrize(
    ("dtype", "expected"), [("int64", 0), ("int32", 0), ("bool", 0), ("int8", 1), ("uint8", 1)]
)
def test_integers_without_a_partner(tmp_path: Path, dtype: str, expected: int) -> None:
    """Converters leave out buffers of positions and masks; bytes may be the codes of a weight."""
    w = weights(30, 20, np.random.default_rng(0), 2)
    paths = []
    for name, more in (("a", {"embeddings.position_ids": np.ones((1, 9), dtype)}), ("b", {})):
        paths.append(tmp_path / f"{name}.safetensors")
        save_file({NAMES[0]: w, **more}, paths[-1])
    for before, after in (paths, paths[::-1]):
        status, out, _ = invoke("compare", before, after, "--quiet")
        assert status == expected
        assert "embeddings.position_ids: " in out
        word = "without a partner (integers)" if expected == 0 else "without a partner"
        assert f"Nothing is known about 1 tensor that was not compared: 1 {word}." in " ".join(
            out.split()
        )


def test_an_unconverged_search_is_status_1(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result, file = ss.compare(*folders, effort="exact"), tmp_path / "x.jsonl"
    for converged in (True, False):
        result[NAMES[0]]["converged"] = converged
        result.save(file)
        status, out, _ = invoke("show", file)
        assert status == (0 if converged else 1)
        assert ("Did not converge" in out) == (not converged)


def test_json_is_rows_and_nothing_else(folders: tuple[Path, Path]) -> None:
    status, out, err = invoke(
        "compare", *folders, "--json", "--quiet", "-k", 3, "--seed", 7, "--threads", 1
    )
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    again = ss.compare(*folders, k=3, seed=7, num_threads=1).rows
    for row in (*rows, *again):
        row["seconds"] = None
    assert rows == again


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param((), id="in one process"),
        pytest.param(("--workers", 2), id="with workers"),
    ],
)
def test_outputs_and_patterns(
    workers: tuple[object, ...], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    outs = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")]
    options = [option for out in outs for option in ("--out", out)]
    status, _, _ = invoke("compare", *folders, *options, "--exclude", "*.0.*", *workers, "--quiet")
    assert status == 0
    for out in outs:
        assert [row["name"] for row in Comparison.load(out).analysed] == NAMES[1:]


def test_comparisons_have_the_options_of_scans(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = {"num_attention_heads": 4, "num_key_value_heads": 4, "hidden_size": 16}
    name = "model.layers.0.self_attn.q_proj.weight"
    base = {name: weights(16, 16, rng, spikes=2)}
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, more in zip(folders, (0.0, 0.05), strict=True):
        written(folder, {name: base[name] + more * rng.standard_normal((16, 16))})
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    journal = tmp_path / "x.jsonl"
    options = ["--heads", "--effort", "exact", "--accuracy", "fast", "--include", "…[head 3]"]
    status, _, err = invoke("compare", *folders, *options, "--resume", journal, "--quiet")
    assert (status, err) == (0, "")
    result = Comparison.load(journal)
    assert [row["name"] for row in result.analysed] == [f"{name}[head 3]"]
    assert result.options["accuracy"] == "fast"
    assert result.options["heads"] is True
    status, _, err = invoke("compare", *folders, *options[1:-2], "--resume", journal, "--quiet")
    assert status == 2
    assert "heads" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}", "nowhere"], "nowhere"),
        (["{0}", "{1}", "--include", "x"], "no tensor matches 'x'"),
        (["{0}", "{1}", "--out", "x.txt"], "a comparison is saved as"),
        (["{0}", "{1}", "--memory", "much"], "much"),
    ],
)
def test_bad_input_is_one_line(
    folders: tuple[Path, Path], arguments: list[str], message: str
) -> None:
    status, _, err = invoke(
        "compare", *(argument.format(*folders) for argument in arguments), "--quiet"
    )
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_leaves_what_can_be_gone_on_with(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = {"first": rng.standard_normal((8, 8))}
    base |= {f"w.{i}": rng.standard_normal((1500, 1400)) for i in range(2)}
    one = written(tmp_path / "a", base)
    two = written(tmp_path / "b", {name: w + 0.1 for name, w in base.items()})
    journal = tmp_path / "x.jsonl"
    slow = ["--effort", "top", "-k", "300", "--tol", "1e-15", "--quiet"]
    with subprocess.Popen(
        [*COMMAND, "compare", str(one), str(two), *slow, "--resume", str(journal)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    assert stderr == ""
    assert "interrupted after" in stdout
    done = Comparison.load(journal)
    assert [row["name"] for row in done.analysed][:1] == ["first"]
    assert not done.complete
