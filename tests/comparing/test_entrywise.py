# SPDX-License-Identifier: BSD-3-Clause
"""Tensors without a spectrum: read, compared and counted, and never passed over in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.changed import stored, written
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.command_line import invoke
from tests.support.journal_lines import sealed
from tests.support.made_changes import FLOATS, WHOLE, Pair, models
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.results import Comparison, Scan

OPTIONS: dict[str, Any] = {"k": 4, "num_threads": 1, "memory_limit": "1GiB"}


def compared(folder: Path, before: list[Stored], after: list[Stored], **options: Any) -> Any:
    one = write_file(folder / "before.safetensors", *before)
    two = write_file(folder / "after.safetensors", *after)
    return ss.compare(one, two, **OPTIONS | options)


def f32(name: str, *numbers: float) -> Stored:
    return of_array(name, "F32", np.array(numbers, np.float32))


# ----------------------------------------------------------------------------------- verdicts


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=models())
def test_the_verdict_counts_what_changed_and_names_it(
    model: list[Pair], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    comparison = compared(
        folder, *([p.stored(side) for p in model] for side in ("before", "after"))
    )
    verdict, said = comparison.verdict, str(comparison.verdict)
    assert set(verdict.identical) == {pair.name for pair in model if pair.same}, said
    assert {pair.name for pair in model if pair.clear} <= set(verdict.changed), said
    assert verdict.complete
    assert verdict.compared == len(model)
    assert said.startswith("Identical in every entry: ") == all(pair.same for pair in model)
    assert ("no clear difference" in said) == (
        not verdict.changed and not all(pair.same for pair in model)
    )
    for pair in model:
        row = comparison[pair.name]
        assert row["status"] == ("analysed" if pair.matrix else "entrywise"), row["reason"]
        if not pair.matrix:
            check_entries(pair, row)


def check_entries(pair: Pair, row: dict[str, Any]) -> None:
    x, y = (a.astype(np.float64).ravel() for a in (pair.before, pair.after))
    assert row["changed_entries"] == np.sum(pair.before != pair.after)
    assert row["before_abs_max"] == np.max(abs(x))
    assert row["after_abs_max"] == np.max(abs(y))
    assert row["delta_abs_max"] == np.max(abs(y - x))
    assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(y - x), rel=1e-12)
    if np.any(x):
        size = np.linalg.norm(y - x) / np.linalg.norm(x)
        assert row["relative_change"] == pytest.approx(size, rel=1e-12)
    else:
        assert row["relative_change"] is None
    if np.any(x) and np.any(y):
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert row["cosine"] == pytest.approx(cosine, abs=1e-12)
    if pair.dtype in WHOLE:
        assert (row["rounding_floor"], row["beyond_rounding"]) == (0.0, row["changed_entries"])


def test_norms_and_biases_that_changed_by_half_are_not_called_the_same(tmp_path: Path) -> None:
    """A comparison once called two such models the same: it looked at matrices alone."""
    rng = np.random.default_rng(0)
    base: dict[str, Any] = {
        f"model.layers.{i}.mlp.up_proj.weight": rng.standard_normal((12, 8)) for i in range(3)
    }
    vectors = {f"model.layers.{i}.input_layernorm.weight": rng.random(8) + 1 for i in range(3)}
    one = written(tmp_path / "a", base | vectors)
    two = written(tmp_path / "b", base | {name: 1.5 * v for name, v in vectors.items()})
    comparison = ss.compare(one, two, **OPTIONS)
    assert set(comparison.verdict.changed) == set(vectors)
    assert str(comparison.verdict) == (
        "3 of 6 tensors changed (0 of 3 matrices, 3 of 3 others). 3 are identical in every entry."
    )
    for name in vectors:
        assert comparison[name]["relative_change"] == pytest.approx(0.5, abs=0.01)
    comparison.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    _, shown, _ = invoke("compare", one, two, "--quiet", "-k", 4)
    for text in (page, shown):
        assert "no clear difference between the two" not in text
        assert "3 of 6 tensors changed" in text
        assert all(name[-24:] in text for name in vectors)


UNSEEN: dict[str, tuple[Callable[[], tuple[list[Stored], list[Stored]]], dict[str, Any], str]] = {
    "excluded": (lambda: ([f32("v", 1, 2)], [f32("v", 3, 2)]), {"exclude": "v"}, "1 excluded"),
    "failed": (lambda: ([f32("v", 1, 2)], [f32("v", np.nan, 2)]), {}, "1 failed"),
    "unpaired": (lambda: ([f32("v", 1, 2)], [f32("v", 1)]), {}, "1 without a partner"),
    "unreadable": (
        lambda: ([Stored("v", "C64", (2,))], [Stored("v", "C64", (2,))]),
        {},
        "1 cannot be read",
    ),
    "another kind": (
        lambda: (
            [of_array("v", "F32", np.eye(3, dtype="f4"))],
            [of_array("v", "I8", np.eye(3, dtype="i1"))],
        ),
        {},
        "1 not a matrix in the other",
    ),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_a_verdict_says_what_was_not_looked_at(tmp_path: Path, case: str) -> None:
    make, options, said = UNSEEN[case]
    before, after = make()
    same = of_array("w", "F32", np.arange(12, dtype=np.float32).reshape(4, 3))
    comparison = compared(tmp_path, [same, *before], [same, *after], **options)
    assert str(comparison.verdict) == (
        "Identical in every entry: 1 tensor. "
        f"Nothing is known about 1 tensor that was not compared: {said}."
    )
    assert not comparison.verdict.complete
    paths = [tmp_path / f"{side}.safetensors" for side in ("before", "after")]
    flags = [f"--{name}={value}" for name, value in options.items()]
    status, _, _ = invoke("compare", *paths, "--quiet", *flags)
    assert status == (0 if case == "excluded" else 1)


def test_common_rows_are_not_called_the_whole(tmp_path: Path) -> None:
    x = np.arange(40, dtype="f4").reshape(8, 5)
    name = "model.embed_tokens.weight"
    comparison = compared(
        tmp_path, [of_array(name, "F32", x)], [of_array(name, "F32", x[:6].copy())]
    )
    assert str(comparison.verdict) == (
        "Identical in every entry: 1 tensor. Of different sizes, compared only on their "
        "common rows: 1."
    )
    assert not comparison.verdict.complete


def test_one_entry_far_beyond_rounding_is_a_change(tmp_path: Path) -> None:
    """In a long vector its norm is below that of the rounding of all numbers."""
    x = 1 + np.random.default_rng(1).random(50_000)
    y = x.copy()
    y[777] *= 1.1
    row = compared(tmp_path, [stored("v", x)], [stored("v", y)])["v"]
    assert row["delta_fro_norm"] ** 2 < row["rounding_floor"] ** 2
    assert (row["changed_entries"], row["beyond_rounding"], row["above_rounding"]) == (1, 1, True)


@pytest.mark.parametrize("turned", [False, True])
def test_one_entry_of_a_matrix_is_a_change_too(tmp_path: Path, turned: bool) -> None:
    """Its norm is below what rounding may do, and the verdict still names the matrix."""
    x = np.random.default_rng(1).standard_normal((400, 300))
    y = x.copy()
    y[17, 33] = x[17, 33] * 1.1
    one, two = (stored("w", a.T if turned else a) for a in (x, y))
    comparison = compared(tmp_path, [one], [two])
    row = comparison["w"]
    assert (row["changed_entries"], row["beyond_rounding"]) == (1, 1)
    assert row["above_rounding"] is False
    assert comparison.verdict.changed == ("w",)
    comparison.save(tmp_path / "page.html")
    shown = (tmp_path / "page.html").read_text()
    assert "1 of 1 tensor changed" in shown
    assert "Yet single entries changed by more than that." in shown
    assert "no clear difference" not in str(comparison.verdict)
    assert compared(tmp_path, [one], [one])["w"]["changed_entries"] is None


def test_rounding_alone_is_not_called_a_change(tmp_path: Path) -> None:
    """A model in another format is not told from the first; nor are neighbours in one format."""
    x = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    for after in (stored("v", x), of_array("v", "F32", np.nextafter(x, np.float32(9)))):
        comparison = compared(tmp_path, [of_array("v", "F32", x)], [after])
        assert comparison["v"]["beyond_rounding"] == 0
        assert comparison["v"]["changed_entries"] > 3000
        if after.dtype == "BF16":
            assert comparison.verdict.within_rounding == ("v",)
            assert str(comparison.verdict) == (
                "No tensor of 1 changed by more than rounding: there is no clear "
                "difference between the two."
            )


def test_an_unfinished_comparison_says_nothing_of_the_whole(tmp_path: Path) -> None:
    x = np.random.default_rng(2).standard_normal(400).astype(np.float32)
    comparison = compared(tmp_path, [of_array("v", "F32", x)], [stored("v", x)])
    comparison.save(tmp_path / "run.jsonl")
    header, row = (tmp_path / "run.jsonl").read_bytes().splitlines(keepends=True)
    members = {**json.loads(header), "expected": comparison.expected + 3}
    members.pop("checksum", None)
    (tmp_path / "run.jsonl").write_bytes(sealed(members) + row)
    part = Comparison.load(tmp_path / "run.jsonl")
    assert comparison.verdict.complete
    assert not part.verdict.complete
    assert str(part.verdict) == (
        "No tensor of 1 changed by more than rounding: there is no clear "
        "difference in what was compared. Not finished: 3 rows missing."
    )


def test_second_names_are_compared_where_only_one_model_has_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    w, v = torch.arange(12.0).reshape(4, 3), torch.arange(5.0)
    tied = {"a.weight": w, "b.weight": w, "a.bias": v, "b.bias": v}
    apart = {**tied, "b.weight": 2 * w, "b.bias": 2 * v}
    alone = {"b.weight": 2 * w, "b.bias": 2 * v}
    paths = []
    for name, model in (("tied", tied), ("apart", apart), ("alone", alone)):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "model.pt")
        torch.save(model, paths[-1])
    comparison = ss.compare(*paths[:2], **OPTIONS)
    assert set(comparison.verdict.changed) == {"b.weight", "b.bias"}
    assert comparison["b.weight"]["relative_change"] == pytest.approx(1.0)
    assert comparison["b.weight"]["notes"].startswith("before: shares storage with a.weight")
    later = ss.compare(paths[2], paths[0], **OPTIONS)  # that name is new in it
    assert later["b.weight"]["relative_change"] == pytest.approx(0.5)
    assert later["b.bias"]["relative_change"] == pytest.approx(0.5)
    assert later["b.weight"]["notes"].startswith("after: shares storage with a.weight")
    same = ss.compare(paths[0], paths[0], **OPTIONS)
    assert same.verdict.shared == ("b.weight", "b.bias")
    assert same.verdict.complete


# -------------------------------------------------------------------------------------- scans


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    dtype=st.sampled_from(["F64", "F32", "F16", "BF16"]),
    shape=st.sampled_from([(), (5,), (300,), (1, 4, 1)]),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    data=st.data(),
)
def test_a_nan_or_infinity_is_found_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    shape: tuple[int, ...],
    bad: float,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("bad")
    good = np.ones(shape).astype(FLOATS[dtype])
    places = data.draw(st.lists(st.integers(0, good.size - 1), min_size=1, max_size=3, unique=True))
    wrong = good.copy().reshape(-1)
    wrong[places] = bad
    wrong = wrong.reshape(shape)
    first = [int(i) for i in np.unravel_index(min(places), shape)] if shape else []
    path = write_file(folder / "x.safetensors", of_array("v", dtype, wrong), f32("fine", 1, 2))
    row = ss.scan(path, **OPTIONS)["v"]
    assert (row["status"], row["failure"], row["converged"]) == ("failed", "data", False)
    assert row["first_nonfinite"] == first
    assert (row["nan"], row["inf"]) == ((len(places), 0) if np.isnan(bad) else (0, len(places)))
    assert row["reason"].endswith(f"the first at {first}")
    pair = compared(folder, [of_array("v", dtype, good)], [of_array("v", dtype, wrong)])["v"]
    assert (pair["status"], pair["converged"]) == ("failed", False)
    assert pair["after_first_nonfinite"] == first
    assert "after holds" in pair["reason"]
    assert "before holds" not in pair["reason"]


def test_a_scan_tells_norm_and_largest_entry(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", f32("v", 3, -4, 0), Stored("none", "F32", (0,)))
    scan = ss.scan(path, **OPTIONS)
    row = scan["v"]
    assert (row["status"], row["reason"]) == ("entrywise", "vector, no spectrum")
    assert [row[c] for c in ("min", "max", "abs_max", "zeros", "nan", "inf")] == [-4, 3, 4, 1, 0, 0]
    assert row["fro_norm"] == pytest.approx(5.0, rel=1e-15)
    assert scan.entrywise == [row]
    assert scan["none"]["status"] == "not analysed"


def test_exit_statuses_count_every_tensor(tmp_path: Path) -> None:
    good = write_file(tmp_path / "a.safetensors", f32("v", 1, 2))
    bad = write_file(tmp_path / "b.safetensors", f32("v", 1, np.inf))
    assert invoke("scan", good, "--quiet")[0] == 0
    status, shown, _ = invoke("scan", bad, "--quiet")
    assert (status, "the vector holds 0 NaN and 1 inf" in shown) == (1, True)
    assert invoke("compare", good, good, "--quiet")[0] == 0
    status, shown, _ = invoke("compare", good, bad, "--quiet")
    assert (status, "the vector after holds" in shown) == (1, True)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rows_are_saved_and_loaded(tmp_path: Path, suffix: str) -> None:
    comparison = compared(tmp_path, [f32("v", 1, 2)], [f32("v", 1, 3)])
    comparison.save(tmp_path / f"x{suffix}")
    assert bits(Comparison.load(tmp_path / f"x{suffix}").rows) == bits(comparison.rows)
    scan = ss.scan(tmp_path / "before.safetensors", **OPTIONS)
    scan.save(tmp_path / f"y{suffix}")
    assert bits(Scan.load(tmp_path / f"y{suffix}").rows) == bits(scan.rows)


def test_journals_are_gone_on_with(tmp_path: Path) -> None:
    """Rows that are there stay; those of a version that read no vectors are made again."""
    path = write_file(tmp_path / "x.safetensors", f32("v", 1, 2), f32("u", 3))
    journal = tmp_path / "x.jsonl"
    whole = ss.scan(path, resume=journal, **OPTIONS)
    header, *lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(header + lines[0])
    again = ss.scan(path, resume=journal, **OPTIONS)
    assert bits(again.rows) == bits(whole.rows)
    assert again["v"]["seconds"] == whole["v"]["seconds"]  # not computed again
    old = {**json.loads(lines[0]), "status": "not analysed", "nan": None}
    del old["checksum"]
    journal.write_bytes(header + sealed(old))
    assert bits(ss.scan(path, resume=journal, **OPTIONS).rows) == bits(whole.rows)


def test_nothing_finite_is_nothing_known() -> None:
    (row,) = ss.scan({"v": np.array([np.nan, np.inf])})
    assert (row["shape"], row["nan"], row["inf"], row["first_nonfinite"]) == ([2], 1, 1, [0])
    assert [row[name] for name in ("min", "max", "mean", "abs_max")] == [None, None, None, 0.0]


def test_pieces_on_ranks_are_all_looked_at(tmp_path: Path) -> None:
    """Copies count once; pieces of which each is different are read one after the other."""
    norm = np.arange(4, dtype="f4")
    paths = []
    for rank in range(2):
        bias = np.full(3, 1.0 + rank, "f4")
        if rank == 1:
            bias[2] = np.inf
        tensors = (of_array("norm.weight", "F32", norm), of_array("x.bias", "F32", bias))
        paths.append(write_file(tmp_path / f"rank{rank}.safetensors", *tensors))
    scan = ss.scan(ss.open_checkpoint(paths), **OPTIONS)
    assert scan["norm.weight"]["fro_norm"] == pytest.approx(np.linalg.norm(norm))
    bad = scan["x.bias"]
    assert (bad["status"], bad["inf"], bad["first_nonfinite"]) == ("failed", 1, [1, 2])
    pair = ss.compare(ss.open_checkpoint(paths), ss.open_checkpoint(paths[:1]), **OPTIONS)
    assert pair["norm.weight"]["changed_entries"] == 0
    assert pair["x.bias"]["status"] == "unpaired"
    assert pair["x.bias"]["reason"] == (
        "stored in pieces of different shapes: 6 numbers before, 3 after"
    )
    assert pair.verdict.not_compared == {"without a partner": ("x.bias",)}


def test_an_executor_changes_no_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    tensors = {"w": rng.standard_normal((9, 8)), "v": rng.random(5), "u": np.ones(3)}
    one = written(tmp_path / "a", tensors)
    two = written(tmp_path / "b", {name: 1.5 * x for name, x in tensors.items()})
    expected = ss.compare(one, two, **OPTIONS)
    with ThreadPoolExecutor(2) as pool:
        comparison = ss.compare(one, two, executor=pool, workers=2, **OPTIONS)
        scan = ss.scan(one, executor=pool, workers=2, **OPTIONS)
    assert bits(comparison.rows) == bits(expected.rows)
    assert bits(scan.rows) == bits(ss.scan(one, **OPTIONS).rows)


MASKS = {
    "causal": np.triu(np.full((9, 9), -np.inf, np.float32), 1),
    "heads": np.triu(np.full((1, 2, 6, 6), -np.inf, np.float32), 1),
    "vector": np.where(np.arange(8) < 3, 0, -np.inf).astype(np.float32),
}


@pytest.mark.parametrize("what", MASKS)
def test_masks_of_attention_are_compared_by_entries(what: str) -> None:
    mask = MASKS[what]
    comparison = ss.compare({"mask": mask}, {"mask": mask.copy()})
    assert {row["status"] for row in comparison.rows} == {"entrywise"}
    assert sum(row["changed_entries"] for row in comparison.rows) == 0
    assert all(row["reason"].startswith("a mask: ") for row in comparison.rows)
    other = mask.copy()
    other[mask == 0] = -np.inf
    other[..., 0] = 0
    comparison = ss.compare({"mask": mask}, {"mask": other})
    assert sum(row["changed_entries"] for row in comparison.rows) == np.sum(mask != other)


def test_a_mask_and_a_matrix_cannot_be_compared() -> None:
    (row,) = ss.compare({"w": MASKS["causal"]}, {"w": np.eye(9, dtype=np.float32)}).failed
    assert "infinite entries" in row["reason"]
