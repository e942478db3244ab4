# SPDX-License-Identifier: BSD-3-Clause
"""compressed-tensors, NVFP4, MXFP4, bitsandbytes and MLX: every number as the layout defines it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
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


@pytest.mark.parametrize(("version", "gaps"), [("0.17.1", True), ("0.18.0", False)])
def test_the_version_tells_where_the_number_of_words_does_not(
    version: str, gaps: bool, tmp_path: Path
) -> None:
    tensors, wanted = formats.compressed(np.random.default_rng(1), (8, 150), 3, None, gaps=gaps)
    config = scheme(num_bits=3, strategy="channel")
    config["quantization_config"]["version"] = version
    assert_numbers(tmp_path, tensors, config, wanted)


@pytest.mark.parametrize("zeros", [False, True])
def test_stacks_of_words(zeros: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    each = [formats.compressed(rng, (24, 96), 4, 32, zeros=zeros) for _ in range(3)]
    tensors = []
    for place, first in enumerate(each[0][0]):
        data = b"".join(result[place].bytes for result, _ in each)
        tensors.append(Stored(first.name, first.dtype, (3, *first.shape), data))
    tensors[2] = formats.stored("q_proj.weight_shape", np.array([3, 24, 96], np.int64))
    config = scheme(group_size=32, symmetric=not zeros)
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert list(checkpoint) == [f"{WEIGHT}[{i}]" for i in range(3)]
    for i, (_, wanted) in enumerate(each):
        np.testing.assert_array_equal(np.asarray(checkpoint[f"{WEIGHT}[{i}]"]), wanted)


def test_one_scale_for_a_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tensors, _ = formats.compressed(rng, (40, 96), 4, None)
    grid = rng.uniform(0.1, 1, (3, 3)).astype(np.float32)
    tensors[1] = formats.stored("q_proj.weight_scale", grid)
    config = scheme(strategy="block", block_structure=[16, 32])
    values = np.asarray(opened(tmp_path, *tensors, config=config)[WEIGHT])
    wide = grid.repeat(16, axis=0)[:40].repeat(32, axis=1)
    codes = values / wide
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)
    assert set(np.unique(np.rint(codes))) == set(range(-8, 8))


def test_words_that_could_be_of_either_version_are_refused(tmp_path: Path) -> None:
    tensors, _ = formats.compressed(np.random.default_rng(1), (8, 12), 3, None)
    checkpoint = opened(tmp_path, *tensors, config=scheme(num_bits=3, strategy="channel"))
    reason = "12 codes of 3 bits in 2 words may or may not cross words"
    assert reason in checkpoint.unreadable["q_proj.weight_packed"]


@pytest.mark.parametrize("zeros", [False, True])
def test_groups_of_modules_that_differ_in_their_zeros_are_not_guessed(
    zeros: bool, tmp_path: Path
) -> None:
    tensors, _ = formats.compressed(np.random.default_rng(1), (40, 96), 4, 32, zeros=zeros)
    config = scheme(group_size=32, symmetric=not zeros)
    groups = config["quantization_config"]["config_groups"]
    other = {**groups["group_0"]["weights"], "symmetric": zeros}
    groups["group_1"] = {"targets": ["Linear"], "weights": other}
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert list(checkpoint) == []
    reason = "2 of 2 config_groups fit the shape of q_proj"
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


@pytest.mark.parametrize(
    ("shape", "block"),
    [
        *[((40, 128), 64), ((24, 32), 64), ((13, 32), 128), ((41, 96), 64), ((7, 66), 64)],
        *[((37, 65), 64), ((12, 63), 64), ((9, 1), 64), ((1, 7), 64), ((301, 129), 128)],
    ],
)
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
    tensors = [formats.stored(WEIGHT, codes), formats.stored("q_proj.SCB", largest)]
    config = settings("bitsandbytes", load_in_8bit=True)
    rows, turned = (
        formats.stored("q_proj.weight_format", np.array(kind, np.uint8)) for kind in (0, 1)
    )
    wanted = codes.astype(np.float32) * largest[:, None] * np.float32(7.874015718698502e-3)
    assert_numbers(tmp_path, [*tensors, rows], config, wanted)
    checkpoint = opened(tmp_path, *tensors, turned, config=config)
    assert list(checkpoint) == []
    assert "the order of the codes is not decoded" in checkpoint.unreadable[WEIGHT]


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


def test_stacked_experts_of_mlx(tmp_path: Path) -> None:
    each = [formats.mlx(np.random.default_rng(seed), (33, 128), 4, 32) for seed in range(3)]
    parts = zip(*(tensors for tensors, _ in each), strict=True)
    stacked = [
        Stored(same[0].name, same[0].dtype, (3, *same[0].shape), b"".join(t.bytes for t in same))
        for same in parts
    ]
    config = {"quantization": {"group_size": 32, "bits": 4}}
    checkpoint = opened(tmp_path, *stacked, config=config)
    assert list(checkpoint) == [f"{WEIGHT}[{index}]" for index in range(3)]
    for index, (_, wanted) in enumerate(each):
        np.testing.assert_array_equal(np.asarray(checkpoint[f"{WEIGHT}[{index}]"]), wanted)
    assert str(record(checkpoint, WEIGHT)["view"]).startswith("stack of 3 matrices 33 x 128; MLX")


@pytest.mark.parametrize(("strategy", "shape"), [("channel", (40, 1)), ("block", (2, 6))])
def test_fp8_of_compressed_tensors(strategy: str, shape: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((40, 96)).astype(ml_dtypes.float8_e4m3fn)
    grid = formats.scales(rng, shape, np.float32)
    tensors = [
        formats.stored(WEIGHT, codes),
        formats.stored("q_proj.weight_scale", grid),
        formats.stored("q_proj.input_scale", np.ones(1, np.float32)),
    ]
    block = [20, 16] if strategy == "block" else None
    config = scheme("float-quantized", type="float", strategy=strategy, block_structure=block)
    spread = np.kron(grid, np.ones((40 // shape[0], 96 // shape[1]), np.float32))
    assert_numbers(tmp_path, tensors, config, codes.astype(np.float32) * spread)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("compressed", {"group_size": 16}, "q_proj.weight_scale has 3 groups, not 96 inputs in groups"),
    ("compressed", {"group_size": None}, "gives group_size None"),
    ("compressed", {"num_bits": 8}, "0 of 1 config_groups fit the shape of q_proj"),
    ("compressed", {"num_bits": "4"}, "0 of 1 config_groups fit"),
    ("compressed", {"type": "float"}, "gives type 'float', not int"),
    ("compressed", {"strategy": "token"}, "gives strategy 'token'"),
    ("compressed", {"strategy": "block"}, "gives block_structure None"),
    ("compressed", {"strategy": "tensor"}, "has shape [40, 3], where [] or [1] or [1, 1] would"),
    ("compressed", {"strategy": "channel"}, "has shape [40, 3], where [40, 1] or [40] would fit"),
    ("compressed", {"symmetric": False}, "there is no q_proj.weight_zero_point"),
    ("compressed", {"format": "marlin-24"}, "gives format 'marlin-24', not pack-quantized"),
    ("compressed", {"shape": [39, 96]}, "q_proj.weight_shape is [39, 96], where"),
    ("compressed", {"shape": [40, 0]}, "q_proj.weight_shape is [40, 0], where"),
    ("compressed", {"shape": [40, 97]}, "0 of 1 config_groups fit"),
    ("compressed", {"lost": "weight_shape"}, "there is no q_proj.weight_shape"),
    ("compressed", {"lost": "weight_scale"}, "there is no q_proj.weight_scale"),
    ("nvfp4", {"format": "pack-quantized"}, "gives format 'pack-quantized', not that of bytes"),
    ("nvfp4", {"lost": "weight_global_scale"}, "there is no q_proj.weight_global_scale"),
    ("nvfp4", {"lost": "weight_scale"}, "there is no q_proj.weight_scale"),
    ("nvfp4", {"format": "mxfp4-pack-quantized"}, "is F8_E4M3 [40, 6], not U8 or F8_E8M0 with 2"),
]


@pytest.mark.parametrize(("layout", "changes", "reason"), REFUSED)
def test_a_weight_of_another_layout_is_named_with_the_reason(
    layout: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    if layout == "compressed":
        tensors, _ = formats.compressed(rng, (40, 96), 4, 32)
    else:
        tensors, _ = formats.pairs(rng, (40, 96), layout)
    kind = {"compressed": "pack-quantized", "nvfp4": "nvfp4-pack-quantized"}[layout]
    others = {key: changes[key] for key in changes if key not in ("format", "shape", "lost")}
    config = scheme(changes.get("format", kind), **{"group_size": 32, **others})
    if "shape" in changes:
        shape = np.array(changes["shape"], np.int64)
        tensors[2] = formats.stored("q_proj.weight_shape", shape)
    tensors = [each for each in tensors if each.name != f"q_proj.{changes.get('lost')}"]
    checkpoint = opened(tmp_path, *tensors, config=config)
    assert list(checkpoint) == []
    assert reason in checkpoint.unreadable["q_proj.weight_packed"]


def changed_state(**changes: Any) -> list[Stored]:
    """Tensors of bitsandbytes with other members of their state."""
    tensors, _ = formats.bitsandbytes(np.random.default_rng(1), (40, 128), 64, nested=True)
    state = json.loads(tensors[-1].bytes) | changes
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    return [*tensors[:-1], formats.stored(tensors[-1].name, text)]


STATES: list[tuple[dict[str, Any], str]] = [
    ({"shape": [40, 127]}, "has 2560 bytes, where 40 x 127 codes have 2540"),
    ({"shape": [40]}, "the state gives shape [40], which is not a matrix"),
    ({"shape": [-40, -128]}, "the state gives shape [-40, -128], which is not a matrix"),
    ({"shape": [1024, 5], "blocksize": 32}, "absmax has shape [80], where [160] would fit"),
    ({"shape": [80, 64], "blocksize": 96}, "absmax has shape [80], where [54] would fit"),
    ({"blocksize": 0}, "the state gives blocksize 0"),
    ({"blocksize": 128}, "absmax has shape [80], where [40] would fit"),
    ({"nested_blocksize": 16}, "nested_absmax has shape [1], where [5] would fit"),
    ({"nested_offset": None}, "the state gives nested_offset None"),
]


@pytest.mark.parametrize(("changes", "reason"), STATES)
def test_a_state_of_bitsandbytes_that_disagrees_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    checkpoint = opened(tmp_path, *changed_state(**changes), config=settings("bitsandbytes"))
    assert reason in checkpoint.unreadable[WEIGHT]


@pytest.mark.parametrize("text", ["{", "[]", '{"shape": [40, 128], "shape": [128, 40]}'])
def test_a_state_of_bitsandbytes_must_be_an_object(text: str, tmp_path: Path) -> None:
    tensors = changed_state()
    state = np.frombuffer(text.encode(), np.uint8)
    tensors[-1] = formats.stored(tensors[-1].name, state)
    checkpoint = opened(tmp_path, *tensors, config=settings("bitsandbytes"))
    assert "bitsandbytes__nf4" in checkpoint.unreadable[WEIGHT]
