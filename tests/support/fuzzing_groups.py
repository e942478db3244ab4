# SPDX-License-Identifier: BSD-3-Clause
"""Strange weights of codes in groups: valid ones, with other shapes, dtypes, parts or bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from tests.support import group_formats as formats
from tests.support.checkpoints import BITS, Stored

Rng = np.random.Generator
Made = tuple[list[Stored], dict[str, Any]]
"""Tensors of a weight, and the config.json of its model."""


def _settings(method: str, **others: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": method, **others}}


def _scheme(kind: str, **weights: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return _settings("compressed-tensors", format=kind, config_groups=groups)


def _gptq(rng: Rng) -> Made:
    bits = int(rng.choice([2, 3, 4, 8]))
    tensors, _ = formats.gptq(rng, (16, 64), bits, 32, act_order=bool(rng.integers(2)))
    return tensors, _settings("gptq", bits=bits, group_size=32, checkpoint_format="gptq")


def _awq(rng: Rng) -> Made:
    tensors, _ = formats.awq(rng, (16, 64), 32)
    return tensors, _settings("awq", bits=4, group_size=32, version="gemm")


def _words(rng: Rng) -> Made:
    bits, zeros = int(rng.integers(1, 9)), bool(rng.integers(2))
    tensors, _ = formats.compressed(rng, (16, 96), bits, 32, zeros=zeros, act_order=not zeros)
    weights = {"num_bits": bits, "type": "int", "strategy": "group", "group_size": 32}
    return tensors, _scheme("pack-quantized", symmetric=not zeros, **weights)


def _pairs(rng: Rng) -> Made:
    kind = str(rng.choice(["nvfp4", "mxfp4", "modelopt"]))
    tensors, _ = formats.pairs(rng, (16, 64), kind)
    if kind == "modelopt":
        return tensors, _settings("modelopt", quant_algo="NVFP4")
    return tensors, _scheme(f"{kind}-pack-quantized", type="float", num_bits=4)


def _four_bits(rng: Rng) -> Made:
    shape = (15, int(rng.choice([63, 64])))
    tensors, _ = formats.bitsandbytes(rng, shape, 64, nested=bool(rng.integers(2)))
    return tensors, _settings("bitsandbytes", load_in_4bit=True)


def _mlx(rng: Rng) -> Made:
    bits = int(rng.choice([2, 3, 4, 5, 6, 8]))
    tensors, _ = formats.mlx(rng, (16, 64), bits, 32)
    return tensors, {"quantization": {"group_size": 32, "bits": bits, "mode": "affine"}}


_MAKERS: tuple[Callable[[Rng], Made], ...] = (_gptq, _awq, _words, _pairs, _four_bits, _mlx)


def strange_weight(rng: Rng) -> Made:
    """Return a weight of any layout, of which up to two tensors are changed."""
    tensors, config = _MAKERS[int(rng.integers(len(_MAKERS)))](rng)
    for _ in range(int(rng.integers(3))):
        at = int(rng.integers(len(tensors)))
        tensors[at : at + 1] = _changed(rng, tensors[at])
    return tensors, config


def _changed(rng: Rng, tensor: Stored) -> list[Stored]:
    """Return a tensor with other bytes, another shape or dtype, or none."""
    how = int(rng.integers(5))
    if how == 0:
        return []
    if how == 1 and tensor.nbytes:
        data = bytearray(tensor.bytes)
        for _ in range(int(rng.integers(1, 9))):
            data[int(rng.integers(len(data)))] = int(rng.choice([0, 1, 127, 128, 255]))
        return [replace(tensor, data=bytes(data))]
    if how == 2:
        dtype = str(rng.choice(list(BITS)))
        return [replace(tensor, dtype=dtype, data=None)]
    shape = list(tensor.shape) or [1]
    axis = int(rng.integers(len(shape)))
    if how == 3:
        shape[axis] = max(shape[axis] + int(rng.integers(-2, 3)), 0)
    else:
        shape.insert(axis, int(rng.integers(1, 3)))
    changed = replace(tensor, shape=tuple(shape), data=None)
    size = prod(shape) * BITS[tensor.dtype] // 8
    return [replace(changed, data=np.resize(np.frombuffer(tensor.bytes, np.uint8), size).tobytes())]
