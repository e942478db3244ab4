# SPDX-License-Identifier: BSD-3-Clause
"""compressed-tensors, NVFP4, MXFP4, bitsandbytes and MLX: every number as the layout defines it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import group_formats as formats
from tests.support.checkpoints import Stored, opened, record

from sigmascope.errors import CheckpointError

WEIGHT = "q_proj.weight"


def scheme(kind: str = "pack-quantized", **weights: Any) -> dict[str, Any]:
    """Settings of compressed-tensors with one group of modules."""
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group"} | weights
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return settings("compressed-tensors", format=kind, config_groups=groups)


def settings(method: str, **others: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": method, **others}}


def assert_numbers(
    folder: Path, tensors: list[Stored], config: dict[str, Any], wanted: NDArray[np.float32]
) -> None:
    """Check the numbers of a weight, of slices of it, and of what another process would read."""
    checkpoint = opened(folder, *tensors, config=config)
    assert list(checkpoint) == [WEIGHT], checkpoint.unreadable
    a: Any = checkpoint[WEIGHT]
    assert np.asarray(a).tobytes() == wanted.tobytes()
    np.testing.assert_array_equal(np.asarray(a[1::3, 5:40:7]), wanted[1::3, 5:40:7])
    np.testing.assert_array_equal(np.asarray(a.T[3:20].load()), wanted.T[3:20])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(a[:, 3:]))), wanted[:, 3:])


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize(
    ("shape", "size"), [((40, 96), 32), ((33, 333), 16), ((9, 245), None), ((7, 330), 128)]
)
@pytest.mark.parametrize("zeros", [False, True])
def test_words_of_compressed_tensors(
    bits: int, shape: tuple[int, int], size: int | None, zeros: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(bits)
    tensors, wanted = formats.compressed(rng, shape, bits, size, zeros=zeros)
    strategy = "channel" if size is None else "group"
    config = scheme(num_bits=bits, strategy=strategy, group_size=size, symmetric=not zeros)
    assert_numbers(tmp_path, tensors, config, wanted)


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_words_of_earlier_versions_have_gaps(bits: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits)
    tensors, wanted = formats.compressed(rng, (33, 512), bits, 64, zeros=True, gaps=True)
    config = scheme(num_bits=bits, group_size=64, symmetric=False)
    assert_numbers(tmp_path, tensors, config, wanted)


def test_words_that_could_be_of_either_version_are_refused(tmp_path: Path) -> None:
    tensors, _ = formats.compressed(np.random.default_rng(1), (8, 12), 3, None)
    checkpoint = opened(tmp_path, *tensors, config=scheme(num_bits=3, strategy="channel"))
    reason = "12 codes of 3 bits in 2 words may cross words or not"
    assert reason in checkpoint.unreadable["q_proj.weight_packed"]


@pytest.mark.parametrize("none", [False, True])
def test_an_index_of_minus_one_stands_for_none(none: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tensors, wanted = formats.compressed(rng, (20, 96), 4, 32, act_order=not none)
    if none:
        tensors.append(formats.stored("q_proj.weight_g_idx", np.full(96, -1, np.int32)))
    assert_numbers(tmp_path, tensors, scheme(group_size=32), wanted)


def test_one_scale_for_a_tensor(tmp_path: Path) -> None:
    tensors, _ = formats.compressed(np.random.default_rng(1), (20, 96), 4, None)
    one = np.array([0.37], np.float32)
    tensors[1] = formats.stored("q_proj.weight_scale", one)
    codes = opened(tmp_path, *tensors, config=scheme(strategy="tensor"))[WEIGHT]
    assert set(np.unique(np.asarray(codes))) == {np.float32(n) * one[0] for n in range(-8, 8)}


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("axes", [(40, 1), (40,)])
def test_bytes_of_compressed_tensors(zeros: bool, axes: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(-128, 128, (40, 77)).astype(np.int8)
    grid, offsets = formats.scales(rng, (40, 1)), rng.integers(-9, 9, (40, 1)).astype(np.int8)
    tensors = [
        formats.stored(WEIGHT, codes),
        formats.stored("q_proj.weight_scale", grid.reshape(axes)),
    ]
    if zeros:
        tensors.append(formats.stored("q_proj.weight_zero_point", offsets.reshape(axes)))
    config = scheme("int-quantized", num_bits=8, strategy="channel", symmetric=not zeros)
    wanted = (codes.astype(np.float32) - zeros * offsets) * grid.astype(np.float32)
    assert_numbers(tmp_path, tensors, config, wanted.astype(np.float32))


@pytest.mark.parametrize("shape", [(40, 96), (7, 50)])
@pytest.mark.parametrize("kind", ["nvfp4", "mxfp4", "modelopt"])
def test_pairs_of_codes(kind: str, shape: tuple[int, int], tmp_path: Path) -> None:
    tensors, wanted = formats.pairs(np.random.default_rng(1), shape, kind)
    if kind == "modelopt":
        config = settings("modelopt", quant_algo="NVFP4")
    else:
        config = scheme(f"{kind}-pack-quantized", type="float", group_size=16)
    assert_numbers(tmp_path, tensors, config, wanted)


def test_the_own_file_of_modelopt_is_read(tmp_path: Path) -> None:
    tensors, wanted = formats.pairs(np.random.default_rng(1), (40, 96), "modelopt")
    own = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(own))
    assert_numbers(tmp_path, tensors, {"model_type": "llama"}, wanted)
    (tmp_path / "hf_quant_config.json").write_text("{}")
    checkpoint = opened(tmp_path, *tensors, config={"model_type": "llama"})
    assert list(checkpoint) == []
    assert "hf_quant_config.json not used" in checkpoint.notes[0]


@pytest.mark.parametrize(("shape", "block"), [((40, 128), 64), ((24, 32), 64), ((13, 32), 128)])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_of_bitsandbytes(
    shape: tuple[int, int], block: int, nested: bool, kind: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    tensors, wanted = formats.bitsandbytes(rng, shape, block, nested=nested, kind=kind)
    assert_numbers(tmp_path, tensors, settings("bitsandbytes", load_in_4bit=True), wanted)
    checkpoint = opened(tmp_path, *tensors, config=settings("bitsandbytes"))
    assert [record(checkpoint, each.name)["status"] for each in tensors[1:]].count("scale") >= 1
    assert list(checkpoint.unreadable) == []


def test_bytes_of_bitsandbytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(-128, 128, (40, 77)).astype(np.int8)
    largest = rng.uniform(0.01, 3, 40).astype(np.float32)
    tensors = [
        formats.stored(WEIGHT, codes),
        formats.stored("q_proj.SCB", largest),
        formats.stored("q_proj.weight_format", np.zeros((), np.uint8)),
    ]
    wanted = codes.astype(np.float32) * (largest / np.float32(127))[:, None]
    assert_numbers(tmp_path, tensors, settings("bitsandbytes", load_in_8bit=True), wanted)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, "bfloat16"])
def test_words_of_mlx(bits: int, dtype: Any, tmp_path: Path) -> None:
    tensors, wanted = formats.mlx(np.random.default_rng(1), (33, 128), bits, 32, dtype)
    config = {"quantization": {"group_size": 32, "bits": bits}}
    assert_numbers(tmp_path, tensors, config, wanted)


def test_settings_of_one_module_of_mlx(tmp_path: Path) -> None:
    tensors, wanted = formats.mlx(np.random.default_rng(1), (33, 128), 8, 64)
    own = {"group_size": 64, "bits": 8}
    config: dict[str, Any] = {"quantization": {"group_size": 32, "bits": 4, "q_proj": own}}
    assert_numbers(tmp_path, tensors, config, wanted)
    config["quantization"]["q_proj"] = False
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert "the configuration gives q_proj False" in checkpoint.unreadable[WEIGHT]


def test_a_global_scale_of_zero_is_refused(tmp_path: Path) -> None:
    tensors, _ = formats.pairs(np.random.default_rng(1), (40, 96), "nvfp4")
    tensors[2] = formats.stored("q_proj.weight_global_scale", np.zeros(1, np.float32))
    checkpoint = opened(tmp_path, *tensors, config=scheme("nvfp4-pack-quantized", type="float"))
    with pytest.raises(CheckpointError, match=r"'q_proj.weight_global_scale' is 0.0, which makes"):
        checkpoint[WEIGHT]
