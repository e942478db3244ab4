# SPDX-License-Identifier: BSD-3-Clause
"""GPTQ and AWQ: every number as the layout defines it, and weights that are not as it says."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import group_formats as formats
from tests.support.checkpoints import Stored, opened, record

from sigmascope.errors import CheckpointError

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}


def config(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"quantization_config": settings | changes}


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(("shape", "size"), [((40, 96), 32), ((33, 64), 48), ((64, 32), 128)])
def test_numbers_of_gptq(
    bits: int, version: int, act_order: bool, shape: tuple[int, int], size: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(bits)
    tensors, wanted = formats.gptq(rng, shape, bits, size, version=version, act_order=act_order)
    kind = {1: "gptq", 2: "gptq_v2"}[version]
    settings = config(GPTQ, bits=bits, group_size=size, checkpoint_format=kind)
    checkpoint = opened(tmp_path, *tensors, config=settings)
    assert list(checkpoint) == ["q_proj.weight"]
    a: Any = checkpoint["q_proj.weight"]
    assert (a.shape, a.storage) == (shape, "f32")
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[3::2, 5:31:3]), wanted[3::2, 5:31:3])
    np.testing.assert_array_equal(np.asarray(a.T[1:20:7].load()), wanted.T[1:20:7])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(a[:9]))), wanted[:9])


def test_a_zero_of_version_1_keeps_the_bits_of_a_code(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors, _ = formats.gptq(rng, (8, 32), 4, 32)
    ones = Stored("q_proj.qzeros", "I32", (1, 1), b"\xff" * 4)
    tensors[1] = ones
    numbers = np.asarray(opened(tmp_path, *tensors, config=config(GPTQ))["q_proj.weight"])
    assert numbers[0, 0] == 0  # code 0 less a zero of 15 + 1, which is 0 in four bits
    assert numbers[1:, 0].all()


@pytest.mark.parametrize("shape", [(40, 96), (8, 33), (136, 64)])
def test_numbers_of_awq(shape: tuple[int, int], tmp_path: Path) -> None:
    tensors, wanted = formats.awq(np.random.default_rng(1), shape, 32)
    a: Any = opened(tmp_path, *tensors, config=config(AWQ))["q_proj.weight"]
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[1::3, 2:]), wanted[1::3, 2:])


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_settings_of_single_modules_follow_from_the_shapes(bits: int, tmp_path: Path) -> None:
    """Their names are regular expressions from a file, of which none is matched."""
    tensors, wanted = formats.gptq(np.random.default_rng(1), (40, 96), bits, 48, act_order=True)
    settings = config(GPTQ, dynamic={"(a|aa)+$": {"bits": bits, "group_size": 48}})
    checkpoint = opened(tmp_path, *tensors, config=settings)
    np.testing.assert_array_equal(np.asarray(checkpoint["q_proj.weight"]), wanted)
    row = record(checkpoint, "q_proj.qweight")
    assert f"{bits} bits, scale and zero per 48 inputs" in str(row["view"])


def test_shapes_that_have_no_number_of_bits_are_named(tmp_path: Path) -> None:
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32)
    words = Stored("q_proj.qweight", "I32", (5, 16))
    settings = config(GPTQ, dynamic={".*": {}})
    checkpoint = opened(tmp_path, words, *tensors[1:], config=settings)
    reason = "64 inputs in 5 words and 2 groups fit no number of bits and group size"
    assert reason in checkpoint.unreadable["q_proj.qweight"]


def test_numbers_of_autoround(tmp_path: Path) -> None:
    how = {"quant_method": "auto-round", "bits": 4, "group_size": 32}
    how["extra_config"] = {"k_proj": {"bits": 8}, "lm_head": {"bits": 16}}
    rng = np.random.default_rng(1)
    tensors, wanted = formats.gptq(rng, (40, 96), 4, 32)
    other, of_other = formats.gptq(rng, (40, 96), 8, 32, name="k_proj")
    settings = config(how, packing_format="auto_round:auto_gptq")
    checkpoint = opened(tmp_path, *tensors[:3], *other[:3], config=settings)
    np.testing.assert_array_equal(np.asarray(checkpoint["q_proj.weight"]), wanted)
    np.testing.assert_array_equal(np.asarray(checkpoint["k_proj.weight"]), of_other)
    tensors, wanted = formats.awq(rng, (40, 96), 32)
    settings = config(how, packing_format="auto_round:auto_awq")
    checkpoint = opened(tmp_path, *tensors, config=settings)
    np.testing.assert_array_equal(np.asarray(checkpoint["q_proj.weight"]), wanted)
    settings = config(how, packing_format="auto_round:llm_compressor")
    checkpoint = opened(tmp_path, *tensors, config=settings)
    assert "'auto_round:llm_compressor' is not decoded" in checkpoint.unreadable["q_proj.qweight"]


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_settings_in_a_file_of_their_own(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    if method == "gptq":
        tensors, wanted = formats.gptq(rng, (40, 96), 4, 32)
        name, settings = "quantize_config.json", {"bits": 4, "group_size": 32, "sym": False}
    else:
        tensors, wanted = formats.awq(rng, (40, 96), 32)
        name = "quant_config.json"
        settings = {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}
    (tmp_path / name).write_text(json.dumps(settings))
    checkpoint = opened(tmp_path, *tensors, config={"model_type": "llama"})
    np.testing.assert_array_equal(np.asarray(checkpoint["q_proj.weight"]), wanted)
    (tmp_path / name).write_text('{"bit": 4}')
    checkpoint = opened(tmp_path, *tensors, config={"model_type": "llama"})
    assert f"{name} not used: it has no settings of {method.upper()}" in checkpoint.notes
    (tmp_path / name).write_text("[4]")
    checkpoint = opened(tmp_path, *tensors, config={"model_type": "llama"})
    assert any(f"{name} not used: " in note for note in checkpoint.notes)


def test_whole_rows_are_one_group_if_the_size_says_so(tmp_path: Path) -> None:
    tensors, wanted = formats.gptq(np.random.default_rng(1), (16, 64), 4, 64)
    checkpoint = opened(tmp_path, *tensors[:3], config=config(GPTQ, group_size=-1))
    np.testing.assert_array_equal(np.asarray(checkpoint["q_proj.weight"]), wanted)
    assert "scale and zero per 64 inputs" in str(record(checkpoint, "q_proj.qweight")["view"])


def test_roles_and_parts_are_those_of_the_original_weight(tmp_path: Path) -> None:
    stem = "model.layers.3.self_attn.q_proj"
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32, name=stem)
    checkpoint = opened(tmp_path, *tensors, config=config(GPTQ))
    role = checkpoint.roles[f"{stem}.weight"]
    assert (role.layer, role.role) == (3, "q")
    row = record(checkpoint, f"{stem}.qweight")
    assert (row["status"], row["matrices"]) == ("matrix", (f"{stem}.weight",))
    assert row["view"] == "GPTQ version 1, 4 bits, scale and zero per 32 inputs, by g_idx"
    assert record(checkpoint, f"{stem}.scales")["status"] == "scale"
    assert record(checkpoint, f"{stem}.g_idx")["reason"] == f"part of {stem}.qweight"
    assert checkpoint.elements(f"{stem}.qweight") is None


REFUSED: list[tuple[dict[str, Any], int | None, Any, str]] = [
    ({"bits": 5}, None, None, "gives bits 5, not one of [2, 3, 4, 8]"),
    ({"bits": "4"}, None, None, "gives bits '4'"),
    ({"group_size": 0}, None, None, "not 64 inputs in groups of 0"),
    ({"group_size": 64}, None, None, "has 2 groups, not 64 inputs in groups of 64"),
    ({"group_size": None}, None, None, "gives group_size None"),
    ({"bits": 8}, None, None, "q_proj.qweight has 8 rows of words, where 64 inputs of 8 bits"),
    ({"checkpoint_format": "marlin"}, None, None, "checkpoint_format 'marlin' is not decoded"),
    ({"is_marlin_format": True}, None, None, "checkpoint_format 'marlin' is not decoded"),
    ({"pack_dtype": "int8"}, None, None, "pack_dtype 'int8' is not decoded"),
    ({}, 1, (3, 2), "q_proj.qzeros has shape [3, 2], where [2, 2] would fit"),
    ({}, 2, (2, 15), "q_proj.scales has shape [2, 15], where [2, 16] would fit"),
    ({}, 3, (55,), "has 8 rows of words, where 55 inputs of 4 bits have 7"),
    ({}, 1, None, "there is no q_proj.qzeros"),
    ({}, 2, None, "there is no q_proj.scales"),
]


@pytest.mark.parametrize(("changes", "part", "shape", "reason"), REFUSED)
def test_a_weight_of_another_layout_is_named_with_the_reason(
    changes: dict[str, Any], part: int | None, shape: Any, reason: str, tmp_path: Path
) -> None:
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32)
    if part is not None:
        result = tensors.pop(part)
        if shape is not None:
            tensors.append(replace(result, shape=shape, data=None))
    checkpoint = opened(tmp_path, *tensors, config=config(GPTQ, **changes))
    assert list(checkpoint) == []
    assert reason in checkpoint.unreadable["q_proj.qweight"]
    assert "quantised weight (gptq): " in checkpoint.unreadable["q_proj.qweight"]


def test_other_kernels_of_awq_are_named(tmp_path: Path) -> None:
    tensors, _ = formats.awq(np.random.default_rng(1), (16, 64), 32)
    checkpoint = opened(tmp_path, *tensors, config=config(AWQ, version="gemv"))
    assert "layout of version 'gemv' is not decoded" in checkpoint.unreadable["q_proj.qweight"]


def test_no_layout_is_guessed_without_a_configuration(tmp_path: Path) -> None:
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32)
    assert list(opened(tmp_path, *tensors)) == []


def test_a_weight_of_the_same_name_is_not_hidden(tmp_path: Path) -> None:
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32)
    other = Stored("q_proj.weight", "F32", (2, 3))
    checkpoint = opened(tmp_path, *tensors, other, config=config(GPTQ))
    assert list(checkpoint) == ["q_proj.weight"]
    assert "there is also a q_proj.weight" in checkpoint.unreadable["q_proj.qweight"]


def test_indices_and_scales_are_checked_when_they_are_read(tmp_path: Path) -> None:
    tensors, _ = formats.gptq(np.random.default_rng(1), (16, 64), 4, 32)
    index = np.zeros(64, np.int32)
    index[[5, 9]] = -3, 2
    bad = [*tensors[:3], formats.stored("q_proj.g_idx", index)]
    checkpoint = opened(tmp_path, *bad, config=config(GPTQ))
    message = "tensor 'q_proj.g_idx': 2 of 64 inputs are in no group, the first is input 5 in group"
    with pytest.raises(CheckpointError, match=message):
        checkpoint["q_proj.weight"]
    grid = np.ones((2, 16), np.float16)
    grid[1, 2] = np.inf
    bad = [*tensors[:2], formats.stored("q_proj.scales", grid), tensors[3]]
    checkpoint = opened(tmp_path, *bad, config=config(GPTQ))
    with pytest.raises(CheckpointError, match=r"'q_proj.scales' .* the first at \[1, 2\]"):
        checkpoint["q_proj.weight"]
