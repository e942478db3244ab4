# SPDX-License-Identifier: BSD-3-Clause
"""Diagnoses of weights whose updates have known spectra, however the files are written and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file, write_sharded
from tests.support.planted_updates import WIDTH, Weights, made_weights, powers, updated

import sigmascope as ss
from sigmascope.diagnosis import Calibration

NARROW, BROAD = 0.9, 0.6
"""Exponents of the spectra of updates."""


def written(path: Path, weights: Weights, dtype: str = "F64", factor: float = 1.0) -> Path:
    kind = {"F64": np.float64, "F32": np.float32}[dtype]
    return write_file(
        path, *(of_array(name, dtype, (factor * W).astype(kind)) for name, W in weights.items())
    )


def rows_of(before: Path, after: Path, **options: Any) -> list[dict[str, Any]]:
    return ss.compare(before, after, effort="exact", k=4, **options).rows


@pytest.fixture(scope="module")
def base() -> Weights:
    """The weights from which every model was trained."""
    return made_weights(0)


@pytest.fixture(scope="module")
def calibration(base: Weights, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """Five narrow and five broad runs of the base."""
    folder = tmp_path_factory.mktemp("runs")
    before = written(folder / "base.safetensors", base)
    runs = []
    for label, exponent in (("narrow", NARROW), ("broad", BROAD)):
        for seed in range(5):
            after = updated(base, exponent, seed=10 * seed + (label == "broad"))
            path = written(folder / f"{label}{seed}.safetensors", after)
            runs.append((rows_of(before, path), label, "base"))
    return Calibration.fit(runs)


@pytest.mark.parametrize(
    "exponent", [0.0, 0.6, 1.5, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.3, 0.9))]
)
def test_the_spread_is_that_of_the_planted_spectrum(
    base: Weights, tmp_path: Path, exponent: float
) -> None:
    """E = H(sigma / sum of sigma) - ln M, in closed form; projection off W takes 1 of M N."""
    before = written(tmp_path / "before.safetensors", base)
    after = written(tmp_path / "after.safetensors", updated(base, exponent, seed=99))
    share = powers(exponent) / powers(exponent).sum()
    expected = -np.sum(share * np.log(share)) - np.log(WIDTH)
    result = ss.diagnosis.diagnose(rows_of(before, after)).update.places
    assert np.mean(list(result.values())) == pytest.approx(expected, abs=0.01)


def _sharded(folder: Path, weights: Weights) -> Path:
    tensors = [of_array(name, "F64", W) for name, W in weights.items()]
    return write_sharded(folder, {f"part-{i}.safetensors": tensors[i::3] for i in range(3)})


def _reversed(folder: Path, weights: Weights) -> Path:
    folder.mkdir()
    return written(folder / "a.safetensors", dict(reversed(weights.items())))


def _scaled(folder: Path, weights: Weights) -> Path:
    folder.mkdir()
    return written(folder / "a.safetensors", weights, factor=3.7)


@pytest.mark.slow
@pytest.mark.parametrize(("exponent", "verdict"), [(NARROW, "narrow"), (BROAD, "broad")])
@pytest.mark.parametrize(
    ("write", "options"),
    [
        pytest.param(_reversed, {}, id="tensors in another order"),
        pytest.param(_scaled, {}, id="all weights scaled"),
        pytest.param(_sharded, {}, id="three shards"),
        pytest.param(_reversed, {"num_threads": 1}, id="one thread"),
        pytest.param(_reversed, {"memory_limit": "64MiB"}, id="little memory"),
    ],
)
def test_how_files_are_written_and_read_changes_no_verdict(
    base: Weights,
    calibration: Calibration,
    tmp_path: Path,
    exponent: float,
    verdict: str,
    write: Callable[[Path, Weights], Path],
    options: dict[str, Any],
) -> None:
    changed = updated(base, exponent, seed=77)
    plain = ss.diagnosis.diagnose(
        rows_of(
            written(tmp_path / "before.safetensors", base),
            written(tmp_path / "after.safetensors", changed),
        ),
        calibration,
        group="base",
    )
    assert plain.verdict == verdict
    before, after = write(tmp_path / "before", base), write(tmp_path / "after", changed)
    diagnosis = ss.diagnosis.diagnose(rows_of(before, after, **options), calibration, group="base")
    assert diagnosis.verdict == verdict
    assert diagnosis.score == pytest.approx(plain.score, abs=1e-6)


@pytest.mark.slow
def test_another_storage_format_has_the_same_score_and_no_verdict(
    base: Weights, calibration: Calibration, tmp_path: Path
) -> None:
    changed = updated(base, NARROW, seed=77)
    scores = {}
    for dtype in ("F64", "F32"):
        before = written(tmp_path / f"before{dtype}.safetensors", base, dtype)
        after = written(tmp_path / f"after{dtype}.safetensors", changed, dtype)
        diagnosis = ss.diagnosis.diagnose(rows_of(before, after), calibration, group="base")
        scores[dtype] = diagnosis.score
        assert diagnosis.verdict == ("narrow" if dtype == "F64" else "refused")
    assert scores["F32"] == pytest.approx(scores["F64"], abs=1e-5)
