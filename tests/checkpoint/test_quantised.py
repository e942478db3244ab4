# SPDX-License-Identifier: BSD-3-Clause
"""Quantised weights: layouts that are recognised, fp8 scales that are found and laid out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.checkpoints import Stored, looked_up, of_array, opened, record, recorded_calls

from sigmascope.errors import CheckpointError

A = Stored("a", "F32", (2, 3))
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return recorded_calls(monkeypatch)


LAYOUTS: dict[str, list[tuple[str, str, tuple[int, ...], str]]] = {
    "GPTQ or AWQ": [
        ("q.qweight", "I32", (2, 8), "unreadable"),
        ("q.scales", "F16", (2, 8), "scale"),
        ("q.qzeros", "I32", (2, 1), "part"),
        ("q.g_idx", "I32", (16,), "part"),
    ],
    "compressed-tensors": [
        ("q.weight_packed", "I32", (4, 2), "unreadable"),
        ("q.weight_scale", "BF16", (4, 2), "scale"),
        ("q.weight_shape", "I64", (2,), "part"),
    ],
    "MXFP4": [
        ("experts.down_proj_blocks", "U8", (2, 4, 1, 15), "unreadable"),  # a group has 16 bytes
        ("experts.down_proj_scales", "U8", (2, 4, 1), "scale"),
    ],
    "bitsandbytes": [
        ("q.weight", "U8", (8, 1), "unreadable"),
        ("q.weight.absmax", "F32", (4,), "scale"),
        ("q.weight.quant_map", "F32", (16,), "part"),
        ("q.weight.quant_state.bitsandbytes__nf4", "U8", (9,), "part"),
    ],
    "AQLM": [
        ("q.codes", "I8", (2, 2, 1), "unreadable"),
        ("q.codebooks", "F16", (1, 4, 1, 8), "part"),
        ("q.scales", "F16", (2, 1, 1, 1), "scale"),
    ],
    "HQQ": [
        ("q.W_q", "U8", (4, 8), "unreadable"),
        ("q.scale", "F16", (8, 1), "scale"),
        ("q.zero", "F16", (8, 1), "part"),
    ],
    "codes with scales": [
        ("q.weight", "U8", (4, 8), "unreadable"),
        ("q.weight_scale", "F8_E4M3", (4, 2), "scale"),
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_quantised_layouts_are_named_and_their_parts_are_not_matrices(
    layout: str, tmp_path: Path
) -> None:
    parts = LAYOUTS[layout]
    checkpoint = opened(tmp_path, *(Stored(name, dtype, shape) for name, dtype, shape, _ in parts))
    assert list(checkpoint) == []
    codes = parts[0][0]
    for name, dtype, _, status in parts:
        row = record(checkpoint, name)
        assert row["status"] == status
        if status == "unreadable":
            assert row["reason"] == (f"quantised weight ({layout}): {dtype} codes are not decoded")
        else:
            assert row["reason"] == f"{status} of {codes}"
    assert list(checkpoint.unreadable) == [codes]


def test_layout_is_named_as_the_configuration_names_it(tmp_path: Path) -> None:
    config = {"quantization_config": {"quant_method": "awq"}}
    tensors = [Stored("q.qweight", "I32", (2, 8)), Stored("q.scales", "F16", (2, 8))]
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert "quantised weight (awq)" in checkpoint.unreadable["q.qweight"]


def test_names_alone_do_not_make_a_part(tmp_path: Path) -> None:
    names = ("logit_scale", "logit_scale_scale", "x.scales", "y_blocks", "y_scales")
    checkpoint = opened(tmp_path, *(Stored(name, "F32", (2, 2)) for name in names))
    assert tuple(checkpoint) == names


# ---------------------------------------------------------------------------- scales of fp8

SCALES = [
    ("_scale_inv", "F32", (2, 3), (2, 3), (128, 128), "scale per 128 x 128 block"),
    ("_scale_inv", "BF16", (2, 3), (2, 3), (128, 128), "scale per 128 x 128 block"),
    ("_scale_inv", "F8_E8M0", (2, 3), (2, 3), (128, 128), "scale per 128 x 128 block"),
    ("_scale", "F32", (), (1, 1), (200, 300), "one scale"),
    ("_scale", "F32", (1,), (1, 1), (200, 300), "one scale"),
    ("_scale", "F64", (1, 1), (1, 1), (200, 300), "one scale"),
    ("_scale", "F16", (200,), (200, 1), (1, 300), "scale per 1 x 300 block"),
    ("_scale", "F32", (200, 1), (200, 1), (1, 300), "scale per 1 x 300 block"),
    ("_scale", "F32", (1, 300), (1, 300), (200, 1), "scale per 200 x 1 block"),
    ("_scale", "F32", (200, 3), (200, 3), (1, 100), "scale per 1 x 100 block"),
]


@pytest.mark.parametrize(("end", "dtype", "stored", "grid", "block", "view"), SCALES)
def test_fp8_scales(
    end: str,
    dtype: str,
    stored: tuple[int, ...],
    grid: tuple[int, int],
    block: tuple[int, int],
    view: str,
    tmp_path: Path,
    calls: list[dict[str, Any]],
) -> None:
    numpy_dtype = {
        "BF16": ml_dtypes.bfloat16,
        "F8_E8M0": ml_dtypes.float8_e8m0fnu,
        "F16": np.float16,
        "F64": np.float64,
        "F32": np.float32,
    }[dtype]
    count = grid[0] * grid[1]
    scales = np.ldexp(1.0, np.arange(count) % 15 - 7).astype(numpy_dtype).reshape(stored)
    checkpoint = opened(
        tmp_path, Stored(UP, "F8_E4M3", (200, 300)), of_array(UP + end, dtype, scales)
    )
    assert looked_up(checkpoint, UP) is calls[0]
    assert calls[0]["dtype"] == "f8_e4m3"
    assert calls[0]["scale_block"] == block
    assert calls[0]["scale"].dtype == np.float32
    np.testing.assert_array_equal(calls[0]["scale"], scales.astype(np.float32).reshape(grid))
    assert record(checkpoint, UP)["view"].startswith(view)
    assert record(checkpoint, UP + end)["reason"] == f"scale of {UP}"
    assert list(checkpoint) == [UP]


def test_block_size_comes_from_the_configuration(
    tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    tensors = [Stored(UP, "F8_E5M2", (200, 300)), Stored(UP + "_scale_inv", "F32", (4, 10))]
    config = {"quantization_config": {"weight_block_size": [64, 32]}}
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert looked_up(checkpoint, UP) is calls[0]
    assert calls[0]["scale_block"] == (64, 32)
    assert "assumed" not in record(checkpoint, UP)["view"]


def test_assumed_block_size_is_said(tmp_path: Path) -> None:
    tensors = [Stored(UP, "F8_E4M3", (200, 300)), Stored(UP + "_scale_inv", "F32", (2, 3))]
    view = record(opened(tmp_path, *tensors), UP)["view"]
    assert view == f"scale per 128 x 128 block, {UP}_scale_inv (block size assumed)"


def test_scales_of_stacked_fp8_experts(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    scales = np.arange(1, 9, dtype=np.float32).reshape(2, 1, 4)
    checkpoint = opened(
        tmp_path, Stored("e", "F8_E4M3", (2, 3, 4)), of_array("e_scale", "F32", scales)
    )
    for index, name in enumerate(["e[0]", "e[1]"]):
        assert looked_up(checkpoint, name) is calls[-1]
        assert calls[-1]["scale_block"] == (3, 1)
        np.testing.assert_array_equal(calls[-1]["scale"], scales[index])


def test_exponent_scales_at_both_ends(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    codes = np.array([[0], [127], [254]], np.uint8)
    checkpoint = opened(
        tmp_path, Stored("w", "F8_E4M3", (3, 4)), of_array("w_scale", "F8_E8M0", codes)
    )
    assert looked_up(checkpoint, "w") is calls[0]
    expected = np.array([[2.0**-127], [1.0], [2.0**127]], np.float32)
    np.testing.assert_array_equal(calls[0]["scale"], expected)


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [
        ("F8_E8M0", np.array([[127], [255], [255]], np.uint8)),
        ("F32", np.array([[1], [np.nan], [np.inf]], np.float32)),
        ("F64", np.array([[1], [1e300], [-1e300]])),
    ],
)
def test_scales_that_are_not_finite_are_refused_with_their_place(
    dtype: str, scales: np.ndarray[Any, Any], tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    checkpoint = opened(
        tmp_path, Stored("w", "F8_E4M3", (3, 4)), of_array("w_scale", dtype, scales)
    )
    message = (
        r"tensor 'w_scale' at byte \d+: 2 of 3 scales are NaN .* first at \[1, 0\] of \[3, 1\]"
    )
    with pytest.raises(CheckpointError, match=message):
        checkpoint["w"]
    assert calls == []


def test_fp8_without_scale_says_so(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, Stored("w", "F8_E4M3", (3, 4)))
    assert record(checkpoint, "w")["view"] == "no scale stored"
    assert list(checkpoint) == ["w"]


@pytest.mark.parametrize(
    ("scales", "reason"),
    [
        ([Stored("w_scale", "F32", (7, 3))], "scale w_scale has shape [7, 3], which does not fit"),
        ([Stored("w_scale", "I8", (200, 1))], "scale w_scale has dtype I8"),
        ([Stored("w_scale", "F32", (0,))], "scale w_scale has shape [0], which does not fit"),
        ([Stored("w_scale", "F32", (200, 300))], "which does not fit 200 x 300"),
        (
            [Stored("w_scale", "F32", ()), Stored("w_scale_inv", "F32", ())],
            "two scales: w_scale_inv and w_scale",
        ),
    ],
)
def test_fp8_is_never_analysed_without_its_scales(
    scales: list[Stored], reason: str, tmp_path: Path
) -> None:
    checkpoint = opened(tmp_path, Stored("w", "F8_E4M3", (200, 300)), *scales)
    assert list(checkpoint) == []
    assert reason in checkpoint.unreadable["w"]


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ("{", "config.json not used: "),
        ("[]", "config.json not used: "),
        ({"quantization_config": {"weight_block_size": [0, 128]}}, "weight_block_size [0, 128]"),
        ({"quantization_config": {"weight_block_size": 128}}, "weight_block_size 128 not used"),
        ({"quantization_config": None}, None),
        ({"quantization_config": {"quant_method": 3}}, None),
    ],
)
def test_broken_configuration_is_a_note(config: object, note: str | None, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, A, config=config)
    assert list(checkpoint) == ["a"]
    assert len(checkpoint.notes) == (note is not None)
    assert note is None or note in checkpoint.notes[0]


@pytest.mark.parametrize(("shape", "repeat"), [((2, 3), (128, 128)), ((200, 1), (1, 300))])
def test_fp8_values_are_scaled(
    shape: tuple[int, int], repeat: tuple[int, int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((200, 300)).astype(ml_dtypes.float8_e4m3fn)
    scales = np.exp2(rng.integers(-9, 9, shape)).astype(np.float32)
    checkpoint = opened(
        tmp_path, of_array("w", "F8_E4M3", codes), of_array("w_scale_inv", "F32", scales)
    )
    spread = scales.repeat(repeat[0], axis=0).repeat(repeat[1], axis=1)[:200, :300]
    np.testing.assert_array_equal(
        np.asarray(checkpoint["w"], dtype=np.float64), codes.astype(np.float64) * spread
    )
