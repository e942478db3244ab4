# SPDX-License-Identifier: BSD-3-Clause
"""Adapters of stacked parameters: each matrix of a stack is a product like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import assert_close, dense, factors, lora, write_adapter

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.adapters.pairing import changes

Array = np.ndarray[Any, Any]

EXPERTS = "model.layers.0.mlp.experts"
UP, DOWN = f"{EXPERTS}.gate_up_proj", f"{EXPERTS}.down_proj"
BOTH = ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]
COUNT, RANK = 3, 4
INNER = f"{EXPERTS}.base_layer"


def by_peft(B: Array, A: Array, scale: float = 2.0, *, turned: bool = False) -> Array:
    """PEFT 0.21: `get_delta_weight` of a ParamWrapper; turned: of a module with is_transposed."""
    A = A.reshape(COUNT, -1, A.shape[-1])
    B = B.reshape(len(B), -1, COUNT)
    return scale * np.einsum("ore,eri->eio" if turned else "ore,eri->eoi", B, A)


def stack(outputs: int, inputs: int, seed: int = 0) -> tuple[Array, Array]:
    """B and A of COUNT matrices of outputs x inputs."""
    return factors(outputs, inputs, COUNT * RANK, seed)


def two_stacks(folder: Path, **settings: Any) -> tuple[Path, dict[str, tuple[Array, Array]]]:
    """An adapter of both stacks of a module: the outer wrapper is that of down_proj."""
    results = {UP: stack(40, 16), DOWN: stack(16, 20, seed=1)}
    tensors = lora(EXPERTS, *results[DOWN]) | lora(INNER, *results[UP])
    return write_adapter(folder, tensors, **{"target_parameters": BOTH, **settings}), results


def base_of(folder: Path, tensors: dict[str, Array], **config: Any) -> Path:
    save: Any = pytest.importorskip("safetensors.numpy")
    folder.mkdir(parents=True)
    save.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_each_matrix_has_its_name_its_product_and_its_role(tmp_path: Path) -> None:
    folder, result = two_stacks(tmp_path)
    adapter = open_adapter(folder)
    names = [f"{name}[{index}]" for name in (DOWN, UP) for index in range(COUNT)]
    assert list(adapter) == names
    for name, (B, A) in result.items():
        for index, truth in enumerate(by_peft(B, A)):
            matrix = f"{name}[{index}]"
            assert_close(dense(adapter[matrix]), truth)
            assert adapter.shape_of(matrix) == truth.shape
            role = adapter.roles[matrix]
            assert (role.layer, role.expert) == (0, index)
            assert adapter.terms_of(matrix) == (RANK, 8, 2.0)
    assert {adapter.roles[f"{name}[0]"].role for name in result} == {"gate_up", "down"}
    assert adapter.unreadable == {}
    records = adapter.info()
    assert sum(record["nbytes"] for record in records) == sum(
        x.nbytes for pair in result.values() for x in pair
    )
    assert len({record["offset"] for record in records}) == len(records)


def test_settings_of_a_stack_are_those_of_its_parameter(tmp_path: Path) -> None:
    patterns = {r"experts\.down_proj": 2}
    folder, result = two_stacks(
        tmp_path, use_rslora=True, r=4, rank_pattern=patterns, alpha_pattern={"down_proj": 3}
    )
    adapter = open_adapter(folder)
    assert len(adapter) == COUNT + 2 * COUNT  # rank 2 in twice as many matrices
    B, A = result[DOWN]
    assert_close(dense(adapter[f"{DOWN}[5]"]), 3 / 2**0.5 * B[:, 5::6] @ A[10:])
    assert_close(dense(adapter[f"{UP}[1]"]), by_peft(*result[UP], scale=8 / 2)[1])


def test_a_scan_has_the_spectrum_of_each(tmp_path: Path) -> None:
    folder, result = two_stacks(tmp_path)
    scan = ss.scan(folder, k=RANK)
    assert len(scan.rows) == 2 * COUNT
    for name, (B, A) in result.items():
        for index, truth in enumerate(by_peft(B, A)):
            row = scan[f"{name}[{index}]"]
            s = np.linalg.svd(truth, compute_uv=False)[:RANK]
            p = s / s.sum()
            assert row["status"] == "analysed"
            assert row["expert"] == index
            np.testing.assert_allclose(row["top"], s, rtol=1e-5)
            assert row["effective_rank"] == pytest.approx(np.exp(-np.sum(p * np.log(p))), rel=1e-5)


def test_a_name_without_a_module(tmp_path: Path) -> None:
    """Factors of a parameter whose module has no plain layer are its stack's."""
    B, A = stack(40, 16)
    plain = factors(24, 16)
    tensors = lora(EXPERTS, B, A) | lora("model.layers.0.self_attn.q_proj", *plain)
    adapter = open_adapter(write_adapter(tmp_path, tensors, target_parameters=["gate_up_proj"]))
    assert len(adapter) == COUNT + 1
    assert_close(dense(adapter[f"{UP}[2]"]), by_peft(B, A)[2])
    assert_close(dense(adapter["model.layers.0.self_attn.q_proj.weight"]), 2 * plain[0] @ plain[1])


def test_several_adapters(tmp_path: Path) -> None:
    for label in ("one", "two"):
        two_stacks(tmp_path / label)
    adapter = open_adapter(tmp_path)
    assert len(adapter) == 4 * COUNT
    assert f"{UP}[2][two]" in adapter


@pytest.mark.parametrize("fused", [False, True])
def test_the_update_of_each_expert_is_compared(fused: bool, tmp_path: Path) -> None:
    """With a base whose fused matrices are split, each part has its rows of the change."""
    folder, result = two_stacks(tmp_path / "adapter")
    rng = np.random.default_rng(3)
    base = {
        UP: rng.standard_normal((COUNT, 40, 16)).astype(np.float32),
        DOWN: rng.standard_normal((COUNT, 16, 20)).astype(np.float32),
    }
    config = {"model_type": "qwen3_moe", "hidden_size": 16, "moe_intermediate_size": 20}
    before = ss.open_checkpoint(base_of(tmp_path / "base", base, **config), split_fused=fused)
    rows = ss.compare(before, folder, k=RANK).rows
    assert [row["status"] for row in rows] == ["analysed"] * len(rows)
    truth = {name: by_peft(*result[name]) for name in result}
    expected = {f"{name}[{index}]": truth[name][index] for name in truth for index in range(COUNT)}
    if fused:
        for index in range(COUNT):
            gate, up = np.split(expected.pop(f"{UP}[{index}]"), 2)
            expected |= {f"{UP}[{index}][gate]": gate, f"{UP}[{index}][up]": up}
    assert {row["name"] for row in rows} == set(expected)
    for row in rows:
        change = expected[row["name"]]
        assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(change), rel=1e-5)
        s = np.linalg.svd(change, compute_uv=False)
        np.testing.assert_allclose(row["delta_top"], s[:RANK], rtol=1e-5)


def test_two_adapters_are_compared_matrix_by_matrix(tmp_path: Path) -> None:
    first, _ = two_stacks(tmp_path / "first")
    second, _ = two_stacks(tmp_path / "second", lora_alpha=12)
    comparison = ss.compare(first, second, k=RANK)
    assert len(comparison.analysed) == 2 * COUNT
    for row in comparison.analysed:
        assert row["relative_change"] == pytest.approx(0.5, rel=1e-5)


def test_a_base_with_another_prefix_is_paired_by_role(tmp_path: Path) -> None:
    folder, result = two_stacks(tmp_path / "adapter")
    name = DOWN.removeprefix("model.")
    weights = np.random.default_rng(0).standard_normal((COUNT, 16, 20)).astype(np.float32)
    base = ss.open_checkpoint(base_of(tmp_path / "base", {name: weights}))
    pairs = [each for each in changes(base, open_adapter(folder)) if each.how == "role"]
    assert [each.name for each in pairs] == [f"{name}[{index}]" for index in range(COUNT)]
    for index, each in enumerate(pairs):
        assert_close(dense(each.delta), by_peft(*result[DOWN])[index])


SQUARE = [
    # As PEFT of that version multiplies, for models with and without is_transposed.
    ("0.21.2", "Qwen3MoeForCausalLM", False),
    ("0.19.1", "Qwen3MoeForCausalLM", False),
    ("0.21.2", "GptOssForCausalLM", True),
    ("0.19.0", "Qwen3MoeForCausalLM", True),
    ("0.19.0", "GptOssForCausalLM", False),
    ("0.18.2.dev0@1a2b", "Qwen3MoeForCausalLM", True),
    ("0.18.1", "GptOssForCausalLM", True),
]


@pytest.mark.parametrize(("version", "model", "turned"), SQUARE)
def test_square_matrices_are_turned_as_by_the_version_of_peft(
    version: str, model: str, turned: bool, tmp_path: Path
) -> None:
    B, A = stack(24, 24)
    options = {"target_parameters": ["experts.down_proj"], "peft_version": version}
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(EXPERTS, B, A), **options))
    weights = np.random.default_rng(0).standard_normal((COUNT, 24, 24)).astype(np.float32)
    base = ss.open_checkpoint(base_of(tmp_path / "base", {DOWN: weights}, architectures=[model]))
    for index, each in enumerate(changes(base, adapter)):
        assert_close(dense(each.delta), by_peft(B, A, turned=turned)[index])


def test_shapes_tell_which_products_are_turned(tmp_path: Path) -> None:
    """Experts x inputs x outputs: as PEFT before 0.19.1 took every stack."""
    folder, result = two_stacks(tmp_path / "adapter")
    weights = np.zeros((COUNT, 20, 16), np.float32)
    base = ss.open_checkpoint(base_of(tmp_path / "base", {DOWN: weights}))
    for index, each in enumerate(changes(base, open_adapter(folder))):
        assert_close(dense(each.delta), by_peft(*result[DOWN], turned=True)[index])


def test_codes_of_gpt_oss_have_outputs_as_rows(tmp_path: Path) -> None:
    B, A = stack(64, 64)
    options = {"target_parameters": ["experts.down_proj"], "peft_version": "0.21.0"}
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(EXPERTS, B, A), **options))
    codes = {f"{DOWN}_blocks": np.zeros((COUNT, 64, 2, 16), np.uint8)}
    codes[f"{DOWN}_scales"] = np.full((COUNT, 64, 2), 127, np.uint8)
    config = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss"}
    config["quantization_config"] = {"quant_method": "mxfp4"}
    base = ss.open_checkpoint(base_of(tmp_path / "base", codes, **config))
    result = list(changes(base, adapter))
    assert [each.how for each in result] == ["role"] * COUNT
    for index, each in enumerate(result):
        assert_close(dense(each.delta), by_peft(B, A)[index])


@pytest.mark.parametrize(
    ("settings", "config", "reason"),
    [
        ({}, {"architectures": ["X"]}, "adapter_config.json has no peft_version"),
        ({"peft_version": "0.21.0"}, {}, "has no config.json that names it"),
    ],
)
def test_square_matrices_of_unknown_orientation(
    settings: dict[str, Any], config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    options = {"target_parameters": ["experts.down_proj"], **settings}
    folder = write_adapter(tmp_path / "a", lora(EXPERTS, *stack(24, 24)), **options)
    base = base_of(tmp_path / "b", {DOWN: np.ones((COUNT, 24, 24), np.float32)}, **config)
    rows = [row for row in ss.compare(base, folder).rows if row["after"] is not None]
    assert [row["name"] for row in rows] == [f"{DOWN}[{index}]" for index in range(COUNT)]
    assert all(row["reason"].endswith(reason) for row in rows)


def test_another_number_of_experts_is_named(tmp_path: Path) -> None:
    folder, _ = two_stacks(tmp_path / "a")
    base = ss.open_checkpoint(
        base_of(tmp_path / "b", {DOWN: np.ones((COUNT + 1, 16, 20), np.float32)})
    )
    values = changes(base, open_adapter(folder)).unpaired[f"{DOWN}[0]"]
    assert values == (
        f"{DOWN} of model.safetensors has 4 matrices, the change in adapter_model.safetensors "
        "3 matrices"
    )


@pytest.mark.parametrize("experts", [2, 4])
def test_every_change_without_a_matrix_has_one_row(experts: int, tmp_path: Path) -> None:
    options = {"target_parameters": ["experts.down_proj"]}
    folder = write_adapter(tmp_path / "a", lora(EXPERTS, *stack(16, 20)), **options)
    base = base_of(tmp_path / "b", {DOWN: np.ones((experts, 16, 20), np.float32)})
    rows = ss.compare(base, folder).rows
    assert sorted(row["name"] for row in rows) == [
        f"{DOWN}[{index}]" for index in range(max(experts, COUNT))
    ]
    assert len([row for row in rows if row["after"] is not None]) == COUNT


def reason_of(folder: Path, tensors: dict[str, Array], **settings: Any) -> str:
    adapter = open_adapter(write_adapter(folder, tensors, **settings))
    reason: str
    (reason,) = set(adapter.unreadable.values())
    for row in ss.scan(folder).rows:
        assert (row["status"], row["reason"]) == ("not analysed", reason)
    return reason


ONE = {"target_parameters": ["experts.down_proj"]}


@pytest.mark.parametrize(
    ("B", "A", "reason"),
    [
        ((16, 11), (11, 20), "lora_A.weight of shape [11, 20]: 11 rows are not a multiple of 4"),
        ((16, 12), (8, 20), "and adapter_model.safetensors: base_model.model.model.layers.0.mlp."),
        ((16, 8, 2, 2), (8, 20), "lora_B.weight of shape [16, 8, 2, 2]: factors of"),
    ],
)
def test_bad_shapes_name_file_and_tensor(
    B: tuple[int, ...], A: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    result = reason_of(tmp_path, lora(EXPERTS, np.ones(B, "f4"), np.ones(A, "f4")), **ONE)
    assert reason in result
    assert "adapter_model.safetensors: base_model.model." in result
    assert DOWN in result


def test_wrappers_and_names_that_do_not_fit(tmp_path: Path) -> None:
    B, A = stack(16, 20)
    reason = reason_of(tmp_path / "lost", lora(EXPERTS, B, A), target_parameters=BOTH)
    assert reason.startswith("target_parameters names down_proj, gate_up_proj of")
    assert reason.endswith(f"the file has those of {EXPERTS}")
    tensors = lora(EXPERTS, B, A) | lora(INNER, B, A)
    reason = reason_of(tmp_path / "many", tensors, **ONE)
    assert reason.endswith(f"the file has those of {INNER}, {EXPERTS}")
    reason = reason_of(tmp_path / "order", tensors, target_parameters=["experts.a", "experts.b"])
    assert "do not give their order in the module" in reason
    reason = reason_of(tmp_path / "dora", lora(EXPERTS, B, A), use_dora=True, **ONE)
    assert reason.startswith("DoRA of a parameter")


def test_too_many_matrices(tmp_path: Path) -> None:
    reason = reason_of(
        tmp_path, lora(EXPERTS, *factors(2, 2, 70000)), **ONE, rank_pattern={"down_proj": 1}
    )
    assert "a stack of 70000 matrices of rank 1, above" in reason
