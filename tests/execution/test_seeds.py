# SPDX-License-Identifier: BSD-3-Clause
"""Seeds: what every public function takes, what it draws, and which number repeats its bits."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.public_names import PUBLIC

import sigmascope as ss
from sigmascope.results import Scan
from sigmascope.series import Monitor
from sigmascope.streaming import LinearSketch, Sketch

A = np.random.default_rng(0).standard_normal((150, 140)) * np.arange(1, 141) ** -0.5
W = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two checkpoints, whose names have the steps of a run."""
    folder, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(1)
    change = rng.standard_normal((150, 3)) @ rng.standard_normal((3, 140))
    paths = [folder / f"{name}.safetensors" for name in ("step-1", "step-2")]
    for path, numbers in zip(paths, (A, A + 0.1 * change), strict=True):
        write_file(path, of_array(W, "F32", numbers.astype(np.float32)))
    return [str(path) for path in paths]


Call = Callable[[Any, list[str], Path], tuple[int, Any]]
"""A call with a seed; it returns the seed that the result states, and its numbers."""


def of_sketch(sketch: Any) -> tuple[int, Any]:
    svd = sketch.svd()
    assert svd.seed == sketch.seed
    return svd.seed, svd.s


def of_table(table: Any, *columns: str) -> tuple[int, Any]:
    (row,) = table.rows
    assert row["status"] in ("analysed", "extracted"), row["reason"]
    assert row["seed"] == table.options["seed"]
    return row["seed"], [row[column] for column in columns]


def of_monitor(seed: Any) -> tuple[int, Any]:
    monitor = Monitor({W: A}, every=1, budget=None, seed=seed, effort="top", k=3)
    (row,) = monitor.step(1)
    return row["seed"], row["spectral_norm"]


def of_series(table: Any) -> tuple[int, Any]:
    return table.seed, [list(row.values()) for row in table]


CALLS: dict[str, Call] = {
    "svds": lambda seed, _, __: (
        (x := ss.svds(A, 3, seed=seed, method="krylov")).seed,
        x.Vt,
    ),
    "svds of a stack": lambda seed, _, __: (
        (x := ss.svds(np.stack([A, 2 * A]), 3, seed=seed, method="krylov"))[0].seed,
        x.Vt,
    ),
    "randomized_svd": lambda seed, _, __: ((x := ss.randomized_svd(A, 3, seed=seed)).seed, x.Vt),
    "spectral_density": lambda seed, _, __: (
        (x := ss.spectral_density(A, probes=4, passes=4, seed=seed)).seed,
        x.nuclear_norm().value,
    ),
    "spectrum": lambda seed, _, __: (
        (x := ss.spectrum(A, effort="top", k=3, seed=seed)).seed,
        x.top,
    ),
    "low_rank": lambda seed, _, __: ((x := ss.low_rank(A, 3, seed=seed)).seed, x.s),
    "Sketch": lambda seed, _, __: of_sketch(Sketch(140, 3, seed=seed).update(A)),
    "LinearSketch": lambda seed, _, __: of_sketch(LinearSketch((150, 140), 3, seed=seed).update(A)),
    "scan": lambda seed, models, _: of_table(
        ss.scan(models[0], effort="top", k=3, seed=seed), "spectral_norm", "stable_rank"
    ),
    "compare": lambda seed, models, _: of_table(
        ss.compare(*models, effort="top", k=3, seed=seed), "delta_spectral_norm"
    ),
    "extract": lambda seed, models, out: of_table(
        ss.extract(models[0], models[1], out, rank=2, seed=seed), "remaining"
    ),
    "trajectory": lambda seed, models, _: of_series(
        ss.series.trajectory(models, effort="top", k=3, seed=seed)
    ),
    "reference": lambda seed, models, _: of_series(
        ss.series.reference(models, effort="top", k=3, seed=seed)
    ),
    "place": lambda seed, models, _: of_series(
        ss.series.reference(models[:1]).place(models[1], effort="top", k=3, seed=seed)
    ),
    "Monitor": lambda seed, _, __: of_monitor(seed),
}


def test_the_table_has_every_function_that_takes_a_seed() -> None:
    taking = {name for name, call in PUBLIC.items() if callable(call) and takes_seed(call)}
    assert taking == {name.partition(" ")[0] for name in CALLS} - {"place"}


def takes_seed(call: Any) -> bool:
    """Tell whether an optional keyword of a call, and not a field of a result, is a seed."""
    try:
        seed = inspect.signature(call).parameters.get("seed")
    except ValueError:
        return False
    return seed is not None and seed.default == 0


@pytest.mark.parametrize("name", CALLS)
def test_a_drawn_seed_is_stated_and_repeats_the_bits(
    name: str, models: list[str], tmp_path: Path
) -> None:
    numbers: Any
    repeated: Any
    seed, numbers = CALLS[name](None, models, tmp_path / "first")
    other, _ = CALLS[name](None, models, tmp_path / "other")
    assert seed != other
    assert 0 <= seed < 2**53
    for same in (seed, np.int64(seed)):
        again, repeated = CALLS[name](same, models, tmp_path / type(same).__name__)
        assert type(again) is int
        assert again == seed
        np.testing.assert_array_equal(repeated, numbers)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("seed", "kind", "said"),
    [
        ("x", TypeError, "'x'"),
        (3.0, TypeError, "3.0"),
        (-1, ValueError, "-1"),
        (2**64, ValueError, str(2**64)),
        (np.random.default_rng(0), TypeError, r"Generator.*: pass int\(rng\.integers"),
    ],
)
def test_an_error_names_the_argument_and_both_cures(
    name: str, seed: Any, kind: type[Exception], said: str, models: list[str], tmp_path: Path
) -> None:
    message = rf"seed must be an integer between 0 and 2\*\*64 - 1, or None to draw .*not {said}"
    with pytest.raises(kind, match=message):
        CALLS[name](seed, models, tmp_path / "out")


def test_two_seeds_start_a_search_at_two_places() -> None:
    first, second = (ss.svds(A, 3, seed=seed, method="krylov").Vt for seed in (None, None))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("seed", [0, 2**53 - 1, 2**64 - 1])
def test_files_keep_every_bit_of_a_seed(seed: int, suffix: str, tmp_path: Path) -> None:
    """Also that of 64 bits, which no signed integer and no float64 holds."""
    path = tmp_path / f"scan{suffix}"
    table = ss.scan({W: A, "norm.weight": A[0]}, effort="top", k=3, seed=seed, out=path)
    assert [row["seed"] for row in Scan.load(path).rows] == [seed, None]
    assert table.to_pandas()["seed"].tolist()[0] == seed


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_drawn_seed_survives_readers_that_know_only_float64(suffix: str, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    path = tmp_path / f"scan{suffix}"
    table = ss.scan({W: A, "norm.weight": A[0]}, effort="top", k=3, seed=None, out=path)
    readers = {
        ".jsonl": lambda: [json_seed(line) for line in path.read_text().splitlines()[1:]],
        ".csv": lambda: pd.read_csv(path)["seed"].astype("float64").tolist(),
        ".parquet": lambda: pd.read_parquet(path)["seed"].astype("float64").tolist(),
    }
    assert readers[suffix]()[0] == table.options["seed"]


def json_seed(line: str) -> float | None:
    """The seed of a row, as JavaScript reads it."""
    seed = json.loads(line, parse_int=float)["seed"]
    return None if seed is None else float(seed)
