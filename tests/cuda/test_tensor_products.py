# SPDX-License-Identifier: BSD-3-Clause
"""Products by tensor cores on the simulated device: their errors, and the bits that they keep."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import covered, grid

import sigmascope as ss
from sigmascope._execution import rounding

pytestmark = pytest.mark.unsanitized

Array = NDArray[Any]
RUN = {"threads": 1, "load_bytes": 0, "progress": None, "device": 0, "f64": False}
EPSILON = 2.0**-24
STORED = {"bf16": ml_dtypes.bfloat16, "f16": np.float16}
SHAPES = [(1, 1), (1, 64), (64, 1), (70, 33), (130, 64), (300, 200), (1100, 72), (130, 2104)]


def bf16(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(ml_dtypes.bfloat16)


def stored(dtype: str, rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(STORED[dtype])


def product(
    module: ModuleType,
    A: Array | ss.Matrix,
    name: str,
    x: Array,
    *,
    transposed: bool = False,
    factor: float = 1.0,
    panel_rows: int = 0,
    device_bytes: int = 0,
) -> Array:
    a = A if isinstance(A, ss.Matrix) else ss.matrix(A)
    result: Array = module.product(
        a.native,
        name,
        x.astype(np.float32),
        transposed=transposed,
        factor=factor,
        panel_rows=panel_rows,
        device_bytes=device_bytes,
        **RUN,
    )
    assert module.simulator.violation() == ""
    return result


def assert_close(result: Array, A: Array, x: Array, units: float) -> None:
    """Compare with float64, in units of roundoff of the sum of magnitudes of every entry."""
    A, x = A.astype(np.float64), x.astype(np.float64)
    error, scale = np.abs(result - A @ x), np.abs(A) @ np.abs(x)
    assert np.all(error <= units * EPSILON * scale)


@pytest.mark.slow
@covered(shape=SHAPES, transposed={"as it is": False, "transposed": True}, dtype=STORED.keys())
def test_products_in_full(
    cuda_module: ModuleType, shape: tuple[int, int], transposed: bool, dtype: str
) -> None:
    """Every width of a tile, with columns that fill it and with columns that do not."""
    rng = np.random.default_rng(sum(shape))
    A = stored(dtype, rng, *shape)
    op = A.T if transposed else A
    for cols in (1, 16, 19, 33, 70) if max(shape) < 2000 else (17,):
        for name, factors in (("multiply", op), ("multiply_adjoint", op.T)):
            x = rng.standard_normal((factors.shape[1], cols)).astype(np.float32)
            result = product(cuda_module, A, name, x, transposed=transposed)
            assert_close(result, factors, x, units=4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", STORED)
def test_a_step_multiplies_twice(cuda_module: ModuleType, dtype: str) -> None:
    rng = np.random.default_rng(1)
    A, x = stored(dtype, rng, 1100, 200), rng.standard_normal((200, 20)).astype(np.float32)
    image = product(cuda_module, A, "multiply", x)
    expected = product(cuda_module, A, "multiply_adjoint", image)
    np.testing.assert_array_equal(product(cuda_module, A, "gram_step", x), expected)
    wide = np.ascontiguousarray(A.T)
    result = product(cuda_module, wide, "gram_step", x, transposed=True)
    assert_close(result, A.T.astype(np.float64), image, units=8)


def bias(result: Array, exact: Array) -> float:
    """Return by how much the answers are too large, as a share of them."""
    return float(np.vdot(result, exact) / np.vdot(exact, exact)) - 1


@grid(core={"H100": (16, 2), "A100": (8, 1)}, dtype=STORED.keys())
def test_short_chains_are_not_truncated_as_one_long_chain_is(
    cuda_module: ModuleType, core: tuple[int, int], dtype: str
) -> None:
    """The search promises 48 roundoffs of sigma_1; one chain alone is wrong by more."""
    terms, extra_bits = core
    cuda_module.simulator.restart(tensor_core_terms=terms, tensor_core_extra_bits=extra_bits)
    rng = np.random.default_rng(2)
    depth = 28672
    A, x = stored(dtype, rng, 24, depth), rng.standard_normal((depth, 8)).astype(np.float32)
    exact = A.astype(np.float64) @ x.astype(np.float64)
    result = product(cuda_module, A, "multiply", x)
    assert np.linalg.norm(result - exact) < 6 * EPSILON * np.linalg.norm(exact)
    assert abs(bias(result, exact)) < 2 * EPSILON

    A16, x16 = A.astype(ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16)
    exact = A16.astype(np.float64) @ x16.astype(np.float64)
    chains = cuda_module.simulator.tensor_core_chains(
        A16.astype(np.float32), x16.astype(np.float32).T.copy()
    )
    assert bias(chains, exact) < -400 * EPSILON


@pytest.mark.slow
@covered(
    shape=[(1500, 72), (200, 1100)],
    name=["multiply_adjoint", "gram_step", "steer"],
    dtype=STORED.keys(),
)
def test_panels_and_memory_change_no_bit(
    cuda_module: ModuleType, shape: tuple[int, int], name: str, dtype: str
) -> None:
    rng = np.random.default_rng(7)
    A = stored(dtype, rng, *shape)
    x = rng.standard_normal((shape[0 if name == "multiply_adjoint" else 1], 5))
    expected = product(cuda_module, A, name, x)
    for panel_rows in (1, 192, 1024, 5000):
        for seed, device_bytes in enumerate((0, 1 << 24)):
            cuda_module.simulator.restart(seed=seed)  # in another order of blocks of threads
            memory = {"panel_rows": panel_rows, "device_bytes": device_bytes}
            np.testing.assert_array_equal(product(cuda_module, A, name, x, **memory), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", STORED)
def test_where_the_numbers_lie_changes_no_bit(cuda_module: ModuleType, dtype: str) -> None:
    """Rows that start anywhere, columns in reverse, tiles."""
    rng = np.random.default_rng(8)
    A = stored(dtype, rng, 150, 80)
    x = rng.standard_normal((80, 17)).astype(np.float32)
    wide = np.zeros((150, 83), dtype=A.dtype)
    wide[:, 1:81] = A
    forms = {
        "odd rows": ss.matrix(wide[:, 1:81]),
        "by columns": ss.matrix(np.asfortranarray(A)),
        "in reverse": ss.matrix(np.ascontiguousarray(A[:, ::-1])[:, ::-1]),
        "shards": ss.vstack([ss.matrix(A[:37]), ss.matrix(A[37:])]),
        "a grid": ss.block([[ss.matrix(A[:, :30]), ss.matrix(A[:, 30:])]]),
    }
    for name in ("multiply", "gram_step", "steer"):
        expected = product(cuda_module, A, name, x)
        for form, a in forms.items():
            result = product(cuda_module, a, name, x)
            np.testing.assert_array_equal(result, expected, err_msg=f"{name}, {form}")


@pytest.mark.parametrize("factor", [0.25, -2.0, 3.7, 2.0**-70])
@pytest.mark.parametrize("dtype", STORED)
def test_factors(cuda_module: ModuleType, factor: float, dtype: str) -> None:
    """A power of two multiplies the block and rounds nothing; others multiply the numbers."""
    rng = np.random.default_rng(9)
    A, x = stored(dtype, rng, 70, 40), rng.standard_normal((40, 3)).astype(np.float32)
    for name, power, units in (("multiply", 1, 8), ("steer", 2, 2.0**18)):
        result = product(cuda_module, A, name, x, factor=factor)
        once = product(cuda_module, A, name, x).astype(np.float64) * factor**power
        if factor in (0.25, -2.0):
            np.testing.assert_array_equal(result, once)
        else:
            scale = np.abs(once).max()
            np.testing.assert_allclose(result, once, atol=units * EPSILON * scale, rtol=0)


@pytest.mark.parametrize(
    ("power", "of_matrix"), [(60, 70), (61, -70), (-60, -80), (-61, 80), (120, -70), (-120, 80)]
)
def test_a_factor_up_to_2_60_scales_the_block_and_a_larger_one_the_matrix(
    cuda_module: ModuleType, power: int, of_matrix: int
) -> None:
    """The other of the two would leave the range of fp32; the opposite power of x balances it."""
    rng = np.random.default_rng(19)
    A, x = bf16(rng, 70, 40), rng.standard_normal((40, 3)).astype(np.float32)
    expected = np.ldexp(product(cuda_module, A, "multiply", x), power)
    large = np.ldexp(A.astype(np.float32), of_matrix).astype(ml_dtypes.bfloat16)
    opposite = np.ldexp(x, -of_matrix)
    result = product(cuda_module, large, "multiply", opposite, factor=2.0**power)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", STORED)
def test_a_multiple_of_a_matrix_has_that_multiple_of_its_products(
    cuda_module: ModuleType, dtype: str
) -> None:
    rng = np.random.default_rng(17)
    A = stored(dtype, rng, 70, 64)
    for factor in (2.0, -0.5, 3.0):
        for name, op in (("multiply", A), ("multiply_adjoint", A.T)):
            x = rng.standard_normal((op.shape[1], 20)).astype(np.float32)
            result = product(cuda_module, factor * ss.matrix(A), name, x)
            assert_close(result, factor * op.astype(np.float64), x, units=8)


def test_narrow_formats_are_multiplied_by_tensor_cores(cuda_module: ModuleType) -> None:
    """Numbers of eight or four bits, and scales that are powers of two, are exact in bf16."""
    rng = np.random.default_rng(10)
    x = rng.standard_normal((64, 20)).astype(np.float32)
    for dtype in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float4_e2m1fn):
        A = rng.standard_normal((90, 64)).astype(dtype)
        same = A.astype(np.float32).astype(ml_dtypes.bfloat16)
        expected = product(cuda_module, same, "gram_step", x)
        np.testing.assert_array_equal(product(cuda_module, A, "gram_step", x), expected)


def test_every_number_of_float16_is_multiplied_exactly(cuda_module: ModuleType) -> None:
    """Subnormal numbers and the largest included: times one, they are what they were."""
    codes = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    numbers = codes.view(np.float16)
    A = numbers[np.isfinite(numbers)].reshape(-1, 64)
    eye = np.eye(64, dtype=np.float32)
    np.testing.assert_array_equal(product(cuda_module, A, "multiply", eye), A.astype(np.float32))


def test_densities_of_what_has_two_parts_are_split() -> None:
    """Tensor cores multiply split blocks by float16 and bfloat16; float32 is for CUDA cores."""
    kinds = {np.float16: "split", ml_dtypes.bfloat16: "split", np.float32: "float32"}
    for dtype, expected in kinds.items():
        a = ss.matrix(np.zeros((512, 512), dtype))
        assert rounding.coarsest(rounding.DENSITIES, a, on_cuda=True) == expected
        assert rounding.coarsest(rounding.SEARCHES, a, on_cuda=True) == "mixed"


def scaled(codes: Array, scale: Array) -> ss.Matrix:
    """Return a matrix of codes with a scale for each row."""
    return ss.Matrix(ss.matrix(codes).native.with_scale(scale[:, None], 1, codes.shape[1]))


def test_scales_of_few_bits_are_multiplied_by_tensor_cores(cuda_module: ModuleType) -> None:
    """Numbers of fp8 times scales in bf16 have 12 bits, which two parts hold."""
    rng = np.random.default_rng(14)
    x = rng.standard_normal((64, 20)).astype(np.float32)
    codes = rng.standard_normal((90, 64)).astype(ml_dtypes.float8_e4m3fn)
    scale = rng.uniform(0.5, 2, 90).astype(ml_dtypes.bfloat16).astype(np.float32)
    numbers = codes.astype(np.float32) * scale[:, None]
    assert_close(product(cuda_module, scaled(codes, scale), "multiply", x), numbers, x, units=4)
    # The same numbers in fp16, which holds products of 4 and 3 bits, are multiplied as well.
    coarse = rng.uniform(1, 2, 90).astype(ml_dtypes.float8_e5m2).astype(np.float32)
    halves = (codes.astype(np.float32) * coarse[:, None]).astype(np.float16)
    exact = halves.astype(np.float64).T @ (halves.astype(np.float64) @ x.astype(np.float64))
    for a in (halves, scaled(codes, coarse)):
        result = product(cuda_module, a, "gram_step", x)
        np.testing.assert_allclose(result, exact, rtol=0, atol=8 * EPSILON * np.abs(exact).max())


def test_other_formats_keep_the_bits_of_the_processor(cuda_module: ModuleType) -> None:
    """Sums of tiles, and products of numbers and scales, have more bits than two bf16 numbers."""
    if ss.show_config()["isa"] == "scalar":
        pytest.skip("the processor rounds products and sums")
    rng = np.random.default_rng(11)
    x = rng.standard_normal((64, 20)).astype(np.float32)
    half = ss.matrix(rng.standard_normal((90, 64)).astype(np.float16))
    narrow = rng.standard_normal((90, 64)).astype(ml_dtypes.float8_e4m3fn)
    for a in (
        0.3 * half,
        half - half,
        ss.matrix(rng.standard_normal((90, 64)).astype(np.float32)),
        scaled(narrow, rng.uniform(0.5, 2, 90).astype(np.float32)),
        ss.matrix(bf16(rng, 90, 64)) - ss.matrix(bf16(rng, 90, 64)),
    ):
        result = product(cuda_module, a, "multiply", x)
        host = cuda_module.product(
            a.native,
            "multiply",
            x,
            transposed=False,
            panel_rows=0,
            device_bytes=0,
            **RUN | {"device": None},
        )
        if ss.show_config()["tiles"]:  # which multiply three bf16 parts of each number
            np.testing.assert_allclose(result, host, rtol=0, atol=1e-5 * np.abs(host).max())
        else:
            np.testing.assert_array_equal(result, host)


LONG = 2 * 65_536 + 4_100


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_sums_have_the_bits_of_the_processor(cuda_module: ModuleType, dtype: Any) -> None:
    """Blocks of 65,536 terms are added as a tree, wherever panels end."""
    if ss.show_config()["isa"] == "scalar" or ss.show_config()["tiles"]:
        pytest.skip("the processor lacks FMA, or has AMX: its sums have another order")
    rng = np.random.default_rng(15)
    A, x = rng.standard_normal((LONG, 2)).astype(dtype), rng.standard_normal((LONG, 1))
    run = RUN | {"f64": dtype == np.float64}
    for a, name in ((A, "multiply_adjoint"), (A.T.copy(), "multiply")):
        for panel_rows in (0, 1 << 15):
            call = {"transposed": False, "panel_rows": panel_rows, "device_bytes": 0}
            result, host = (
                cuda_module.product(
                    ss.matrix(a).native, name, x.astype(dtype), **call, **run | {"device": device}
                )
                for device in (0, None)
            )
            np.testing.assert_array_equal(result, host)


@pytest.mark.nightly
def test_long_sums_of_tensor_cores_are_trees_of_blocks(cuda_module: ModuleType) -> None:
    rng = np.random.default_rng(16)
    rows = 65_536 + 1_100
    A, x = bf16(rng, rows, 2), rng.standard_normal((rows, 1)).astype(np.float32)
    first, second = (
        product(cuda_module, A[i : i + 65_536], "multiply_adjoint", x[i : i + 65_536])
        for i in (0, 65_536)
    )
    for a, name, panel_rows in ((A, "multiply_adjoint", 30_000), (A.T.copy(), "multiply", 0)):
        result = product(cuda_module, a, name, x, panel_rows=panel_rows)
        np.testing.assert_array_equal(result, first + second)


@pytest.mark.slow
@grid(
    order=["forward", "backward", "random"],
    timing=["eager", "late", "random"],
    dtype=STORED.keys(),
)
def test_no_order_of_threads_or_streams_changes_a_bit(
    cuda_module: ModuleType, order: str, timing: str, dtype: str
) -> None:
    rng = np.random.default_rng(12)
    A, x = stored(dtype, rng, 400, 96), rng.standard_normal((96, 40)).astype(np.float32)
    cuda_module.simulator.restart(order="forward", timing="eager")
    expected = product(cuda_module, A, "gram_step", x, panel_rows=64)
    cuda_module.simulator.restart(order=order, timing=timing, seed=3)
    result = product(cuda_module, A, "gram_step", x, panel_rows=64)
    np.testing.assert_array_equal(result, expected)
    assert cuda_module.simulator.objects_in_use() == 0


@pytest.mark.slow
@pytest.mark.parametrize("products", ["full", "split", "rounded"])
def test_a_matrix_that_stays_is_multiplied_at_once(cuda_module: ModuleType, products: str) -> None:
    """Steps after the first pass launch as many kernels for ten panels as for one."""
    rng = np.random.default_rng(13)
    a = ss.matrix(bf16(rng, 640, 64))

    def launches(steps: int, panel_rows: int) -> int:
        cuda_module.simulator.restart()
        memory = {"panel_rows": panel_rows, "device_bytes": 1 << 24}
        cuda_module.density(
            a.native, block=4, steps=steps, seed=1, products=products, **memory, **RUN
        )
        count: int = cuda_module.simulator.counts()["launches"]
        return count

    assert launches(5, 64) - launches(2, 64) == launches(5, 640) - launches(2, 640)
