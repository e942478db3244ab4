# SPDX-License-Identifier: BSD-3-Clause
"""Promises of a plan, compared with the scan of the same options."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support import known_spectra as ks
from tests.support.checkpoints import Stored, of_array, opened, write_file
from tests.support.command_line import invoke
from tests.support.coverings import grid
from tests.support.machine_speeds import Machine
from tests.support.screens import screen, shown
from tests.support.tiers import short

import sigmascope as ss
from sigmascope import report
from sigmascope._execution.costs import Search
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._words.text import amount
from sigmascope.analysis import admission, routes
from sigmascope.errors import MemoryLimitError


def stored(name: str, m: int, n: int, dtype: str = "F32") -> Stored:
    numbers = ks.llm(m, n)[0].astype(np.float32)
    if dtype == "BF16":
        return Stored(name, dtype, (m, n), (numbers.view("<u4") >> 16).astype("<u2").tobytes())
    return of_array(name, dtype, numbers)


def sparse(path: Path, m: int, n: int) -> Path:
    """A file of any size that takes no space: no byte of it is needed for a plan."""
    entry = {"dtype": "BF16", "shape": [m, n], "data_offsets": [0, 2 * m * n]}
    header = json.dumps({"w": entry}).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2 * m * n)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large matrices of one shape, two others, and a vector."""
    folder = tmp_path_factory.mktemp("model")
    up = stored("model.layers.0.mlp.up_proj.weight", 1500, 1100)
    tensors = [
        of_array("model.norm.weight", "F32", np.ones(7, np.float32)),
        up,
        replace(up, name="model.layers.1.mlp.up_proj.weight"),
        stored("model.layers.0.self_attn.q_proj.weight", 900, 1300, "BF16"),
        stored("model.layers.0.self_attn.k_proj.weight", 60, 1300),
    ]
    return write_file(folder / "model.safetensors", *tensors).parent


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each matrix that spectrum() went on with was read from its file at each pass."""
    seen: list[bool] = []
    native = routes.Route.plan

    def recorded(self: routes.Route, memory: CallMemory) -> MemoryPlan:
        plan = native(self, memory)
        seen.append(plan.loaded_nbytes == 0 and not memory.a.in_memory)
        return plan

    monkeypatch.setattr(routes.Route, "plan", recorded)
    return seen


@grid(effort=("top", "density", "exact"), limit=("7MB", "1GiB"))
def test_a_scan_keeps_what_was_planned(
    model: Path, effort: str, limit: str, opening: list[bool]
) -> None:
    options: dict[str, Any] = {"effort": effort, "k": 12, "memory_limit": limit, "num_threads": 2}
    planned = ss.scan(model, **options, plan=True)
    reread = list(opening)
    opening.clear()
    scan = ss.scan(model, **options)
    matrices = [row for row in scan.rows if row["kind"] == "matrix"]
    assert [row["name"] for row in matrices] == [tensor.name for tensor in planned]
    for row, tensor in zip(matrices, planned, strict=True):
        assert row["reason"] == tensor.refused
        if tensor.refused is not None:
            assert row["status"] == "failed"
            continue
        assert row["effort"] == tensor.effort
        assert (row["rows"], row["columns"]) == (tensor.rows, tensor.columns)
        assert row["nbytes"] == tensor.nbytes
        if tensor.effort == "exact":
            assert row["passes"] == tensor.passes == 3
        else:
            assert row["block"] == tensor.block
            assert row["precision"] == tensor.precision
            assert tensor.passes / 1.6 <= row["passes"] <= 1.6 * tensor.passes
            assert row["basis_columns"] <= tensor.basis_columns
        reads = 1 if tensor.held else tensor.passes
        if tensor.precision == "mixed" and not tensor.held:  # the steps read a rounded copy
            reads = min(reads, 5)
        assert tensor.read_bytes == reads * tensor.nbytes
    assert reread == [not tensor.held for tensor in planned if tensor.refused is None]
    if planned.workers == 1:  # and so it was done; beside it, what it leaves for the next is asked
        times = 1 if effort == "exact" else 2
        assert opening == [again for again in reread for _ in range(times)]
    assert limit == "7MB" or all(tensor.held for tensor in planned)


@pytest.mark.parametrize(
    ("effort", "limit"),
    short(
        ["top-4MB"],
        {
            f"{effort}-{limit}": (effort, limit)
            for effort in ("top", "density")
            for limit in ("4MB", "9MB")
        },
    ),
)
def test_bits_depend_on_no_limit_that_allows_the_effort(
    model: Path, effort: str, limit: str
) -> None:
    def rows(limit: str) -> list[dict[str, Any]]:
        scan = ss.scan(model, effort=effort, k=12, memory_limit=limit, exclude="*k_proj*")
        timed = ("seconds", "num_threads")
        assert len(scan.analysed) == 3
        return [{**row, **dict.fromkeys(timed)} for row in scan.rows]

    assert rows(limit) == rows("1GiB")


def test_refusals_give_the_numbers(tmp_path: Path) -> None:
    path = sparse(tmp_path / "large.safetensors", 16384, 16384)
    planned = ss.scan(path, effort="exact", memory_limit="1GiB", plan=True)
    tensor = planned["w"]
    assert planned.refused == [tensor]
    assert tensor.refused is not None
    assert tensor.refused.startswith("svdvals of 16384 x 16384 needs 2.")
    offer = (
        "; this fits unless the singular values span a wide range: effort 'density', or effort "
        "'top'"
    )
    assert tensor.refused.endswith(f" GiB, but the memory limit is 1 GiB{offer}")
    assert tensor.peak_bytes > 2**31
    with pytest.raises(MemoryLimitError) as refused:
        ss.spectrum(ss.open_checkpoint(path)["w"], effort="exact", memory_limit="1GiB")
    assert str(refused.value) == tensor.refused
    assert ss.scan(path, effort="exact", memory_limit="1GiB")["w"]["reason"] == tensor.refused
    needed = tensor.peak_bytes
    assert ss.scan(path, effort="exact", memory_limit=needed, plan=True)["w"].refused is None
    assert (
        ss.scan(path, effort="exact", memory_limit=needed - 1, plan=True)["w"].refused is not None
    )
    below = ss.scan(path, effort="density", k=256, memory_limit="128MiB", plan=True)["w"].refused
    assert below is not None
    assert below.startswith("effort 'density' of 16384 x 16384 needs ")
    offer = re.search(r"the memory limit is 128 MiB; this fits unless .* range: k = (\d+)$", below)
    assert offer is not None
    for k in (int(offer[1]), int(offer[1]) + 1):
        again = ss.scan(path, effort="density", k=k, memory_limit="128MiB", plan=True)["w"].refused
        assert (again is None) == (k == int(offer[1]))


def test_a_plan_of_a_checkpoint_larger_than_the_disk(tmp_path: Path) -> None:
    """From headers alone: 16 GB that are not there."""
    path = sparse(tmp_path / "model.safetensors", 1_000_000, 8192)
    planned = ss.scan(path, memory_limit="1GiB", num_threads=2, plan=True)
    tensor = planned["w"]
    assert tensor.refused is None
    assert not tensor.held
    assert tensor.effort == "density"
    assert tensor.read_bytes == tensor.passes * 2 * 8_192_000_000
    assert tensor.peak_bytes <= 2**30
    # 4 m n flops for each column of the basis expected, at the rate that was measured
    flops = 4 * 8_192_000_000 * 416
    assert tensor.seconds >= 0.5 * flops / planned.rates.float32
    part = ss.scan(path, memory_limit="8GiB", num_threads=2, plan=True)["w"]
    assert not part.held
    assert part.read_bytes < 0.7 * tensor.read_bytes
    assert tensor.peak_bytes < part.peak_bytes <= 2**33
    held = ss.scan(path, memory_limit="40GiB", num_threads=2, plan=True)["w"]
    assert held.held
    assert held.read_bytes == 2 * 8_192_000_000


def test_what_cannot_be_read_is_planned_as_such(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, stored("a", 30, 20), Stored("q", "F4", (64, 64)))
    planned = ss.scan(checkpoint, plan=True)
    assert list(planned.unreadable) == ["q"]
    assert [tensor.name for tensor in planned] == ["a"]
    status, text, _ = invoke("scan", checkpoint.files[0], "--plan")
    assert (status, "q: dtype F4 is not decoded" in text) == (1, True)
    assert ss.scan(checkpoint, exclude="q", plan=True).unreadable == {}
    status, text, _ = invoke("scan", checkpoint.files[0], "--plan", "--exclude", "q")
    assert (status, "q: " in text) == (0, False)
    with pytest.raises(ValueError, match="no tensor matches 'nothing'"):
        ss.scan(tmp_path / "model.safetensors", include="nothing", plan=True)
    checkpoint.files[0].write_bytes(b"another")
    refused = ss.scan(checkpoint, plan=True).refused
    assert refused[0].refused is not None
    assert "model.safetensors" in refused[0].refused


def test_totals_are_sums(model: Path) -> None:
    planned = ss.scan(model, effort="exact", num_threads=2, memory_limit="1GiB", plan=True)
    assert planned.workers == 2
    totals = planned.totals()
    assert totals["nbytes"] == sum(tensor.nbytes for tensor in planned) == totals["read_bytes"]
    seconds = [tensor.seconds for tensor in planned]
    assert max(*seconds, sum(seconds) / 2) <= totals["seconds"] < sum(seconds)
    alone, many = (
        ss.scan(model, effort="exact", workers=n, num_threads=n, plan=True) for n in (1, 99)
    )
    assert alone.seconds == pytest.approx(sum(tensor.seconds for tensor in alone))
    assert many.seconds == pytest.approx(max(tensor.seconds for tensor in many))
    equal = ss.scan(
        model, effort="exact", include="*.up_proj.*", workers=2, num_threads=2, plan=True
    )
    assert len(equal) == 2  # of one shape
    assert equal.seconds == pytest.approx(sum(tensor.seconds for tensor in equal) / 2)
    assert totals["least_seconds"] < totals["seconds"] < totals["most_seconds"]
    two = sorted(tensor.peak_bytes for tensor in planned)[-2:]
    of_the_process = 27 * 2**20  # stacks of threads and buffers, which every need has once
    assert totals["peak_bytes"] == sum(two) - of_the_process
    assert json.loads(json.dumps(totals)) == totals
    with pytest.raises(KeyError):
        planned["nothing"]


def test_memory_left_is_what_a_matrix_leaves(model: Path) -> None:
    a = ss.open_checkpoint(model)["model.layers.0.mlp.up_proj.weight"]
    options = {"effort": "density", "k": 12, "tol": 1e-3, "accuracy": "reference"}
    planned = ss.scan(model, effort="density", k=12, memory_limit="1GiB", num_threads=1, plan=True)
    left = admission.memory_left(a, memory_limit="1GiB", num_threads=1, **options)
    assert left == 2**30 - planned["model.layers.0.mlp.up_proj.weight"].peak_bytes
    loaded = admission.memory_left(a.load(), memory_limit="1GiB", num_threads=1, **options)
    assert loaded <= left
    assert admission.memory_left(a, memory_limit="100kB", num_threads=1, **options) == 0
    with pytest.raises(MemoryLimitError, match="limit is 1 GiB"):
        unwrap(ss.spectrum)(a, memory_limit="1GiB", reserved=2**30)
    with pytest.raises(ValueError, match="reserved must be at least 0, not -1"):
        unwrap(ss.spectrum)(a, reserved=-1)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (2**30, "1 GiB"),
        (2**30 + 1, "1.01 GiB"),
        (2_254_857_830, "2.1 GiB"),
        (205 * 2**20, "205 MiB"),
        (1023 * 2**20, "1023 MiB"),
        (50_000, "48.9 kiB"),
        (1, "1 B"),
        (0, "0 B"),
    ],
)
def test_amounts_are_never_rounded_down(nbytes: int, text: str) -> None:
    assert amount(nbytes) == text


# ---------------------------------------------------------------------------------- the estimate


def test_rates_are_of_this_machine(tmp_path: Path) -> None:
    rates = ss.scan({"w": np.eye(9)}, num_threads=1, plan=True).rates
    assert rates.file is None
    assert rates.threads == 1
    for name in ("float32", "split", "mixed", "float64", "elements", "eigen"):
        assert getattr(rates, name) > 0
    path = sparse(tmp_path / "x.safetensors", 2000, 2000)
    assert (ss.scan(path, num_threads=1, plan=True).rates.file or 0) > 1e6


def test_estimates_follow_the_rates() -> None:
    slow = Machine(1, 1e11, 1e11, 1.8e11, 5e10, 1e10, 1e-10, 1e9)
    quick = replace(slow, float32=2e11, split=2e11, mixed=3.6e11, float64=1e11, eigen=0.5e-10)
    shape = (4000, 3000)
    for fast in (False, True):
        assert quick.values_seconds(shape, fast=fast) == pytest.approx(
            slow.values_seconds(shape, fast=fast) / 2
        )
    assert slow.values_seconds(shape, fast=False) == pytest.approx(
        4000 * 3000**2 / 5e10 + 1e-10 * (0.12 + 0.88 * 640 / 3000) * 3000**3, rel=0.15
    )
    shares = {(4096, 4096): 0.75, (4095, 4095): 1.2, (1000, 15_000): 0.75, (14_999, 1000): 1.2}
    for sides, share in shares.items():
        seconds = slow.values_seconds(sides, fast=False)
        assert slow.values_seconds(sides, fast=True) == pytest.approx(share * seconds)
    for precision in ("float32", "split", "mixed", "float64"):
        times = [r.krylov_seconds(Search(shape, 32, 1e-3, precision, 32)) for r in (quick, slow)]
        assert 1.8 <= times[1] / times[0] <= 2


# ------------------------------------------------------------------------------ what people read


def test_a_plan_on_the_terminal(model: Path, tmp_path: Path) -> None:
    planned = ss.scan(model, effort="exact", memory_limit="30MB", num_threads=2, plan=True)
    for width in (60, 100):
        out = screen(width)
        report.show_plan(out, planned)
        text = shown(out)
        assert max(map(len, text.splitlines()[2:5])) <= width
        assert "1500 x 1100" in text
    assert "GFLOP/s" in text
    assert planned.peak_bytes > planned.memory_limit
    assert "the limit of 28.7 MiB applies to what grows with a matrix" in text
    assert "GFLOP/s in float32" in text
    path = sparse(tmp_path / "large.safetensors", 16384, 16384)
    out = screen(200)
    report.show_plan(out, ss.scan(path, effort="exact", memory_limit="1GiB", plan=True))
    assert "w: svdvals of 16384 x 16384 needs 2." in shown(out)


def test_plan_on_the_command_line(model: Path, tmp_path: Path) -> None:
    def planned(*arguments: object) -> tuple[int, str, str]:
        return invoke("scan", *arguments, "--plan")

    part = ("--memory", "1GiB", "--include", "*up_proj*")
    status, text, _ = planned(model, "--effort", "top", "-k", 3, *part)
    assert status == 0
    assert "2 matrices: 13.2 MB stored, 13.2 MB read, in about" in text
    _, text, _ = planned(model, "--json")
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 5
    assert lines[0]["name"] == "model.layers.0.mlp.up_proj.weight"
    assert lines[0]["refused"] is None
    assert lines[-1]["totals"]["matrices"] == 4
    path = sparse(tmp_path / "large.safetensors", 16384, 16384)
    status, text, _ = planned(path, "--effort", "exact", "--memory", "1GiB")
    assert status == 1
    assert "Refused:" in text
    assert planned(path, "--memory", "much")[0] == 2
    assert not list(tmp_path.glob("*.jsonl"))


@grid(shape=[(20_000, 300), (9000, 600)], effort=("exact", "density"), threads=(1, 2))
def test_vectors_beside_every_value_are_planned(
    shape: tuple[int, int], effort: str, threads: int
) -> None:
    """The search for them takes more than all values of a tall matrix, which may cost less."""
    rng = np.random.default_rng(0)
    A = ss.matrix(rng.standard_normal(shape, dtype=np.float32))
    options: dict[str, Any] = {"effort": effort, "k": 64, "vectors": True, "num_threads": threads}
    how = {"tol": 1e-3, "accuracy": "reference", "memory_limit": "4GiB"}
    _, need = admission.in_memory(A, **options, **how)
    spectrum = ss.spectrum(A, **options, memory_limit=need.limit)
    assert spectrum.svd is not None
    assert spectrum.svd.converged


@grid(suffix=[".jsonl", ".csv", ".parquet"], command=["scan", "compare"])
def test_a_plan_is_saved(command: str, suffix: str, model: Path, tmp_path: Path) -> None:
    """Save the rows that --json prints; no file is replaced."""
    path = tmp_path / f"plan{suffix}"
    arguments = [command, *[str(model)] * (1 if command == "scan" else 2), "--plan", "--json"]
    arguments += ["--threads", "1"]
    status, text, error = invoke(*arguments, "--out", path)
    assert status == 0, error
    rows = [json.loads(line) for line in text.splitlines()][:-1]
    assert len(rows) == 4
    frame = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(suffix)
    if frame is None:
        header, *saved = [json.loads(line) for line in path.read_text().splitlines()]
        assert header["totals"]["nbytes"] == sum(row["nbytes"] for row in rows)
        assert [line.keys() - {"checksum"} for line in saved] == [row.keys() for row in rows]
    else:
        saved = frame(path).to_dict("records")
    for name in ("name", "nbytes", "passes", "effort", "seconds", "held"):
        assert [line[name] for line in saved] == [row[name] for row in rows]
    before = path.read_bytes()
    status, _, error = invoke(*arguments, "--out", path)
    assert status == 2
    assert f"{path} already exists, and a plan does not replace a file" in error
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["plan.html", "plan.xlsx", "plan"])
def test_no_plan_is_lost_in_silence(name: str, model: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    status, _, error = invoke("scan", model, "--plan", "--out", path)
    assert status == 2
    assert f"{path}: a plan is saved as .jsonl, .csv, .parquet, not '{path.suffix}'" in error
    assert not path.exists()
