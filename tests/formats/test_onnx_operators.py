# SPDX-License-Identifier: BSD-3-Clause
"""Operators and producers of ONNX models, which tell of kernels, and of weights of 8 bits."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import record
from tests.support.onnx_files import CODES, RAW, content, number, of_array, tensor

import sigmascope as ss

RNG = np.random.default_rng(0)


def node(operator: str, *inputs: str) -> bytes:
    names = b"".join(content(1, each) for each in inputs)
    return content(1, names + content(2, "y") + content(4, operator))


def written(
    path: Path, *tensors: bytes, nodes: bytes = b"", producer: str = "onnx.quantize"
) -> Any:
    graph = nodes + b"".join(content(5, each) for each in tensors)
    path.write_bytes(number(1, 10) + content(2, producer) + content(7, graph))
    return ss.open_checkpoint(path)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_kernels_of_one_dimension_are_not_stacks(operator: str, tmp_path: Path) -> None:
    """Their names need not say so, and a weight before or after its node is the same."""
    w = RNG.standard_normal((6, 4, 3)).astype(np.float32)
    tensors = [of_array("encoder.0.weight", "F32", w), of_array("other", "F32", w)]
    nodes = node(operator, "x", "encoder.0.weight", "other") + node("Mul", "x", "other")
    result = written(tmp_path / "m.onnx", *tensors, nodes=nodes)
    assert record(result, "encoder.0.weight")["status"] == "kernel"
    np.testing.assert_array_equal(np.asarray(result["encoder.0.weight"]), w.reshape(6, 12))
    assert record(result, "other")["status"] == "stack"


def quantised(
    shape: tuple[int, ...], axis: int | None, dtype: str = "I8"
) -> tuple[list[bytes], NDArray[np.float32]]:
    """Return the tensors of a weight, and its numbers by DequantizeLinear."""
    least, kind = (-128, np.int8) if dtype == "I8" else (0, np.uint8)
    codes = RNG.integers(least, least + 256, shape).astype(kind)
    sizes = [n if k == axis else 1 for k, n in enumerate(shape)]
    scales = RNG.uniform(0.01, 0.1, sizes).astype(np.float32)
    zeros = RNG.integers(least, least + 256, sizes).astype(kind)
    flat = () if axis is None else (shape[axis],)
    tensors = [
        of_array("fc.weight_quantized", dtype, codes),
        of_array("fc.weight_scale", "F32", scales.reshape(flat)),
        of_array("fc.weight_zero_point", dtype, zeros.reshape(flat)),
    ]
    return tensors, (codes.astype(np.float32) - zeros.astype(np.float32)) * scales


@pytest.mark.parametrize("dtype", ["I8", "U8"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_weights_of_8_bits(axis: int | None, dtype: str, tmp_path: Path) -> None:
    tensors, wanted = quantised((12, 20), axis, dtype)
    result = written(tmp_path / "m.onnx", *tensors)
    name = "fc.weight"
    assert list(result) == [name], result.unreadable
    assert np.asarray(result[name]).tobytes() == wanted.tobytes()
    part = pickle.loads(pickle.dumps(result[name][3:, ::5]))
    np.testing.assert_array_equal(np.asarray(part), wanted[3:, ::5])
    assert result.outline(name).shape == (12, 20)
    statuses = {each["name"]: each["status"] for each in result.info()}
    assert statuses[f"{name}_scale"] == "scale"
    assert statuses[f"{name}_zero_point"] == "part"


def test_kernels_of_8_bits(tmp_path: Path) -> None:
    tensors, wanted = quantised((6, 4, 3, 3), 0)
    result = written(tmp_path / "m.onnx", *tensors)
    np.testing.assert_array_equal(np.asarray(result["fc.weight"]), wanted.reshape(6, 36))
    view = record(result, "fc.weight_quantized")["view"]
    assert view is not None
    assert view.startswith("kernel 6 x 4 x 3 x 3 read as 6 x 36; onnxruntime's bytes")


def test_a_scan_compares_with_the_original(tmp_path: Path) -> None:
    tensors, wanted = quantised((12, 20), 1)
    written(tmp_path / "m.onnx", *tensors)
    compared = ss.compare({"fc.weight": wanted}, tmp_path / "m.onnx", effort="exact")
    (row,) = (each for each in compared.rows if each["status"] == "analysed")
    assert row["relative_change"] == 0


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    codes = "fc.weight_quantized"
    tensors, _ = quantised((12, 12), 0)
    result = written(tmp_path / "square.onnx", *tensors)
    assert "has 12 numbers, which are those of rows or of columns of" in result.unreadable[codes]
    tensors, _ = quantised((12, 20), 0)
    short = of_array("fc.weight_scale", "F32", np.ones(7, np.float32))
    result = written(tmp_path / "short.onnx", tensors[0], short, tensors[2])
    assert "fc.weight_zero_point has shape [12], where [7] would fit" in result.unreadable[codes]
    result = written(tmp_path / "none.onnx", *tensors[:2])
    assert "there is no fc.weight_zero_point" in result.unreadable[codes]
    unsigned = tensor("fc.weight_zero_point", CODES["U8"], (12,), content(RAW, bytes(12)))
    result = written(tmp_path / "sign.onnx", *tensors[:2], unsigned)
    assert "is U8 [12], not I8 with 0 or 1 axes" in result.unreadable[codes]


def test_other_producers_are_not_guessed(tmp_path: Path) -> None:
    tensors, _ = quantised((12, 20), 0)
    result = written(tmp_path / "m.onnx", *tensors, producer="by hand")
    assert "fc.weight" not in result
    assert record(result, "fc.weight_quantized")["status"] != "matrix"


def test_an_operator_with_the_name_of_arithmetic_is_not_arithmetic(tmp_path: Path) -> None:
    codes = RNG.integers(-128, 128, (6, 4)).astype(np.int8)
    for operator in ("Cast and Mul", "onnx.arithmetic"):
        nodes = node(operator, "x", "w")
        result = written(tmp_path / "m.onnx", of_array("w", "I8", codes), nodes=nodes)
        assert record(result, "w")["status"] == "integer"
