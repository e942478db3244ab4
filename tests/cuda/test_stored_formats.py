# SPDX-License-Identifier: BSD-3-Clause
"""Stored numbers as the simulated device decodes them: the bits of the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.gguf_files import finite_rows
from tests.support.stored_types import SMALL, TYPES

import sigmascope as ss

pytestmark = pytest.mark.unsanitized

RUN = {"threads": 1, "load_bytes": 0, "progress": None}


def decoded(
    module: ModuleType, a: ss.Matrix, *, transposed: bool = False, factor: float = 1.0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the matrix in float64 as the processor and as the device decode it."""
    options = {"transposed": transposed, "factor": factor, "panel_rows": 64, "device_bytes": 0}
    host, device = (module.dense(a.native, device=d, **options, **RUN) for d in (None, 0))
    return host, device


def decoded_single(
    module: ModuleType, a: ss.Matrix, *, factor: float = 1.0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same in float32, by a product with the identity, whose sums have one term that counts."""
    one = np.eye(a.shape[1], dtype=np.float32)
    options = {"transposed": False, "factor": factor, "panel_rows": 64, "device_bytes": 0}
    host, device = (
        module.product(a.native, "multiply", one, f64=False, device=d, **options, **RUN)
        for d in (None, 0)
    )
    return host, device


def assert_same(pair: tuple[NDArray[Any], NDArray[Any]]) -> None:
    host, device = pair
    np.testing.assert_array_equal(device, host)


@pytest.mark.parametrize("dtype", SMALL)
def test_every_code(cuda_module: ModuleType, dtype: str) -> None:
    wide = np.dtype(SMALL[dtype]).itemsize == 2
    side, kind = (256, np.uint16) if wide else (4 if dtype == "f4_e2m1" else 16, np.uint8)
    codes = np.arange(side * side).astype(kind).reshape(side, side)
    host, device = decoded(cuda_module, ss.matrix(codes, dtype=dtype))
    with np.errstate(invalid="ignore"):
        exact = codes.view(SMALL[dtype]).astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(device, exact)
    np.testing.assert_array_equal(device, host)
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(np.signbit(device[finite]), np.signbit(exact[finite]))


@grid(
    dtype=TYPES.keys(),
    order=["C", "F"],
    steps=[(1, 1), (2, 3), (-1, 1), (1, -2), (-3, -1)],
)
def test_any_strides(
    cuda_module: ModuleType, dtype: str, order: Any, steps: tuple[int, int]
) -> None:
    rng = np.random.default_rng(3)
    base = np.array(8 * rng.standard_normal((170, 150)), order=order).astype(TYPES[dtype])
    a = ss.matrix(base[:: steps[0], :: steps[1]])
    for transposed in (False, True):
        assert_same(decoded(cuda_module, a, transposed=transposed))
    assert_same(decoded_single(cuda_module, a))


@pytest.mark.parametrize("axis", [0, 1])
def test_broadcast_rows_and_columns(cuda_module: ModuleType, axis: int) -> None:
    line = np.arange(70.0)
    view = np.broadcast_to(line, (130, 70)) if axis == 0 else np.broadcast_to(line, (130, 70)).T
    host, device = decoded(cuda_module, ss.matrix(view))
    np.testing.assert_array_equal(device, view)
    np.testing.assert_array_equal(device, host)


@grid(
    dtype=TYPES.keys(),
    block=[(150, 270), (1, 270), (150, 1), (128, 128), (7, 11), (1, 1)],
)
def test_scales(
    cuda_module: ModuleType, tmp_path: Path, dtype: str, block: tuple[int, int]
) -> None:
    """Also of slices with steps and of transposes, from a file in which nothing is aligned."""
    rng = np.random.default_rng(5)
    shape = (150, 270)
    codes = (8 * rng.standard_normal(shape)).astype(TYPES[dtype])
    raw = codes.view(np.uint8)
    if dtype == "f4_e2m1":  # two to a byte
        raw = raw[:, ::2] | raw[:, 1::2] << 4
    (tmp_path / "codes").write_bytes(b"!" + raw.tobytes())
    grid = [-(-extent // size) for extent, size in zip(shape, block, strict=True)]
    scale = rng.uniform(1e-3, 3.0, grid).astype(np.float32)
    a = ss.tensor(tmp_path / "codes", 1, shape, dtype, scale=scale, scale_block=block)
    for part in (a, a.T, a[13:107, 5:], a.T[1::2, ::75][3::5], -0.5 * a[5::3, 7:200:2]):
        assert_same(decoded(cuda_module, part))
        assert_same(decoded_single(cuda_module, part))


def test_columns_of_a_matrix_that_stays_have_their_scales(
    cuda_module: ModuleType, tmp_path: Path
) -> None:
    """A Gram matrix of the transpose decodes columns, of what is on the device by rows."""
    rng = np.random.default_rng(6)
    codes = rng.standard_normal((20, 200)).astype(TYPES["f8_e4m3"])
    (tmp_path / "codes").write_bytes(codes.tobytes())
    scale = rng.uniform(0.1, 3.0, (3, 19)).astype(np.float32)
    a = ss.tensor(tmp_path / "codes", 0, codes.shape, "f8_e4m3", scale=scale, scale_block=(7, 11))
    numbers = codes.astype(np.float64) * scale.repeat(7, axis=0).repeat(11, axis=1)[:20, :200]
    expected = numbers @ numbers.T
    for device_bytes in (0, 1 << 24):
        memory = {"panel_rows": 64, "device_bytes": device_bytes}
        result = cuda_module.gram(a.native, transposed=True, device=0, **memory, **RUN)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * expected.max())


@pytest.mark.parametrize("factor", [1.0, -0.25, 3.7, 2.0**80, 2.0**-70])
@pytest.mark.skipif(ss.show_config()["isa"] == "scalar", reason="sums are fused on the device")
def test_sums_of_tiles(cuda_module: ModuleType, factor: float) -> None:
    """Overlapping tiles of several formats, coefficients of any size, and what no tile covers."""
    rng = np.random.default_rng(7)

    def random(dtype: str, rows: int, cols: int) -> ss.Matrix:
        return ss.matrix(rng.standard_normal((rows, cols)).astype(TYPES[dtype]))

    whole = random("bf16", 150, 90) - random("f32", 150, 90)
    joined = ss.vstack([random("f16", 70, 90), random("f8_e4m3", 80, 90)])
    patched = ss.block([[random("f32", 60, 40), random("bf16", 60, 50)]])
    large = 2.0**90 * random("f32", 150, 90) + 2.0**88 * random("bf16", 150, 90)
    for a in (whole, joined, patched, whole + 0.3 * joined, whole.T, large):
        assert_same(decoded(cuda_module, a, factor=factor))
        if a is not large and abs(np.log2(abs(factor))) % 1 == 0:  # else it scales the products
            assert_same(decoded_single(cuda_module, a, factor=factor))


@pytest.mark.parametrize("join", [ss.vstack, ss.hstack], ids=["vstack", "hstack"])
def test_a_file_may_follow_an_odd_number_of_bytes_of_another(
    cuda_module: ModuleType, join: Callable[[list[ss.Matrix]], ss.Matrix], tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    parts = []
    for dtype, shape in (("f8_e4m3", (7, 9)), ("f32", (7, 9)), ("bf16", (7, 9))):
        numbers = rng.standard_normal(shape).astype(TYPES[dtype])
        (tmp_path / dtype).write_bytes(numbers.tobytes())
        parts.append(ss.tensor(tmp_path / dtype, 0, shape, dtype))
    assert_same(decoded(cuda_module, join(parts)))


@pytest.mark.parametrize("steps", [(1, 1), (2, 3)])
def test_blocks_in_a_file_are_decoded_on_the_way(
    cuda_module: ModuleType, steps: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "blocks"
    path.write_bytes(b"abc" + finite_rows("q4_k", 170, 2).tobytes())
    whole = ss.tensor(path, 3, (170, 512), "q4_k")
    a = whole[:: steps[0], :: steps[1]]
    for transposed in (False, True):
        host, device = decoded(cuda_module, a, transposed=transposed)
        np.testing.assert_array_equal(device, host)
        np.testing.assert_array_equal(device, np.asarray(a.T if transposed else a))
    assert_same(decoded_single(cuda_module, a))
