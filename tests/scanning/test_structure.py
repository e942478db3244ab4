# SPDX-License-Identifier: BSD-3-Clause
"""Matrices with a special structure are found, exactly, and named before all medians."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.changed import bf16
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.command_line import invoke
from tests.support.coverings import grid
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report
from sigmascope.results import Comparison, Scan

Array = NDArray[np.float64]
OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 2, "memory_limit": "1GiB"}


def normal(m: int, n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((m, n))


def tensor(name: str, x: NDArray[Any], dtype: str = "F32") -> Stored:
    if dtype == "BF16":
        return Stored(name, "BF16", x.shape, bf16(x).tobytes())
    return of_array(name, dtype, x.astype({"F32": "f4", "F64": "f8"}[dtype]))


def copied(x: Array) -> int:
    """Count the rows that are equal to an earlier one."""
    return len(x) - len({row.tobytes() for row in x + 0.0})


def row_of(x: Array, **options: Any) -> dict[str, Any]:
    """Return the row of a matrix, of which no more than the largest value is sought."""
    (row,) = ss.scan({"w": x}, effort="top", k=1, num_threads=1, **options).rows
    assert row["status"] == "analysed", row["reason"]
    return row


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    levels=st.sampled_from([2, 3, 5, 10**6]),
    turned=st.booleans(),
    data=st.data(),
)
def test_copies_are_counted_exactly(
    shape: tuple[int, int], levels: int, turned: bool, data: st.DataObject
) -> None:
    """Few numbers, whose norms agree by chance, and many; with rows and columns copied.

    Coincidences are not reported: of few numbers, and in a single row or column.
    """
    m, n = shape
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-levels, levels, shape) / 7.0
    for axis, size in ((0, m), (1, n)):
        for _ in range(data.draw(st.integers(0, 3))):
            source, target = (data.draw(st.integers(0, size - 1)) for _ in range(2))
            np.moveaxis(x, axis, 0)[target] = np.moveaxis(x, axis, 0)[source]
    row = row_of(np.asfortranarray(x) if turned else x)
    reported = row["copied_rows"], row["copied_columns"]
    if x.min() == x.max():
        assert row["structure"].startswith("constant " if x.any() else "all zero")
        assert reported == (0, 0)
        return
    for number, y in zip(reported, (x, x.T.copy()), strict=True):
        certain = levels == 10**6 and y.shape[1] > 1
        assert number in ({copied(y)} if certain else {0, copied(y)})


@pytest.mark.parametrize("dtype", ["f8", "f4", "bf16"])
@pytest.mark.parametrize("shape", [(513, 67), (67, 513), (300, 1025)])
def test_equal_rows_have_equal_norms_to_the_bit(dtype: str, shape: tuple[int, int]) -> None:
    """Wherever they stand, in memory or in panels: it is what the search for copies rests on."""
    x = normal(*shape)
    x[shape[0] - 1], x[:, shape[1] - 1] = x[0], x[:, 0]
    x[shape[0] - 1] = x[0]
    stored = x.astype(ml_dtypes.bfloat16 if dtype == "bf16" else dtype)
    a = ss.matrix(stored)
    for options in ({"num_threads": 1}, {"num_threads": 2, "panel_rows": 64}):
        seen = ss.moments(a, **options)
        assert seen.row_norms is not None
        assert seen.row_norms[0] == seen.row_norms[-1]
        assert seen.column_norms[0] == seen.column_norms[-1]
    row = row_of(stored)
    assert (row["copied_rows"], row["copied_columns"]) == (1, 1)


def test_copies_are_found_across_blocks_of_rows() -> None:
    """Ten rows of 100,000 numbers are decoded at a time."""
    x = normal(24, 100_000).astype("f4")
    x[20], x[:, 99_999] = x[0], x[:, 5]
    x[20] = x[0]
    row = row_of(x)
    assert (row["copied_rows"], row["copied_columns"]) == (1, 1)


def test_an_ordinary_matrix_is_not_read_again() -> None:
    x = normal(200, 150).astype("f4")
    passes = ss.spectrum(x, effort="top", k=1, num_threads=1).passes
    assert row_of(x)["passes"] == passes
    x[4] = x[9]
    assert row_of(x)["passes"] == passes + 1


def with_copies() -> Array:
    x = normal(30, 20, 5)
    x[4], x[:, 7] = x[9], x[:, 2]
    x[4] = x[9]
    return x


SPECIAL: dict[str, tuple[Callable[[], Array], str]] = {
    "zero": (lambda: np.zeros((30, 20)), "all zero"),
    "constant": (lambda: np.full((30, 20), -0.25), "constant -0.250"),
    "rank one": (lambda: np.outer(normal(30, 1), normal(1, 20)), "rank 1"),
    "rank three": (lambda: normal(30, 3) @ normal(3, 20, 1), "rank 3 of 20"),
    "copies": (with_copies, "rank 19 of 20; 1 row and 1 column equal to others"),
    "plain": (lambda: normal(30, 20), ""),
    "one row": (lambda: normal(1, 20), ""),
    "identity": (lambda: np.eye(20), ""),
}


@grid(case=list(SPECIAL), effort=("top", "density", "exact"))
def test_a_row_says_what_is_special(tmp_path: Path, case: str, effort: str) -> None:
    make, said = SPECIAL[case]
    path = write_file(tmp_path / "a.safetensors", tensor("w", make()))
    other = write_file(tmp_path / "b.safetensors", tensor("w", normal(*make().shape, 8)))
    row = ss.scan(path, effort=effort, **OPTIONS)["w"]
    assert (row["structure"] or "") == said
    for one, two, side in ((path, other, "before"), (other, path, "after")):
        pair = ss.compare(one, two, effort=effort, **OPTIONS)["w"]
        structures: dict[str, str | None] = {
            f"{name}_structure": None for name in ("before", "after")
        }
        structures[f"{side}_structure"] = said or None
        assert {name: pair[name] for name in structures} == structures


@pytest.mark.parametrize(
    ("second", "said"),
    [(0.0, "rank 1"), (0.9e-6, "rank 1"), (0.9999e-6, None), (1.1e-6, None)],
    ids=["rank one", "certainly below", "within the error", "above"],
)
def test_rank_one_is_seen_where_the_spectrum_is_not_whole(second: float, said: str | None) -> None:
    """A matrix is too large here for every value to be cheaper.

    A value above 1e-6 of the first counts, also one that only its error bound may lift above it.
    """
    (u, v), (x, y) = (np.linalg.qr(normal(m, 2))[0].T for m in (2200, 2100))
    row = ss.scan({"w": np.outer(u, x) + second * np.outer(v, y)}, effort="top", **OPTIONS)["w"]
    assert (row["effort"], row["structure"]) == ("top", said)
    top, errors = row["top"], row["top_errors"]
    assert (top[1] < 1e-6 * top[0]) is (second < 1e-6)
    assert (top[1] + errors[1] < 1e-6 * top[0]) is (said is not None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A role with two matrices that have no effective rank."""
    name = "model.layers.{}.mlp.up_proj.weight".format
    matrices = [normal(30, 20, i) for i in range(5)] + [np.zeros((30, 20))] * 2
    tensors = [tensor(name(i), x) for i, x in enumerate(matrices)]
    return write_file(tmp_path / "model.safetensors", *tensors)


def test_specials_come_first_and_medians_say_what_they_leave_out(folder: Path) -> None:
    _, text, _ = invoke("scan", folder, "--quiet")
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Degenerate matrices"))
    assert not any(line.startswith("By role") for line in lines[:first])
    special = "  model.layers.{}.mlp.up_proj.weight: 30 x 20, all zero"
    assert lines[first + 1 : first + 3] == [special.format(i) for i in (5, 6)]
    medians = next(line for line in lines if "median over 5 of 7" in line)
    assert "up, effective rank" in medians
    assert "omitted: model.layers.5.mlp.up_proj.weight (all zero), model.layers.6" in medians
    text = page_of(ss.scan(folder, **OPTIONS), folder.parent)
    first = text.index("class='finding")
    assert text[first:].startswith("class='finding problem'><h3>Degenerate matrices</h3>")
    assert "Median over only 5 of 7" in text
    text = page_of(ss.compare(folder, folder, **OPTIONS), folder.parent)
    first = text.index("class='finding")
    assert text[first:].startswith("class='finding problem'><h3>Degenerate matrices</h3>")


def page_of(table: Scan | Comparison, folder: Path) -> str:
    table.save(folder / "page.html")
    return (folder / "page.html").read_text()


def printed(*rows: dict[str, Any]) -> list[str]:
    """Return the lines that are printed of a scan with such rows of matrices of one role."""
    common: dict[str, Any] = {"status": "analysed", "kind": "matrix", "role": "up", "tower": "text"}
    common |= {"shape": [40, 40], "rows": 40, "columns": 40, "nbytes": 0, "effort": "exact"}
    common |= {"converged": True, "passes": 1, "seconds": 0.0}
    whole = [dict.fromkeys(Scan.schema.columns) | common | row for row in rows]
    out = screen(200)
    report.show_scan(out, Scan.of_header({}, whole))
    return shown(out).splitlines()


def test_specials_are_sorted_by_kind_and_size() -> None:
    kinds = ("rank 19 of 20", "rank 3 of 40", "rank 1", "all zero", "constant 1")
    rows = [{"name": kind, "structure": kind, "nbytes": 100 * (kind[5:6] == "3")} for kind in kinds]
    lines = printed(*rows)
    first = next(i for i, line in enumerate(lines) if line.startswith("Degenerate matrices"))
    names = ["all zero", "constant 1", "rank 1", "rank 3 of 40", "rank 19 of 20"]
    assert lines[first + 1 : first + 6] == [f"  {name}: 40 x 40, {name}" for name in names]


def test_omissions_are_grouped_by_who_is_left_out() -> None:
    lines = printed(
        {"name": "a", "effective_rank": 1.0, "stable_rank": 2.0, "effort": "top"},
        {"name": "b", "effort": "top", "structure": "all zero"},
        {"name": "c", "effective_rank": 3.0, "stable_rank": 4.0, "alpha": 1.0},
    )
    title = "Medians over only some matrices of a role:"
    first = lines.index(title)
    assert lines[first + 1 : first + 4] == [
        "  up, effective rank, stable rank: median over 2 of 3; omitted: b (all zero)",
        "  up, alpha: median over 1 of 3; omitted: a (not at effort top), b (all zero)",
        "",
    ]
    assert title not in printed({"name": "a", "effective_rank": 1.0, "stable_rank": 2.0})
