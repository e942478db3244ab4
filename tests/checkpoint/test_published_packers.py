# SPDX-License-Identifier: BSD-3-Clause
"""Weights that published packages quantise: their own dequantisation gives the same numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Stored, encoded, opened
from tests.support.group_formats import stored

import sigmascope as ss

torch: Any = pytest.importorskip("torch")

WEIGHT = "q_proj.weight"


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    """Run functions that packages compile for each shape as they are written."""
    stance = getattr(torch.compiler, "set_stance", nullcontext)  # since torch 2.6
    with stance("force_eager"):
        yield


def package(name: str) -> Any:
    """Import a package whose import may warn of what it lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"for {name}: {error}")


def tensors_of(state: dict[str, Any], stem: str = "q_proj.") -> list[Stored]:
    """Return tensors of torch as they are stored."""
    return [of_torch(stem + name, tensor) for name, tensor in state.items()]


def of_torch(name: str, tensor: Any) -> Stored:
    tensor = tensor.detach().contiguous()
    kinds = {
        torch.bfloat16: "BF16",
        torch.float8_e4m3fn: "F8_E4M3",
        torch.float8_e5m2: "F8_E5M2",
        torch.float8_e8m0fnu: "F8_E8M0",
    }
    if tensor.dtype not in kinds:
        return stored(name, tensor.numpy())
    bytes_ = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return Stored(name, kinds[tensor.dtype], tuple(tensor.shape), bytes_)


def decoded(folder: Path, tensors: list[Stored], config: dict[str, Any]) -> Any:
    checkpoint = opened(folder, *tensors, config={"quantization_config": config})
    assert list(checkpoint) == [WEIGHT], checkpoint.unreadable
    return np.asarray(checkpoint[WEIGHT])


# ----------------------------------------------------------------------------- compressed-tensors


def compressed(kind: str, weights: dict[str, Any], state: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return a compressed state, its numbers, and the settings that go into config.json."""
    version = package("compressed_tensors").__version__
    compressors = package("compressed_tensors.compressors")
    quantisation = package("compressed_tensors.quantization")
    scheme = quantisation.QuantizationScheme(targets=["Linear"], weights=weights)
    compressor = compressors.BaseCompressor.get_value_from_registry(kind)
    packed = compressor.compress(state, scheme)
    numbers = compressor.decompress(packed, scheme)["weight"]
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    settings = {"quant_method": "compressed-tensors", "format": kind, "config_groups": groups}
    settings["version"] = version
    return packed, numbers.float().numpy(), settings


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("strategy", ["group", "channel"])
def test_integers_of_compressed_tensors(
    bits: int, symmetric: bool, strategy: str, tmp_path: Path
) -> None:
    rng = torch.Generator().manual_seed(bits)
    shape, size = ((48, 160), 32) if strategy == "group" else ((48, 150), 150)
    weight = torch.randn(shape, generator=rng)
    scale = torch.rand((48, shape[1] // size), generator=rng) / 2 ** (bits - 2)
    least = 1 << bits - 1
    zeros = torch.randint(-least, least, scale.shape, generator=rng, dtype=torch.int8)
    weights: dict[str, Any] = {"num_bits": bits, "symmetric": symmetric, "strategy": strategy}
    if strategy == "group":
        weights["group_size"] = size
    state = {"weight": weight, "weight_scale": scale}
    state |= {} if symmetric else {"weight_zero_point": zeros}
    packed, numbers, settings = compressed("pack-quantized", weights, state)
    weights |= {"type": "int"}
    np.testing.assert_array_equal(decoded(tmp_path, tensors_of(packed), settings), numbers)


@pytest.mark.parametrize("symmetric", [True, False])
def test_bytes_of_compressed_tensors(symmetric: bool, tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(1)
    state = {"weight": torch.randn((40, 70), generator=rng)}
    state["weight_scale"] = torch.rand((40, 1), generator=rng) / 50
    if not symmetric:
        zeros = torch.randint(-90, 90, (40, 1), generator=rng, dtype=torch.int8)
        state["weight_zero_point"] = zeros
    weights = {"num_bits": 8, "symmetric": symmetric, "strategy": "channel", "type": "int"}
    packed, numbers, settings = compressed("int-quantized", weights, state)
    np.testing.assert_array_equal(decoded(tmp_path, tensors_of(packed), settings), numbers)


@pytest.mark.parametrize(
    ("kind", "size"),
    [("nvfp4-pack-quantized", 16), ("mxfp4-pack-quantized", 32), ("mxfp6-pack-quantized", 32)],
)
def test_floats_of_compressed_tensors(kind: str, size: int, tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(size)
    state = {"weight": torch.randn((48, 128), generator=rng)}
    bits = 6 if "6" in kind else 4
    weights: dict[str, Any] = {"num_bits": bits, "type": "float", "group_size": size}
    if size == 16:
        weights["strategy"] = "tensor_group"
        state["weight_global_scale"] = torch.tensor([1731.0])
        scale = torch.rand((48, 8), generator=rng) * 400 + 1
        state["weight_scale"] = scale.to(torch.float8_e4m3fn).float()
    else:
        weights["strategy"] = "group"
        exponents = torch.randint(-6, 3, (48, 4), generator=rng)
        state["weight_scale"] = torch.exp2(exponents.float())
    packed, numbers, settings = compressed(kind, weights, state)
    result = decoded(tmp_path, tensors_of(packed), settings)
    # Its numbers are of bfloat16, also the scales: ours are those of the codes, in float32.
    rounded = torch.from_numpy(result).to(torch.bfloat16).float().numpy()
    close = np.abs(rounded - numbers) <= 2.0**-7 * np.abs(numbers)
    assert close.all()
    assert np.mean(result != 0) > 0.5


# ----------------------------------------------------------------------------------- bitsandbytes


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("block", [64, 128, 512])
@pytest.mark.parametrize("shape", [(96, 256), (37, 65), (36, 51), (33, 100)])
def test_four_bits_of_bitsandbytes(
    kind: str, nested: bool, block: int, shape: tuple[int, int], tmp_path: Path
) -> None:
    functional = package("bitsandbytes.functional")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(block))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes, state = functional.quantize_4bit(
            weight, blocksize=block, quant_type=kind, compress_statistics=nested
        )
        numbers = functional.dequantize_4bit(codes, state).numpy()
        scales = state.absmax
        if nested:
            scales = functional.dequantize_blockwise(scales, state.state2) + state.offset
    pairs = codes.flatten().long()
    places = torch.stack([pairs >> 4, pairs & 15], 1).flatten()[: weight.numel()]
    each = scales.float().repeat_interleave(block)[: weight.numel()]
    wanted = (state.code[places] * each).reshape(shape).numpy()
    if block <= shape[1]:  # its kernel for AVX-512 takes wrong scales for longer ones (0.50.2)
        np.testing.assert_array_equal(numbers, wanted)
    named = {"weight": codes} | {f"weight.{n}": t for n, t in state.as_dict(packed=True).items()}
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}
    np.testing.assert_array_equal(decoded(tmp_path, tensors_of(named), config), wanted)


def test_int8_of_bitsandbytes(tmp_path: Path) -> None:
    functional = package("bitsandbytes.functional")
    weight = torch.randn((96, 200), generator=torch.Generator().manual_seed(1)).half()
    codes, scales, _ = functional.int8_vectorwise_quant(weight)
    numbers = functional.int8_vectorwise_dequant(codes, scales).numpy()
    named = {"weight": codes, "SCB": scales}
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}
    np.testing.assert_array_equal(decoded(tmp_path, tensors_of(named), config), numbers)


# -------------------------------------------------------------------------------------------- MLX


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_groups_of_mlx(bits: int, size: int, tmp_path: Path) -> None:
    mlx = package("mlx.core")
    weight = mlx.random.normal((48, 256), key=mlx.random.key(bits))
    how = {"group_size": size, "bits": bits}
    parts = mlx.quantize(weight, **how)
    numbers = np.array(mlx.dequantize(*parts, **how))
    named = zip(("weight", "scales", "biases"), parts, strict=True)
    tensors = [stored(f"q_proj.{name}", np.array(part)) for name, part in named]
    checkpoint = opened(tmp_path, *tensors, config={"quantization": how})
    values = np.asarray(checkpoint[WEIGHT])
    np.testing.assert_allclose(values, numbers, rtol=0, atol=2.0**-23 * np.abs(numbers).max())


def test_mxfp4_of_mlx(tmp_path: Path) -> None:
    mlx = package("mlx.core")
    how = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
    parts = mlx.quantize(mlx.random.normal((48, 256), key=mlx.random.key(1)), **how)
    numbers = np.array(mlx.dequantize(*parts, **how).astype(mlx.float32))
    named = zip(("weight", "scales"), parts, strict=True)
    tensors = [stored(f"q_proj.{name}", np.array(part)) for name, part in named]
    checkpoint = opened(tmp_path, *tensors, config={"quantization": how})
    np.testing.assert_array_equal(np.asarray(checkpoint[WEIGHT]), numbers)


# ---------------------------------------------------------------------------------------- torchao


def of_torchao(folder: Path, config: Any, dtype: Any) -> tuple[Any, Any]:
    """Quantise a weight, save it, and return its numbers as they are read, and those of torchao."""
    ao = package("torchao.quantization")
    support = package("torchao.prototype.safetensors.safetensors_support")
    model = torch.nn.Sequential(torch.nn.Linear(64, 24, bias=False, dtype=dtype))
    ao.quantize_(model, config)
    weight = model.state_dict()["0.weight"]
    tensors, metadata = support.flatten_tensor_state_dict({WEIGHT: weight})
    file = encoded([of_torch(name, tensor) for name, tensor in tensors.items()], metadata)
    (folder / "model.safetensors").write_bytes(file)
    settings = {"quant_method": "torchao", "quant_type": {}}
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))
    checkpoint = ss.open_checkpoint(folder)
    assert list(checkpoint) == [WEIGHT], checkpoint.unreadable
    return np.asarray(checkpoint[WEIGHT]), weight.dequantize().float().numpy()


@pytest.mark.parametrize("kind", ["row", "tensor", "group", "intx", "intx zero", "float8"])
def test_weights_of_torchao(kind: str, tmp_path: Path) -> None:
    ao = package("torchao.quantization")
    group, unpacked = ao.PerGroup(16), ao.IntxWeightOnlyConfig
    configs = {
        "row": lambda: ao.Int8WeightOnlyConfig(granularity=ao.PerRow()),
        "tensor": lambda: ao.Int8WeightOnlyConfig(granularity=ao.PerTensor()),
        "group": lambda: ao.Int8WeightOnlyConfig(granularity=group),
        "intx": lambda: unpacked(weight_dtype=torch.int4, granularity=group),
        "intx zero": lambda: unpacked(
            weight_dtype=torch.int3, granularity=group, mapping_type=ao.MappingType.ASYMMETRIC
        ),
        "float8": lambda: ao.Float8WeightOnlyConfig(),
    }
    result, wanted = of_torchao(tmp_path, configs[kind](), torch.float32)
    assert result.tobytes() == wanted.tobytes()


MX_ELEMENTS = ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2", "fp6_e2m3", "fp6_e3m2"]


def saved_by_torchao(folder: Path, name: str, weight: Any) -> ss.Checkpoint:
    """Write one weight as torchao flattens it, and open the file."""
    support = package("torchao.prototype.safetensors.safetensors_support")
    tensors, metadata = support.flatten_tensor_state_dict({name: weight})
    file = encoded([of_torch(each, tensor) for each, tensor in tensors.items()], metadata)
    (folder / "model.safetensors").write_bytes(file)
    settings = {"quant_method": "torchao", "quant_type": {}}
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))
    return ss.open_checkpoint(folder)


def assert_numbers_of(folder: Path, weight: Any) -> None:
    """Check one matrix, or those of a stack of experts, to the bit."""
    name = "layers.0.mlp.experts.up_proj"
    result = saved_by_torchao(folder, name, weight)
    wanted = weight.dequantize(torch.float32).numpy()
    stack = wanted.ndim == 3
    names = [f"{name}[{index}]" for index in range(len(wanted))] if stack else [name]
    assert list(result) == names, result.unreadable
    for each, numbers in zip(names, wanted if stack else [wanted], strict=True):
        assert np.asarray(result[each]).tobytes() == numbers.tobytes()


@pytest.mark.parametrize("shape", [(20, 64), (3, 128, 96)], ids=str)
@pytest.mark.parametrize("swizzled", [False, True])
@pytest.mark.parametrize("kind", MX_ELEMENTS)
def test_microscaling_weights_of_torchao(
    kind: str, swizzled: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    mx = package("torchao.prototype.mx_formats.mx_tensor").MXTensor
    element = kind if kind.startswith("fp6") else getattr(torch, kind)
    weight = mx.to_mx(torch.randn(shape), element, 32, is_swizzled_scales=swizzled)
    assert_numbers_of(tmp_path, weight)


@pytest.mark.parametrize("shape", [(20, 64), (3, 128, 96)], ids=str)
@pytest.mark.parametrize("swizzled", [False, True])
@pytest.mark.parametrize("factor", ["none", "one", "each"])
def test_nvfp4_of_torchao(
    factor: str, swizzled: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    nvfp4 = package("torchao.prototype.mx_formats.nvfp4_tensor").NVFP4Tensor
    scale = None if factor == "none" else torch.tensor(0.003)
    if factor == "each" and len(shape) == 3:
        scale = torch.tensor([0.003, 0.002, 0.005]).reshape(3, 1, 1)
    how: dict[str, Any] = {"per_tensor_scale": scale, "is_swizzled_scales": swizzled}
    assert_numbers_of(tmp_path, nvfp4.to_nvfp4(torch.randn(shape), **how))


@pytest.mark.parametrize("kind", ["Int8Tensor", "Float8Tensor"])
@pytest.mark.parametrize("granularity", ["PerRow", "PerTensor"])
def test_stacks_of_torchao(kind: str, granularity: str, tmp_path: Path) -> None:
    ao = package("torchao.quantization")
    made = getattr(ao, kind).from_hp
    weight = made(torch.randn(3, 24, 64), granularity=getattr(ao, granularity)())
    assert_numbers_of(tmp_path, weight)
