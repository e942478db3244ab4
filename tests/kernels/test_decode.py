# SPDX-License-Identifier: BSD-3-Clause
"""Decoding: every code of every format, scales, any strides; ml_dtypes is the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.stored_types import SMALL, TYPES

import sigmascope as ss


def every_code(dtype: str) -> NDArray[Any]:
    """All 65 536, 256 or 16 codes of a dtype, as a square."""
    wide = np.dtype(SMALL[dtype]).itemsize == 2
    side, kind = (256, np.uint16) if wide else (4 if dtype == "f4_e2m1" else 16, np.uint8)
    return np.arange(side * side).astype(kind).reshape(side, side)


def assert_same_numbers(got: NDArray[Any], exact: NDArray[Any]) -> None:
    """Equal to the bit, zeros' signs too, where a number is meant; NaN where none is."""
    assert got.dtype == exact.dtype
    assert got.shape == exact.shape
    nan = np.isnan(exact)
    np.testing.assert_array_equal(np.isnan(got), nan)
    assert got[~nan].tobytes() == exact[~nan].tobytes()


# -------------------------------------------------------------------------------- every code


@pytest.mark.parametrize("wanted", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", SMALL)
def test_every_code(dtype: str, wanted: type) -> None:
    codes = every_code(dtype)
    numbers = codes.view(SMALL[dtype])
    with np.errstate(invalid="ignore"):  # signalling NaN
        exact: NDArray[Any] = numbers.astype(np.float32).astype(wanted)
    nans = {"bf16": 254, "f16": 2046, "f8_e4m3": 2, "f8_e5m2": 6, "f4_e2m1": 0}
    assert np.isnan(exact).sum() == nans[dtype]
    for source in (ss.matrix(codes, dtype=dtype), ss.matrix(numbers)):
        assert source.storage == dtype
        for oriented, truth in ((source, exact), (source.T, exact.T)):
            assert_same_numbers(np.asarray(oriented, dtype=wanted), np.ascontiguousarray(truth))


@pytest.mark.parametrize("dtype", ["f16", "f8_e4m3", "f8_e5m2", "f4_e2m1"])
def test_every_code_where_the_process_flushes_subnormals_to_zero(dtype: str) -> None:
    """Any library built with -ffast-math may have set this; f16 weights are often subnormal."""
    torch = pytest.importorskip("torch")
    codes = every_code(dtype)
    with np.errstate(invalid="ignore"):
        exact = codes.view(SMALL[dtype]).astype(np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        decoded = np.asarray(ss.matrix(codes, dtype=dtype))
    finally:
        torch.set_flush_denormal(False)
    assert_same_numbers(decoded, exact)


@pytest.mark.parametrize(
    ("dtype", "code", "value"),
    [
        ("bf16", 0x3F80, 1.0),
        ("bf16", 0x0001, 2.0**-133),
        ("bf16", 0x7F7F, 255 * 2.0**120),
        ("bf16", 0xFF80, -np.inf),
        ("f16", 0x3C00, 1.0),
        ("f16", 0x0001, 2.0**-24),
        ("f16", 0x7BFF, 65504.0),
        ("f16", 0x7C00, np.inf),
        ("f8_e4m3", 0x01, 2.0**-9),
        ("f8_e4m3", 0x7E, 448.0),
        ("f8_e4m3", 0xF8, -256.0),
        ("f8_e5m2", 0x01, 2.0**-16),
        ("f8_e5m2", 0x7B, 57344.0),
        ("f8_e5m2", 0xFC, -np.inf),
        ("f4_e2m1", 0x1, 0.5),
        ("f4_e2m1", 0x2, 1.0),
        ("f4_e2m1", 0x7, 6.0),
        ("f4_e2m1", 0xB, -1.5),
    ],
)
def test_codes_worked_out_by_hand(dtype: str, code: int, value: float) -> None:
    """Not by ml_dtypes: from the definitions of the formats."""
    kind = np.uint16 if code > 0xFF or dtype in ("bf16", "f16") else np.uint8
    assert np.asarray(ss.matrix(np.array([[code]], kind), dtype=dtype))[0, 0] == value


def test_float32_and_float64_come_back_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    doubles = rng.integers(0, 2**64, (300, 70), dtype=np.uint64).view(np.float64)
    singles = rng.integers(0, 2**32, (300, 70), dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        assert_same_numbers(np.asarray(ss.matrix(doubles)), doubles)
        assert_same_numbers(np.asarray(ss.matrix(singles)), singles)
        assert_same_numbers(
            np.asarray(ss.matrix(singles), dtype=np.float64), singles.astype(np.float64)
        )
        assert_same_numbers(
            np.asarray(ss.matrix(doubles), dtype=np.float32), doubles.astype(np.float32)
        )


def test_precision_of_the_decoded_array() -> None:
    half = np.ones((2, 3), np.float16)
    assert np.asarray(ss.matrix(half)).dtype == np.float32
    assert np.asarray(ss.matrix(half.astype(np.float64))).dtype == np.float64
    assert np.asarray(ss.hstack([half, half.astype(np.float64)])).dtype == np.float64
    assert np.asarray(ss.matrix(half), dtype=np.float16).dtype == np.float16
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(ss.matrix(half), copy=False)


# -------------------------------------------------------------------------------- any strides


@st.composite
def strided(draw: st.DrawFn) -> tuple[str, NDArray[Any]]:
    """A view of a random array: C or Fortran order, steps of any sign, either axis first."""
    dtype = draw(st.sampled_from(list(TYPES)))
    m, n = draw(st.integers(0, 70)), draw(st.integers(0, 70))
    steps = [draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = [extent * abs(step) for extent, step in zip((m, n), steps, strict=True)]
    base = rng.standard_normal(shape).astype(TYPES[dtype])
    if draw(st.booleans()):
        base = np.asfortranarray(base)
    view = base[:: steps[0], :: steps[1]]
    return dtype, view.T if draw(st.booleans()) else view


@settings(max_examples=80, deadline=None)
@given(strided(), st.data())
def test_any_strides_slices_and_transposes(case: tuple[str, NDArray[Any]], data: Any) -> None:
    dtype, view = case
    a = ss.matrix(view)
    assert (a.shape, a.storage, a.nbytes) == (view.shape, dtype, view.nbytes)
    assert_same_numbers(np.asarray(a, np.float64), np.ascontiguousarray(view.astype(np.float64)))
    rows, cols = (
        slice(*sorted((data.draw(st.integers(0, e)), data.draw(st.integers(0, e)))))
        for e in view.shape
    )
    cut = np.ascontiguousarray(view[rows, cols].astype(np.float64))
    assert_same_numbers(np.asarray(a[rows, cols], np.float64), cut)
    turned = np.ascontiguousarray(view.T[cols, rows].astype(np.float64))
    assert_same_numbers(np.asarray(a.T[cols, rows], np.float64), turned)


def test_a_broadcast_row_is_as_many_rows() -> None:
    view = np.broadcast_to(np.arange(5.0), (4, 5))
    np.testing.assert_array_equal(np.asarray(ss.matrix(view)), view)


# -------------------------------------------------------------------------------- scales

BLOCKS = {
    "per tensor": (300, 270),
    "per row": (1, 270),
    "per column": (300, 1),
    "blocks of 128": (128, 128),
    "blocks of 7 x 11": (7, 11),
    "per element": (1, 1),
}


def scaled(
    path: Path, dtype: str, shape: tuple[int, int], block: tuple[int, int]
) -> tuple[ss.Matrix, NDArray[np.float64]]:
    """A scaled tensor in a file, and the same in NumPy: one rounding to float32 per element."""
    rng = np.random.default_rng(5)
    codes = (rng.standard_normal(shape) * 8).astype(TYPES[dtype])
    raw = codes.view(np.uint8)
    if dtype == "f4_e2m1":  # two to a byte
        raw = raw[:, ::2] | raw[:, 1::2] << 4
    path.write_bytes(b"!" + raw.tobytes())  # so that nothing is aligned
    grid = [-(-extent // size) for extent, size in zip(shape, block, strict=True)]
    scale = rng.uniform(1e-3, 3.0, grid).astype(np.float32)
    spread = scale.repeat(block[0], 0).repeat(block[1], 1)[: shape[0], : shape[1]]
    a = ss.tensor(path, 1, shape, dtype, scale=scale, scale_block=block)
    return a, codes.astype(np.float64) * spread


@grid(block=BLOCKS, dtype=list(TYPES))
def test_scales(dtype: str, block: tuple[int, int], tmp_path: Path) -> None:
    """Also through slices that cut blocks, and through transposes."""
    a, exact = scaled(tmp_path / "codes", dtype, (300, 270), block)
    for got, truth in [
        (a, exact),
        (a.T, exact.T),
        (a[13:207, 5:], exact[13:207, 5:]),
        (a.T[100:, 131:140], exact.T[100:, 131:140]),
        (a[127:260].T[:, 3:77], exact[127:260].T[:, 3:77]),
        (a[5::3, 7:200:2], exact[5::3, 7:200:2]),
        (a[5::3, 7:200:2].T, exact[5::3, 7:200:2].T),
        (a.T[1::2, ::150][3::5], exact.T[1::2, ::150][3::5]),
        (a[::3, 1::2][4::5, 5::7], exact[::3, 1::2][4::5, 5::7]),
        (-0.5 * a[:150], -0.5 * exact[:150]),
    ]:
        assert_same_numbers(np.asarray(got, np.float64), np.ascontiguousarray(truth))
        single = np.ascontiguousarray(truth).astype(np.float32)
        if dtype == "f64":  # the scale and the element are each rounded to float32
            np.testing.assert_allclose(np.asarray(got, np.float32), single, rtol=2e-7)
        else:
            assert_same_numbers(np.asarray(got, np.float32), single)


def test_blocks_that_do_not_divide_the_shape(tmp_path: Path) -> None:
    a, exact = scaled(tmp_path / "codes", "f8_e4m3", (10, 13), (3, 5))
    for i0, i1, j0, j1 in [
        (0, 10, 0, 13),
        (2, 9, 4, 13),
        (9, 10, 0, 1),
        (5, 5, 2, 7),
        (0, 10, 12, 13),
    ]:
        truth = np.ascontiguousarray(exact[i0:i1, j0:j1])
        assert_same_numbers(np.asarray(a[i0:i1, j0:j1], np.float64), truth)
        turned = np.ascontiguousarray(truth.T)
        assert_same_numbers(np.asarray(a.T[j0:j1, i0:i1], np.float64), turned)


def test_one_scale_is_per_tensor_by_default(tmp_path: Path) -> None:
    (tmp_path / "codes").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    a = ss.tensor(tmp_path / "codes", 0, (2, 3), "f32", scale=np.array(0.25, np.float32))
    np.testing.assert_array_equal(np.asarray(a), np.arange(6).reshape(2, 3) / 4)


@pytest.mark.parametrize(
    ("scale", "block", "message"),
    [
        (np.ones((2, 2)), (3, 5), r"4 x 3"),
        (np.ones(4), (3, 5), r"4 x 3"),
        (np.ones((1, 1)), (0, 5), r"0 x 5"),
        (np.ones((1, 1)), (10, -1), r"10 x -1"),
        (np.array([[np.nan]]), None, r"NaN or infinity"),
        (np.array([[np.inf]]), None, r"NaN or infinity"),
    ],
)
def test_scales_that_do_not_fit(
    scale: NDArray[Any], block: tuple[int, int] | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "codes").write_bytes(bytes(10 * 13))
    with pytest.raises(ValueError, match=message):
        ss.tensor(tmp_path / "codes", 0, (10, 13), "f8_e4m3", scale=scale, scale_block=block)
