# SPDX-License-Identifier: BSD-3-Clause
"""Several scans at once, on rows and on checkpoints whose answers are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke

import sigmascope as ss
from sigmascope.results import Scan
from sigmascope.series.saved import load_series

Row = dict[str, Any]


def row(name: str, value: float | None, *, error: float = 0.0, **others: Any) -> Row:
    place = {"role": "up", "tower": "text", "layer": 0, "status": "analysed"}
    values = {"effective_rank": value, "effective_rank_error": error}
    return dict.fromkeys(Scan.schema.columns) | {"name": name} | place | values | others


def layers(*values: float, **others: Any) -> list[Row]:
    return [row(f"up.{i}", value, layer=i, **others) for i, value in enumerate(values)]


def checkpoint(folder: Path, *scales: float) -> Path:
    """Layers whose up-projections are `scale` times a matrix of ones: spectral norm 6 scale."""
    folder.mkdir(parents=True)
    write_file(
        folder / "model.safetensors",
        *(
            of_array(f"model.layers.{i}.mlp.up_proj.weight", "F32", np.full((9, 4), s, np.float32))
            for i, s in enumerate(scales)
        ),
    )
    return folder


# ----------------------------------------------------------------------------------- trajectory


def test_values_and_changes_over_steps() -> None:
    run = {
        200: layers(14.0, 3.0, error=0.25),
        100: layers(10.0, 5.0, error=0.5),
    }
    trajectory = ss.series.trajectory(run, measures="effective_rank")
    assert trajectory.steps == (100, 200)
    assert [r["step"] for r in trajectory] == [100, 100, 200, 200]
    (last,) = trajectory.where(step=200, layer=0)
    assert (last["value"], last["error"], last["count"]) == (14.0, 0.25, 1)
    assert (last["change"], last["change_error"]) == (4.0, 0.75)
    (first,) = trajectory.where(step=100, layer=1)
    assert (first["change"], first["change_error"]) == (0.0, 0.0)
    assert trajectory.where(step=200, layer=1)[0]["change"] == -2.0
    assert repr(trajectory) == "Trajectory(2 steps, 2 places, effective_rank)"


def test_experts_of_a_layer_are_one_place() -> None:
    run = [
        [row(f"e.{i}", float(v), expert=i, error=0.1 * i) for i, v in enumerate((1, 2, 6))],
        [row(f"e.{i}", float(v), expert=i) for i, v in enumerate((2, 4, 12))],
    ]
    trajectory = ss.series.trajectory(run, steps=[0, 1], measures="effective_rank")
    assert [(r["count"], r["value"], r["least"], r["greatest"]) for r in trajectory] == [
        (3, 3.0, 1.0, 6.0),
        (3, 6.0, 2.0, 12.0),
    ]
    assert trajectory[0]["error"] == pytest.approx(0.1)


def test_what_a_step_lacks_is_left_out_of_all() -> None:
    run = {0: layers(1.0, 2.0), 1: layers(1.0), 2: [*layers(3.0), row("up.1", None, layer=1)]}
    trajectory = ss.series.trajectory(run, measures="effective_rank")
    assert trajectory.missing == {("up.1", "effective_rank"): (1, 2)}
    assert {r["layer"] for r in trajectory} == {0}
    assert "1 omitted" in repr(trajectory)


def test_failed_rows_have_no_value_and_unknown_roles_their_name() -> None:
    rows = [row("a", 1.0, role="other"), row("b", 2.0, status="failed"), row("c", 3.0)]
    trajectory = ss.series.trajectory({0: rows, 1: rows}, measures="effective_rank")
    assert [(r["tower"], r["role"], r["layer"], r["value"]) for r in trajectory] == [
        ("", "a", None, 1.0),
        ("text", "up", 0, 3.0),
    ] * 2
    # A family has models with other names: a role is what they have in common.
    assert {r["role"] for r in ss.series.reference([rows, rows], measures="effective_rank")} == {
        "up"
    }


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_checkpoints_without_roles(tmp_path: Path, suffix: str) -> None:
    """Perceptrons, convolutions and blocks in a list are followed by the names of tensors."""
    shapes = {"0.weight": (9, 4), "features.3.weight": (4, 3, 3, 3), "blocks.0.1.weight": (5, 6)}
    paths, out = [], tmp_path / f"run{suffix}"
    for step in (10, 20):
        tensors = [
            of_array(name, "F32", np.full(shape, step, np.float32))
            for name, shape in shapes.items()
        ]
        paths.append(write_file(tmp_path / f"step-{step}.safetensors", *tensors))
    status, text, _ = invoke("trajectory", *paths, "--seed", "0", "--out", out)
    assert status == 0
    assert all(name in text for name in shapes)
    saved = load_series(out)
    assert saved is not None
    assert {r["role"] for r in saved} == set(shapes)
    norms = saved.where(measure="fro_norm", role="0.weight")
    assert [r["value"] for r in norms] == pytest.approx([60.0, 120.0])
    assert list(saved) == list(ss.series.trajectory(paths))
    assert invoke("show", out)[1] == text


def test_columns_of_comparisons_are_measures_too() -> None:
    rows = [row("a", 1.0) | {"delta_effective_rank": 7.0, "delta_effective_rank_error": 0.5}]
    (result,) = ss.series.trajectory({5: rows}, measures=["delta_effective_rank"])
    assert (result["value"], result["error"], result["measure"]) == (
        7.0,
        0.5,
        "delta_effective_rank",
    )


@pytest.mark.parametrize("name", ["checkpoint-{}", "model-7b-step-{}"])
def test_checkpoints_are_scanned_and_named_by_their_steps(name: str, tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / name.format(step), step, 1.0) for step in (100, 20)]
    trajectory = ss.series.trajectory(paths, measures="spectral_norm", effort="exact")
    assert trajectory.steps == (20, 100)
    values = [r["value"] for r in trajectory.where(layer=0)]
    assert values == pytest.approx([120.0, 600.0], rel=1e-6)
    assert trajectory.where(layer=1, step=100)[0]["change"] == pytest.approx(0.0, abs=1e-5)


def test_saved_scans_are_read(tmp_path: Path) -> None:
    paths = []
    for step in (1, 2):
        folder = checkpoint(tmp_path / f"m{step}", float(step))
        paths.append(tmp_path / f"scan-{step}.jsonl")
        ss.scan(folder, effort="exact").save(paths[-1])
    trajectory = ss.series.trajectory(paths, measures="spectral_norm")
    assert [r["value"] for r in trajectory] == pytest.approx([6.0, 12.0], rel=1e-6)
    scans = [Scan.load(path) for path in paths]
    assert (
        ss.series.trajectory(scans, steps=[1, 2], measures="spectral_norm").rows == trajectory.rows
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_saved_comparisons_are_read(tmp_path: Path, suffix: str) -> None:
    base = checkpoint(tmp_path / "base", 1.0)
    paths = []
    for step in (1, 2):
        paths.append(tmp_path / f"compared-{step}{suffix}")
        ss.compare(base, checkpoint(tmp_path / f"m{step}", 1.0 + step)).save(paths[-1])
    trajectory = ss.series.trajectory(paths, measures="relative_change")
    assert [r["value"] for r in trajectory] == pytest.approx([1.0, 2.0], rel=1e-6)


def test_files_that_are_not_saved_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "step-1.jsonl"
    path.write_text('{"schema": "another", "version": 1, "checksum": "00000000"}\n', "utf-8")
    with pytest.raises(ValueError, match=r"step-1.jsonl.*(not a scan|line 1)"):
        ss.series.trajectory([path])


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ([layers(1.0)], {}, "the name '' has no number for the step: pass steps="),
        (["model.jsonl"], {}, "the name 'model.jsonl' has no number for the step"),
        ([layers(1.0)], {"steps": [1, 2]}, "2 steps for 1 sources"),
        ([layers(1.0), layers(2.0)], {"steps": [1, 1]}, r"steps must be distinct, not \[1, 1\]"),
        ({0: layers(1.0)}, {"steps": [1]}, "the keys of a mapping are its steps"),
        ([], {}, "a trajectory needs at least one step"),
        ({0: layers(1.0)}, {"measures": "unheard_of"}, "the rows have no column 'unheard_of'"),
    ],
)
def test_runs_that_make_no_sense(run: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.series.trajectory(run, **options)


def test_sources_without_rows() -> None:
    with pytest.raises(TypeError, match="expected a scan, a file or a checkpoint; got int"):
        ss.series.trajectory({0: 3})  # type: ignore[dict-item]


# ------------------------------------------------------------------------------------ reference


def family(count: int = 8) -> list[list[Row]]:
    """Models 1 .. count, whose first layers have that value and whose last a hundred more."""
    return [layers(float(i), float(i + 100)) for i in range(1, count + 1)]


def test_distribution_per_role_and_depth() -> None:
    reference = ss.series.reference(family(5), measures="effective_rank", bands=2)
    first, last = reference
    assert (first["depth_from"], first["depth_to"], last["depth_to"]) == (0.0, 0.5, 1.0)
    assert [first[name] for name in ("least", "lower_quartile", "median")] == [1.0, 2.0, 3.0]
    assert [last[name] for name in ("median", "upper_quartile", "greatest")] == [103, 104, 105]
    assert first["count"] == 5
    assert reference.models == tuple(f"number {i}" for i in range(1, 6))


def test_a_model_counts_once_however_many_layers_it_has() -> None:
    models = [layers(*([1.0] * 40)), layers(3.0, 3.0)]
    (low, *_) = ss.series.reference(models, measures="effective_rank", bands=1)
    assert (low["count"], low["median"]) == (2, 2.0)


def test_what_has_no_layer_is_a_place_of_its_own() -> None:
    rows = [row("wte", 9.0, role="embed", layer=None), *layers(1.0, 2.0)]
    reference = ss.series.reference([rows], measures="effective_rank", bands=1)
    assert [(r["role"], r["depth_from"]) for r in reference] == [("embed", None), ("up", 0.0)]


def test_errors_of_values_are_carried() -> None:
    models = [layers(1.0, error=0.5), layers(2.0, error=0.25)]
    (result,) = ss.series.reference(models, measures="effective_rank")
    assert result["error"] == 0.5


@pytest.mark.parametrize(
    ("value", "quantile"), [(0.0, 0.0), (4.5, 0.5), (4.0, 3.5 / 8), (9.0, 1.0)]
)
def test_where_a_model_stands(value: float, quantile: float) -> None:
    reference = ss.series.reference(family(8), measures="effective_rank", bands=2)
    first, last = reference.place(layers(value, 500.0))
    assert (first["quantile"], first["count"]) == (quantile, 8)
    assert first["quantile_low"] <= quantile <= first["quantile_high"]
    assert last["quantile"] == 1.0


def test_clopper_and_pearson() -> None:
    """4 of 8 below: [0.1570, 0.8430]; none of 8: [0, 0.3694] (the table of 1934)."""
    reference = ss.series.reference(family(8), measures="effective_rank", bands=1)
    models = [layers(v, v + 100) for v in (4.5, 0.0)]
    half, none = (reference.place(model)[0] for model in models)
    assert half["quantile_low"] == pytest.approx(0.1570, abs=5e-5)
    assert half["quantile_high"] == pytest.approx(0.8430, abs=5e-5)
    assert none["quantile_low"] == 0
    assert none["quantile_high"] == pytest.approx(1 - 0.025 ** (1 / 8), abs=1e-9)


def test_intervals_cover_what_errors_allow() -> None:
    reference = ss.series.reference(family(8), measures="effective_rank", bands=2)
    exact = reference.place(layers(4.5, 104.5))[0]
    vague = reference.place(layers(4.5, 104.5, error=10.0))[0]
    assert vague["quantile"] == exact["quantile"]
    assert vague["quantile_low"] == 0
    assert vague["quantile_high"] == 1
    models = [layers(float(i), float(i + 100), error=10.0) for i in range(1, 9)]
    vaguely_known = ss.series.reference(models, measures="effective_rank", bands=2)
    among_vague = vaguely_known.place(layers(4.5, 104.5))[0]
    assert among_vague["quantile"] == exact["quantile"]
    assert (among_vague["quantile_low"], among_vague["quantile_high"]) == (0, 1)


@settings(deadline=None, max_examples=15)
@given(
    n=st.integers(1, 40),
    k=st.integers(0, 40),
    confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_intervals_are_those_of_scipy(n: int, k: int, confidence: float) -> None:
    from scipy.stats import binomtest

    k = min(k, n)
    models = [layers(0.0 if i < k else 2.0) for i in range(n)]
    reference = ss.series.reference(models, measures="effective_rank", bands=1)
    (placed,) = reference.place(layers(1.0), confidence=confidence)
    truth = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert placed["quantile"] == pytest.approx(k / n)
    assert placed["quantile_low"] == pytest.approx(truth.low, abs=1e-9)
    assert placed["quantile_high"] == pytest.approx(truth.high, abs=1e-9)


def test_intervals_hold_the_share_that_they_claim_to() -> None:
    """A model at the 0.3 quantile of a known law: 95 % intervals from 12 models hold 0.3."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        models = [layers(float(v)) for v in rng.uniform(size=12)]
        (placed,) = ss.series.reference(models, measures="effective_rank", bands=1).place(
            layers(0.3)
        )
        held += placed["quantile_low"] <= 0.3 <= placed["quantile_high"]
    assert held >= 186  # fewer has a chance of 0.1 % if 95 % hold it


def test_a_model_is_not_set_against_itself(tmp_path: Path) -> None:
    scans = [ss.scan(checkpoint(tmp_path / f"m{i}", float(i)), effort="exact") for i in range(1, 5)]
    reference = ss.series.reference(scans, measures="spectral_norm")
    assert reference[0]["count"] == 4
    assert reference.models[0] == str(tmp_path / "m1")
    (placed,) = reference.place(scans[0])
    assert (placed["count"], placed["quantile"]) == (3, 0.0)
    (other,) = reference.place(checkpoint(tmp_path / "new", 2.5), effort="exact")
    assert (other["count"], other["quantile"]) == (4, 0.5)


def test_places_that_the_reference_lacks_are_left_out() -> None:
    reference = ss.series.reference(family(3), measures="effective_rank", bands=2)
    assert len(reference.place([row("q", 1.0, role="q")])) == 0


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "a reference needs at least one model"),
        (family(2), {"bands": 0}, "bands must be at least 1, not 0"),
        (family(2), {"measures": ["unheard_of"]}, "no column 'unheard_of'"),
    ],
)
def test_references_that_make_no_sense(models: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.series.reference(models, **options)


def test_confidence_is_a_share() -> None:
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, not 95"):
        ss.series.reference(family(2), measures="effective_rank").place(layers(1.0), confidence=95)


# --------------------------------------------------------------------------------------- tables


def test_tables_are_saved_and_handed_on(tmp_path: Path) -> None:
    reference = ss.series.reference(family(3), measures="effective_rank", bands=2)
    reference.save(tmp_path / "r.jsonl")
    reference.save(tmp_path / "r.csv")
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == reference.rows
    with open(tmp_path / "r.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["median"]) for r in read] == [r["median"] for r in reference]
    assert list(read[0]) == list(reference.columns)
    frame = reference.to_pandas()
    assert list(frame.columns) == list(reference.columns)
    assert frame["count"].tolist() == [3, 3]
    with pytest.raises(ValueError, match=r"saved as .csv or .jsonl, not '.xlsx'"):
        reference.save(tmp_path / "r.xlsx")
    with pytest.raises(ValueError, match="no column 'rol'; the columns are tower, role"):
        reference.where(rol="up")
