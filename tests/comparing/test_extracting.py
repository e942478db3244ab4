# SPDX-License-Identifier: BSD-3-Clause
"""Adapters from two checkpoints: base + B A, what remains, and what an adapter cannot have."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.coverings import grid
from tests.support.tuned_models import (
    CARRIED,
    EMBEDDING,
    NORM,
    RANK,
    SHAPES,
    UNCHANGED,
    Model,
    base_model,
    tuned_model,
)

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.results import Extraction

JOURNAL = "extraction.jsonl"
BASE = base_model()
TUNED = tuned_model(BASE)


def change(folder: Path, name: str) -> np.ndarray[Any, Any]:
    """The product that the adapter adds to a weight, from its stored factors."""
    product = open_adapter(folder)[name]
    assert product.scale == 1.0
    B, A = (np.asarray(x, dtype=np.float64) for x in (product.B, product.A))
    return B @ A


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def check(result: Extraction, folder: Path, before: Model, after: Model) -> None:
    """Compare what the rows say with NumPy."""
    for row in result.analysed:
        name = row["name"]
        delta = after[name].astype(np.float64) - before[name].astype(np.float64)
        rest = delta - change(folder, name)
        norm = np.linalg.norm(rest)
        assert abs(norm - row["remaining"]) <= row["remaining_error"]
        assert np.linalg.norm(rest, 2) <= row["spectral_bound"] * (1 + 1e-12)
        assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(delta), rel=1e-12)
        relative = norm / np.linalg.norm(delta)
        assert abs(relative - row["relative_error"]) <= row["relative_error_error"] + 1e-15


@grid(
    criterion={"rank 3": {"rank": 3}, "edge": {"rank": "edge"}, "error": {"error": 0.3}},
    dtype=("float32", "float16", "bfloat16"),
)
def test_adapted_weights_are_base_plus_product(
    criterion: dict[str, Any], dtype: str, tmp_path: Path
) -> None:
    extraction = ss.extract(BASE, TUNED, tmp_path, dtype=dtype, **criterion)
    assert extraction.written
    assert [row["name"] for row in extraction.analysed] == CARRIED
    check(extraction, tmp_path, BASE, TUNED)
    adapter = open_adapter(tmp_path)
    assert list(adapter) == CARRIED
    assert adapter.notes == ()
    kinds = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
    assert {adapter[name].storage for name in adapter} == {kinds[dtype]}
    assert not (tmp_path / "parts").exists()


def test_planted_rank_is_found_by_the_edge(tmp_path: Path) -> None:
    extraction = ss.extract(BASE, TUNED, tmp_path, rank="edge")
    for row in (extraction[name] for name in SHAPES):
        assert row["rank"] == RANK
        assert row["mp_outliers"] == row["rank"]
        assert row["mp_edge"] < 0.01


def test_factors_that_lose_the_criterion_by_rounding_have_not_converged(tmp_path: Path) -> None:
    """Rank 3 meets the error; in bfloat16 each factor has an error of about a thousandth."""
    rng = np.random.default_rng(0)
    name = "model.layers.0.self_attn.q_proj.weight"
    base = {name: rng.standard_normal((60, 40))}
    tuned = {name: base[name] + rng.standard_normal((60, 3)) @ rng.standard_normal((3, 40))}
    for dtype, kept in (("float32", True), ("bfloat16", False)):
        extraction = ss.extract(base, tuned, tmp_path / dtype, error=1e-5, dtype=dtype)
        row = extraction[name]
        assert (row["status"], row["rank"], row["converged"]) == ("extracted", 3, kept)
        assert (row["relative_error"] < 1e-5) is kept
        assert (
            "is not certain after the factors are rounded to" in (row["notes"] or "")
        ) is not kept


def test_a_rank_above_that_of_the_change_has_rows_of_zeros(tmp_path: Path) -> None:
    """The rest of a change of rank 1 is known although the second row of a factor is zero."""
    name = "model.layers.0.self_attn.q_proj.weight"
    base = {name: np.zeros((60, 40))}
    tuned = {name: base[name].copy()}
    tuned[name][0, 0] = 3.0
    extraction = ss.extract(base, tuned, tmp_path, rank=2)
    assert np.linalg.norm(open_adapter(tmp_path)[name].A, axis=1)[1] == 0.0
    assert extraction[name]["rank"] == 2
    check(extraction, tmp_path, base, tuned)


def test_every_tensor_is_accounted_for(tmp_path: Path) -> None:
    extraction = ss.extract(BASE, TUNED, tmp_path, rank=2)
    rows = {row["name"]: row for row in extraction}
    assert rows.keys() == BASE.keys()
    assert rows[UNCHANGED]["status"] == "unchanged"
    assert rows[EMBEDDING]["status"] == "extracted"
    assert rows[NORM]["status"] == "not carried"
    reason = "the tensor is not a matrix; whole=True (--whole in a shell) saves it in full"
    assert rows[NORM]["reason"] == reason
    for name in (EMBEDDING, NORM):
        size = np.linalg.norm(TUNED[name].astype(float) - BASE[name].astype(float))
        assert rows[name]["delta_fro_norm"] == pytest.approx(size, rel=1e-12)
    assert len(extraction.not_carried) == 1


def test_settings(tmp_path: Path) -> None:
    ss.extract(BASE, TUNED, tmp_path, error=0.5)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    adapter = open_adapter(tmp_path)
    ranks = {name.removesuffix(".weight"): adapter[name].rank for name in adapter}
    assert settings["target_modules"] == list(ranks)
    assert settings["alpha_pattern"] == settings["rank_pattern"]
    assert settings["lora_alpha"] == settings["r"]
    others = {name for name, rank in ranks.items() if rank != settings["r"]}
    assert len(settings["rank_pattern"]) == len(others)
    assert settings["base_model_name_or_path"]


def test_inputs_as_rows(tmp_path: Path) -> None:
    """A Conv1D of GPT-2 stores the transpose; PEFT adds the transpose of B A."""
    name = "model.layers.0.self_attn.q_proj.weight"
    one, two = {name: BASE[name]}, {name: TUNED[name]}
    extraction = ss.extract(one, two, tmp_path, rank=3, fan_in_fan_out=True)
    check(extraction, tmp_path, one, two)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["fan_in_fan_out"] is True
    weights = ss.open_checkpoint(tmp_path / "adapter_model.safetensors")
    A = weights["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"]
    assert A.shape == (3, 64)


def test_a_rank_above_the_least_side_is_cut_down(tmp_path: Path) -> None:
    extraction = ss.extract(BASE, TUNED, tmp_path, rank=60)
    row = extraction["model.layers.0.mlp.down_proj.weight"]
    assert row["rank"] == 48
    assert "no more than 48" in row["notes"]


def test_long_names_that_begin_alike_keep_their_own_factors(tmp_path: Path) -> None:
    """Longer ones than names of files may be."""
    names = [f"model.{'wrapped_module.' * 30}{end}.weight" for end in ("gate", "last", "up")]
    rng = np.random.default_rng(0)
    base, tuned = (
        {name: rng.standard_normal((20, 16)).astype(np.float32) for name in names}
        for _ in ("base", "tuned")
    )
    extraction = ss.extract(base, tuned, tmp_path, rank=3)
    assert [row["name"] for row in extraction.analysed] == names
    assert list(open_adapter(tmp_path)) == names
    check(extraction, tmp_path, base, tuned)


@pytest.mark.parametrize("damage", [Path.unlink, cut_short], ids=["lost", "cut short"])
def test_a_run_that_was_killed_goes_on(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    """A part that the disk has lost, or the end of one, is made again."""
    whole, folder = tmp_path / "whole", tmp_path / "adapter"
    ss.extract(BASE, TUNED, whole, rank=3)
    events = []

    def stop(event: Any) -> None:
        events.append(event.kind)
        if events.count("row") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.extract(BASE, TUNED, folder, rank=3, progress=stop)
    assert not (folder / "adapter_config.json").exists()
    with pytest.raises(ValueError, match="criterion was 'rank = 3', is 'rank = 2'"):
        ss.extract(BASE, TUNED, folder, rank=2)
    damage(next((folder / "parts").iterdir()))
    kinds: list[str] = []
    extraction = ss.extract(
        BASE, TUNED, folder, rank=3, progress=lambda event: kinds.append(event.kind)
    )
    assert extraction.written
    assert kinds.count("kept") == 2
    name = "adapter_model.safetensors"
    assert (folder / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(ValueError, match="already holds an adapter"):
        ss.extract(BASE, TUNED, folder, rank=3)
    assert len(Extraction.load(folder / JOURNAL)) == len(BASE)


def test_another_adapter_replaces_one_when_it_is_complete(tmp_path: Path) -> None:
    folder, other = tmp_path / "adapter", tmp_path / "other"
    ss.extract(BASE, TUNED, folder, rank=3)
    ss.extract(BASE, TUNED, other, rank=1)
    (folder / "README.md").write_text("notes of the user")
    files = ("adapter_config.json", "adapter_model.safetensors", JOURNAL)
    before = {name: (folder / name).read_bytes() for name in files}
    events = []

    def stop(event: Any) -> None:
        events.append(event.kind)
        if events.count("row") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.extract(BASE, TUNED, folder, rank=1, overwrite=True, progress=stop)
    assert {name: (folder / name).read_bytes() for name in files} == before
    kinds: list[str] = []
    extraction = ss.extract(
        *(BASE, TUNED, folder), rank=1, overwrite=True, progress=lambda e: kinds.append(e.kind)
    )
    assert extraction.written
    assert kinds.count("kept") == 3
    for name in files[:2]:
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    assert {row["rank"] for row in Extraction.load(folder / JOURNAL).analysed} == {1}
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", *files]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "other"]


def test_weights_never_have_settings_of_another_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between any two of its steps, a replacement leaves one whole adapter or none."""
    whole = {rank: tmp_path / f"rank-{rank}" for rank in (1, 3)}
    for rank, folder in whole.items():
        ss.extract(BASE, TUNED, folder, rank=rank)
    pairs = {
        tuple((f / n).read_bytes() for n in ("adapter_config.json", "adapter_model.safetensors"))
        for f in whole.values()
    }
    target = tmp_path / "adapter"
    for last in range(4):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(whole[3], target)
        count = iter(range(last, -1, -1))

        def replace(self: Path, place: Path, count: Any = count) -> Path:
            if next(count, 0) == 0:
                raise OSError("killed")
            return Path(os.rename(self, place) or place)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with suppress(OSError):
                ss.extract(BASE, TUNED, target, rank=1, overwrite=True)
        if (target / "adapter_config.json").exists():
            names = ("adapter_config.json", "adapter_model.safetensors")
            assert tuple((target / name).read_bytes() for name in names) in pairs
        shutil.rmtree(tmp_path / "adapter.new", ignore_errors=True)


def test_a_full_disk_loses_no_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, parts = os.replace, []

    def full(old: Path | str, new: Path | str) -> None:
        parts.extend([new] if Path(new).parent.name == "parts" else [])
        if len(parts) == 3:
            raise OSError(28, "No space left on device")
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            ss.extract(BASE, TUNED, tmp_path, rank=2)
    assert len(list((tmp_path / "parts").iterdir())) == 2
    assert not (tmp_path / "adapter_model.safetensors").exists()
    assert ss.extract(BASE, TUNED, tmp_path, rank=2).written


def test_weights_are_on_the_disk_before_the_settings_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loss of power may leave settings of an adapter whose weights are missing."""
    sync, rename = os.fsync, os.replace
    steps: list[tuple[str, str, object]] = []

    def flushed(descriptor: int) -> None:
        file = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)
        steps.append(("flushed", file.name, os.fstat(descriptor).st_size))

    def replaced(old: Path | str, new: Path | str) -> None:
        steps.append(("named", Path(old).name, Path(new).name))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", replaced)
    ss.extract(BASE, TUNED, tmp_path, rank=1)
    places = []
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (place,) = (k for k, step in enumerate(steps) if step[::2] == ("named", name))
        size = (tmp_path / name).stat().st_size
        assert ("flushed", steps[place][1], size) in steps[:place]
        places.append(place)
    assert places == sorted(places)


def test_nan_fails_its_row_and_no_adapter_is_written(tmp_path: Path) -> None:
    name = "lm_head.weight"
    broken = TUNED | {name: np.full_like(TUNED[name], np.nan)}
    extraction = ss.extract(BASE, broken, tmp_path, rank=2)
    assert extraction[name]["status"] == "failed"
    assert "NaN" in extraction[name]["reason"]
    assert not extraction.written
    assert not (tmp_path / "adapter_config.json").exists()
    assert ss.extract(BASE, broken, tmp_path / "rest", rank=2, exclude=name).written


def test_files_and_a_memory_limit_change_no_bit(tmp_path: Path) -> None:
    paths = []
    for label, model in (("base", BASE), ("tuned", TUNED)):
        paths.append(tmp_path / f"{label}.safetensors")
        write_file(paths[-1], *(of_array(name, "F32", x) for name, x in model.items()))
    ss.extract(*paths, tmp_path / "a", rank=3)
    ss.extract(BASE, TUNED, tmp_path / "b", rank=3, memory_limit="64MiB", num_threads=1)
    name = "adapter_model.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "rank, energy and error"),
        ({"rank": 0}, ValueError, "rank must be positive"),
        ({"rank": 2, "dtype": "int8"}, ValueError, "'int8'"),
        ({"error": 2.0}, ValueError, "error = 2"),
        ({"rank": 2, "include": "nothing"}, ValueError, "nothing"),
    ],
)
def test_wrong_arguments_make_no_folder(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        ss.extract(BASE, TUNED, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_equal_models_have_no_adapter(tmp_path: Path) -> None:
    extraction = ss.extract(BASE, BASE, tmp_path, rank=2)
    assert not extraction.written
    assert {row["status"] for row in extraction} == {"unchanged"}
    assert repr(extraction).startswith("Extraction(")
