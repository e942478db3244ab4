# SPDX-License-Identifier: BSD-3-Clause
"""Adapters of smaller rank: the best product of that rank, and the exact error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapters import DOWN, Q, factors, lora, write_adapter

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.errors import MemoryLimitError


def dense(product: ss.LowRank) -> np.ndarray[Any, Any]:
    B, A = (np.asarray(x, dtype=np.float64) for x in (product.B, product.A))
    return product.scale * B @ A


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"fan_in_fan_out": True},
        {"alpha_pattern": {"q_proj": 3}},
        {"r": 8, "rank_pattern": {r".*_proj": 6}},
    ],
    ids=["alpha / r", "rsLoRA", "inputs as rows", "pattern of alphas", "pattern of ranks"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_truncation_is_the_best_of_its_rank(
    settings: dict[str, Any], dtype: str, tmp_path: Path
) -> None:
    (B, A), (D, C) = factors(32, 24, 6), factors(24, 48, 6, seed=1)
    write_adapter(tmp_path / "old", lora(Q, B, A) | lora(DOWN, D, C), **{"r": 6, **settings})
    old = open_adapter(tmp_path / "old")
    resized = ss.adapters.resize(old, tmp_path / "new", rank=4, dtype=dtype)
    new = open_adapter(tmp_path / "new")
    assert list(new) == list(old)
    for each in resized:
        truth, near = dense(old[each.name]), dense(new[each.name])
        values = np.linalg.svd(truth, compute_uv=False)
        rest = np.linalg.norm(truth - near)
        assert (each.before, each.rank, new[each.name].rank) == (6, 4, 4)
        assert new[each.name].scale == 1.0
        assert abs(rest - each.remaining.value) <= each.remaining.error
        assert np.linalg.norm(truth - near, 2) <= each.spectral_bound * (1 + 1e-12)
        exact = (old[each.name] - new[each.name]).singular_values()
        bound = exact.values[0] + exact.errors[0]
        assert each.spectral_bound == pytest.approx(bound, rel=1e-14, abs=0)
        slack = 1e-6 if dtype == "float32" else 0.02
        assert rest <= np.linalg.norm(values[4:]) + slack * values[0]
    settings_of_new = json.loads((tmp_path / "new" / "adapter_config.json").read_text())
    assert settings_of_new["base_model_name_or_path"] == "the/base"
    assert settings_of_new["target_modules"] == ["q_proj"]
    assert settings_of_new["fan_in_fan_out"] is settings.get("fan_in_fan_out", False)


@pytest.mark.parametrize("parameter", [True, False])
def test_every_kind_of_layer(parameter: bool, tmp_path: Path) -> None:
    """Factors keep the names, the shapes and the orientation that PEFT gives them."""
    B, A = factors(32, 24)
    kernel = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    words, conv, gate = "model.embed_tokens", "conv_in", "model.layers.0.mlp.gate"
    tensors = {f"{words}.lora_embedding_A": A, f"{words}.lora_embedding_B": B}
    tensors |= lora(conv, B[..., None, None], kernel) | lora("lm_head", B, A)
    tensors |= lora(gate, B, A) if parameter else lora(Q, B, A)
    options = {"target_parameters": ["mlp.gate.weight"]} if parameter else {"fan_in_fan_out": True}
    old = open_adapter(write_adapter(tmp_path / "old", tensors, **options))
    ss.adapters.resize(old, tmp_path / "new", rank=2)
    new = open_adapter(tmp_path / "new")
    assert list(new) == list(old)
    shapes = {"model.embed_tokens.weight": (24, 32), "lm_head.weight": (32, 24)}
    shapes["conv_in.weight"] = (32, 12)
    shapes |= {f"{gate}.weight": (32, 24)} if parameter else {f"{Q}.weight": (24, 32)}
    assert {name: new[name].shape for name in new} == shapes
    for name in old:
        values = np.linalg.svd(dense(old[name]), compute_uv=False)
        rest = np.linalg.norm(dense(old[name]) - dense(new[name]))
        assert rest == pytest.approx(np.linalg.norm(values[2:]), rel=1e-5)
    stored = ss.open_checkpoint(tmp_path / "new" / "adapter_model.safetensors").info()
    prefix = "base_model.model."
    results = {each["name"].removeprefix(prefix): each["shape"] for each in stored}
    assert results[f"{words}.lora_embedding_A"] == (2, 24)
    assert results[f"{conv}.lora_A.weight"] == (2, 3, 2, 2)
    assert results[f"{conv}.lora_B.weight"] == (32, 2, 1, 1)
    assert results[f"{gate if parameter else Q}.lora_B.weight"] == (32, 2)


@pytest.mark.parametrize(("largest", "fits"), [(3.39e38, True), (3.398e38, False)])
def test_numbers_that_round_to_infinity_are_refused(
    largest: float, fits: bool, tmp_path: Path
) -> None:
    """The largest number of bfloat16 is 3.3895e38, that of float32 is 3.4028e38."""
    B, A = np.eye(32, 2, dtype=np.float32), np.eye(2, 24, dtype=np.float32)
    B[0, 0] = A[0, 0] = largest
    write_adapter(tmp_path / "old", lora(Q, B, A), r=2, lora_alpha=2)
    if not fits:
        with pytest.raises(ValueError, match=r"3\.4e\+38, beyond the range of bfloat16"):
            ss.adapters.resize(tmp_path / "old", tmp_path / "new", rank=1, dtype="bfloat16")
        return
    ss.adapters.resize(tmp_path / "old", tmp_path / "new", rank=1, dtype="bfloat16")
    new = open_adapter(tmp_path / "new")[f"{Q}.weight"]
    assert np.asarray(new.B).max() == np.asarray(new.A).max() == np.float32(3.3895314e38)


@pytest.mark.parametrize("below", [1, 1 + 2**-7, 5 / 4, 2 - 2**-7])
def test_numbers_halfway_between_two_of_bfloat16_become_the_even_one(
    below: float, tmp_path: Path
) -> None:
    """The factors of a product with one entry x^2 are x each, and squares of 9 bits are exact."""
    halfway = np.float32(below + 2**-8)
    B, A = np.zeros((32, 1), np.float32), np.zeros((1, 24), np.float32)
    B[3, 0] = A[0, 5] = halfway
    write_adapter(tmp_path / "old", lora(Q, B, A), r=1, lora_alpha=1)
    for dtype, wanted in (("float32", halfway), ("bfloat16", halfway.astype(ml_dtypes.bfloat16))):
        ss.adapters.resize(tmp_path / "old", tmp_path / dtype, rank=1, dtype=dtype)
        new = open_adapter(tmp_path / dtype)[f"{Q}.weight"]
        assert abs(np.asarray(new.B)[3, 0]) == abs(np.asarray(new.A)[0, 5]) == wanted


def test_a_criterion_gives_each_product_its_rank(tmp_path: Path) -> None:
    B, A = factors(32, 24, 6)
    flat = lora(Q, B, A) | lora(DOWN, np.geomspace(1, 1e-4, 6).astype(np.float32) * B, A)
    write_adapter(tmp_path / "old", flat, r=6)
    resized = ss.adapters.resize(tmp_path / "old", tmp_path / "new", error=0.1)
    new = open_adapter(tmp_path / "new")
    assert resized[1].rank < resized[0].rank
    for each in resized:
        assert new[each.name].rank == each.rank
        assert each.relative_error.value <= 0.1
    assert new.notes == ()


def test_each_matrix_of_a_stack_is_truncated(tmp_path: Path) -> None:
    """The stack has the largest rank, and zeros where a matrix has less; the settings stay."""
    outer, r, count = "model.layers.0.mlp.experts", 4, 3
    B, A = factors(32, 24, count * r)
    B[:, ::count] *= np.geomspace(1, 1e-6, r).astype(np.float32)  # of the first matrix
    B[:, 1::count] = 0  # one that was not trained
    tensors = lora(outer, B, A) | lora(f"{outer}.base_layer", *factors(40, 32, count * r, seed=1))
    names = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    options = {"target_parameters": names, "target_modules": [], "peft_version": "0.21.2"}
    old = open_adapter(write_adapter(tmp_path / "old", tensors, **options))
    resized = ss.adapters.resize(old, tmp_path / "new", error=0.4)
    new = open_adapter(tmp_path / "new")
    assert list(new) == list(old) == [each.name for each in resized]
    ranks = {each.name.rpartition(".")[2]: each.rank for each in resized}
    assert ranks["down_proj[0]"] < ranks["down_proj[2]"]
    largest = max(rank for name, rank in ranks.items() if "down" in name)
    for each in resized:
        truth, near = dense(old[each.name]), dense(new[each.name])
        rest = np.linalg.norm(truth - near)
        assert rest <= 0.4 * np.linalg.norm(truth)
        assert abs(rest - each.remaining.value) <= each.remaining.error + 1e-12
        values = np.linalg.svd(truth, compute_uv=False)[each.rank :]
        rounding = 1e-6 * np.linalg.norm(truth)
        assert rest == pytest.approx(np.linalg.norm(values), rel=1e-5, abs=rounding)
        assert new[each.name].scale == 1.0
        if "down" in each.name:
            assert new[each.name].rank == largest
    settings = json.loads((tmp_path / "new" / "adapter_config.json").read_text())
    assert settings["target_parameters"] == names
    assert settings["peft_version"] == "0.21.2"
    again = ss.adapters.resize(new, tmp_path / "again", rank=1)
    assert {each.rank for each in again} == {1}


def test_changes_that_are_not_plain_products_are_refused(tmp_path: Path) -> None:
    B, A = factors(32, 24)
    dora = lora(Q, B, A) | {f"{Q}.lora_magnitude_vector": np.ones(32, np.float32)}
    broken = lora("mlp.experts", *factors(32, 24, 11))
    whole = lora(Q, B, A) | {"lm_head.weight": B}
    options = {"target_parameters": ["mlp.experts.gate_up_proj"]}
    for tensors, reason in (
        (dora, "DoRA"),
        (broken, "11 rows are not a multiple of 4"),
        (whole, "saved whole"),
    ):
        folder = write_adapter(tmp_path / reason.split()[0], tensors, **options)
        with pytest.raises(ValueError, match=reason):
            ss.adapters.resize(folder, tmp_path / "new", rank=2)
    assert not (tmp_path / "new").exists()


def test_wrong_arguments(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "old", lora(Q, *factors(32, 24)))
    for options, error in (
        ({}, TypeError),
        ({"rank": 0}, ValueError),
        ({"energy": 1.5}, ValueError),
        ({"rank": 2, "dtype": "int4"}, ValueError),
        ({"rank": 2, "memory_limit": 1000}, MemoryLimitError),
    ):
        with pytest.raises(error):
            ss.adapters.resize(folder, tmp_path / "new", **options)
    with pytest.raises(ValueError, match=r"already holds an adapter; overwrite \(--overwrite\)"):
        ss.adapters.resize(folder, folder, rank=2)


def test_an_adapter_is_resized_in_place(tmp_path: Path) -> None:
    B, A = factors(32, 24)
    folder = write_adapter(tmp_path / "old", lora(Q, B, A))
    (folder / "README.md").write_text("notes of the user")
    ss.adapters.resize(folder, tmp_path / "new", rank=2)
    ss.adapters.resize(folder, folder, rank=2, overwrite=True)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folder / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert (folder / "README.md").read_text() == "notes of the user"
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == ["new"]


def test_low_rank_of_a_product() -> None:
    B, A = factors(40, 30, 8)
    product = ss.LowRank(B, A, 0.5)
    values = np.linalg.svd(dense(product), compute_uv=False)
    result = ss.low_rank(product, 3)
    rest = np.linalg.norm(dense(product) - dense(result.factors))
    assert abs(rest - result.remaining.value) <= result.remaining.error
    assert result.remaining.value == pytest.approx(np.linalg.norm(values[3:]), rel=1e-12)
    assert values[3] <= result.spectral_bound <= values[3] * (1 + 1e-9)
    assert ss.low_rank(product, 20).rank == 8
    assert ss.low_rank(product, error=1e-9).rank == 8
    with pytest.raises(ValueError, match="noise edge"):
        ss.low_rank(product, "edge")
