# SPDX-License-Identifier: BSD-3-Clause
"""Verbs of the simulated device: the bits of the processor, for every shape, storage and order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import covered, grid

import sigmascope as ss

pytestmark = pytest.mark.unsanitized

Array = NDArray[Any]
TYPES = [np.float32, np.float64]
ODD = (1, 15, 17, 64, 65)
MANY = (*ODD, *ODD, 3, 3, *ODD, *ODD)


def both(verb: Callable[..., Array], *given: Any, panel_rows: int = 0, **options: Any) -> Array:
    """Return what the device makes of it, after comparing it with the processor's bits.

    A processor with tiles multiplies three bf16 parts of each float32 number: such products are
    as exact, and have other bits.
    """
    run = {"threads": 1, "load_bytes": 0, "progress": None, "panel_rows": panel_rows}
    stored = options.pop("device_bytes", 0)
    host = verb(*given, device=None, device_bytes=0, **run, **options)
    device = verb(*given, device=0, device_bytes=stored, **run, **options)
    assert host.dtype == device.dtype
    if verb.__name__ == "product" and host.dtype == np.float32 and ss.show_config()["tiles"]:
        np.testing.assert_allclose(device, host, rtol=0, atol=1e-5 * np.abs(host).max())
    else:
        np.testing.assert_array_equal(device, host)
    return device


def is_fused() -> bool:
    """Tell whether the processor has fused multiply-adds, which the device has too."""
    return ss.show_config()["isa"] != "scalar"


needs_fused = pytest.mark.skipif(not is_fused(), reason="the processor rounds products and sums")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "cols", "column0"), [(300, 7, 0), (1, 1, 3), (70, 8, 5)])
def test_gaussian_numbers(
    cuda_module: ModuleType, dtype: type, rows: int, cols: int, column0: int
) -> None:
    f64 = dtype is np.float64
    x = both(cuda_module.gaussian, rows, cols, seed=2**40 + 3, column0=column0, f64=f64)
    assert x.shape == (rows, cols)
    assert x.dtype == dtype


def test_columns_of_a_gaussian_matrix_do_not_depend_on_the_first_one(
    cuda_module: ModuleType,
) -> None:
    whole = both(cuda_module.gaussian, 40, 9, seed=1, column0=0, f64=True)
    part = both(cuda_module.gaussian, 40, 4, seed=1, column0=5, f64=True)
    np.testing.assert_array_equal(whole[:, 5:], part)


@needs_fused
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("rows", "widths", "cols"),
    [*((rows, MANY, 17) for rows in (1, 64, 65, 1023, 1025, 3000)), (66_000, (2, 1), 1)],
    ids=["1", "64", "65", "1023", "1025", "3000", "66000"],
)
def test_inner_products(
    cuda_module: ModuleType, dtype: type, rows: int, widths: tuple[int, ...], cols: int
) -> None:
    """Odd widths, more blocks than one launch has, and more rows than are summed one by one."""
    rng = np.random.default_rng(rows)
    xs = [rng.standard_normal((rows, k)).astype(dtype) for k in widths]
    y = rng.standard_normal((rows, cols)).astype(dtype)
    comparison = both(cuda_module.inner, xs, y, f64=dtype is np.float64)
    expected = np.hstack(xs).astype(np.float64).T @ y.astype(np.float64)
    scale = rows**0.5 * np.finfo(dtype).eps
    np.testing.assert_allclose(comparison, expected, atol=20 * scale)


@needs_fused
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (17, 15), (241, 33), (600, 8)])
def test_combinations(cuda_module: ModuleType, dtype: type, rows: int, cols: int) -> None:
    rng = np.random.default_rng(rows)
    xs = [rng.standard_normal((rows, k)).astype(dtype) for k in MANY]
    y = rng.standard_normal((rows, cols)).astype(dtype)
    c = rng.standard_normal((sum(x.shape[1] for x in xs), cols))
    comparison = both(cuda_module.combine, y, xs, c, f64=dtype is np.float64)
    expected = y.astype(np.float64) + np.hstack(xs).astype(np.float64) @ c
    np.testing.assert_allclose(comparison, expected, atol=2000 * np.finfo(dtype).eps)


SHAPES = [(1, 1), (1, 64), (64, 1), (70, 33), (300, 200), (2100, 130), (130, 2100)]
SHAPES += [(70_001, 2), (2, 70_001)]  # whose sums are compensated


@pytest.mark.slow
@needs_fused
@covered(dtype=TYPES, shape=SHAPES, transposed={"as it is": False, "transposed": True})
def test_products(
    cuda_module: ModuleType, dtype: type, shape: tuple[int, int], transposed: bool
) -> None:
    rng = np.random.default_rng(sum(shape))
    A = rng.standard_normal(shape).astype(dtype)
    a = ss.matrix(A).native
    op = A.T if transposed else A
    for cols in (1, 17):
        for name, side in (("multiply", 1), ("multiply_adjoint", 0)):
            x = rng.standard_normal((op.shape[side], cols)).astype(dtype)
            options = {"transposed": transposed, "f64": dtype is np.float64}
            comparison = both(cuda_module.product, a, name, x, **options)
            expected = (op if side else op.T).astype(np.float64) @ x.astype(np.float64)
            atol = 30 * np.finfo(dtype).eps * max(shape) ** 0.5
            np.testing.assert_allclose(comparison, expected, atol=atol)


@needs_fused
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_both_products_of_a_step(cuda_module: ModuleType, dtype: type, transposed: bool) -> None:
    """Blocks of more than 16 columns: for fewer the processor may add in another order."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((200, 1100) if transposed else (1100, 200)).astype(dtype)
    x = rng.standard_normal((200, 33)).astype(dtype)
    options = {"transposed": transposed, "f64": dtype is np.float64}
    both(cuda_module.product, ss.matrix(A).native, "gram_step", x, **options)


def test_steps_of_bf16_round_the_matrix_the_block_and_the_image(cuda_module: ModuleType) -> None:
    """Products of rounded numbers are exact in float64, where their sums are compared."""

    def rounded(x: Array) -> Array:
        return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)

    rng = np.random.default_rng(6)
    A, x = rng.standard_normal((300, 100)), rng.standard_normal((100, 20))
    for transposed, stored in ((False, A), (True, A.T.copy())):
        a = ss.matrix(stored.astype(np.float32)).native
        run = {"threads": 1, "load_bytes": 0, "progress": None, "panel_rows": 0, "device_bytes": 0}
        result = cuda_module.product(
            a, "steer", x.astype(np.float32), transposed=transposed, f64=False, device=0, **run
        )
        image = rounded(rounded(A) @ rounded(x))  # which float32 sums may round otherwise
        np.testing.assert_allclose(result, rounded(A).T @ image, atol=0.05)
        assert np.abs(result - A.T @ (A @ x)).max() > 0.05


@needs_fused
@grid(panel_rows=[1, 64, 192, 5000], device_bytes=[0, 1 << 24])
def test_panels_and_memory_change_no_bit(
    cuda_module: ModuleType, panel_rows: int, device_bytes: int
) -> None:
    rng = np.random.default_rng(7)
    a = ss.matrix(rng.standard_normal((1500, 70)).astype(np.float32)).native
    x = rng.standard_normal((1500, 5)).astype(np.float32)
    options = {"panel_rows": panel_rows, "device_bytes": device_bytes}
    adjoint = partial(
        both, cuda_module.product, a, "multiply_adjoint", x, transposed=False, f64=False
    )
    np.testing.assert_array_equal(adjoint(**options), adjoint())


@needs_fused
@grid(order=["forward", "backward", "random"], timing=["eager", "late", "random"])
def test_no_order_of_threads_or_streams_changes_a_bit(
    cuda_module: ModuleType, order: str, timing: str
) -> None:
    rng = np.random.default_rng(8)
    A = rng.standard_normal((400, 90)).astype(np.float32)
    x = rng.standard_normal((90, 17)).astype(np.float32)
    options = {"transposed": False, "f64": False, "panel_rows": 64}
    step = partial(both, cuda_module.product, ss.matrix(A).native, "gram_step", x, **options)
    expected = step()
    for seed in range(2):
        cuda_module.simulator.restart(order=order, timing=timing, seed=seed)
        np.testing.assert_array_equal(step(), expected)
        both(cuda_module.inner, [A, A], A, f64=False)
        assert cuda_module.simulator.violation() == ""
        assert cuda_module.simulator.objects_in_use() == 0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(1, 3), (130, 70), (70, 130), (1100, 40)])
def test_gram_matrices(cuda_module: ModuleType, shape: tuple[int, int], transposed: bool) -> None:
    A = np.random.default_rng(9).standard_normal(shape)
    run = {"threads": 1, "load_bytes": 0, "progress": None, "panel_rows": 64, "device_bytes": 0}
    result = cuda_module.gram(ss.matrix(A).native, transposed=transposed, device=0, **run)
    op = A.T if transposed else A
    np.testing.assert_allclose(result, op.T @ op, atol=1e-12 * max(shape))
    np.testing.assert_array_equal(result, result.T)
