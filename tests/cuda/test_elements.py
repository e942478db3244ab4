# SPDX-License-Identifier: BSD-3-Clause
"""Passes over elements on the simulated device: the processor's bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.cuda_builds import ROOT, processor_runs
from tests.support.moments import ADVERSARIES, adversary
from tests.support.stored_types import SMALL, TYPES

import sigmascope as ss
from sigmascope._host.native import _core
from sigmascope.errors import DeviceError, MemoryLimitError
from sigmascope.solvers.change import change, fingerprint

pytestmark = pytest.mark.unsanitized

HOST = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None}
needs_fused_sums = pytest.mark.skipif(
    ss.show_config()["isa"] == "scalar", reason="sums of tiles are fused on the device"
)


def on_device(panel_rows: int = 64) -> dict[str, Any]:
    return HOST | {"device": 0, "device_bytes": 0, "panel_rows": panel_rows}


def assert_equal(device: dict[str, Any], host: dict[str, Any]) -> None:
    assert device.keys() == host.keys()
    for name, expected in host.items():
        np.testing.assert_array_equal(device[name], expected, err_msg=name)


def assert_same_moments(module: ModuleType, a: ss.Matrix, panel_rows: int = 64) -> None:
    host = _core.moments(a.native, histogram=True, **HOST)
    assert_equal(module.moments(a.native, histogram=True, **on_device(panel_rows)), host)


def assert_same_change(
    module: ModuleType, before: ss.Matrix, after: ss.Matrix, panel_rows: int = 64
) -> None:
    host = _core.change(before.native, after.native, **HOST)
    device = module.change(before.native, after.native, **on_device(panel_rows))
    if not np.isfinite(host["before2"] + host["after2"]):  # then hashes mean nothing
        del host["digests"], device["digests"]
    assert_equal(device, host)


def assert_same_survey(module: ModuleType, a: ss.Matrix, panel_rows: int = 64) -> None:
    """Where numbers are not finite, the others are summed in an order of their own."""
    host: dict[str, Any] = dict(_core.survey(a.native, **HOST))
    device = module.survey(a.native, **on_device(panel_rows))
    if host["first_nonfinite"] is not None:
        del host["digest"], device["digest"]  # which mean nothing
        assert device.pop("fro2") == pytest.approx(host.pop("fro2"), rel=1e-14)
    assert_equal(device, host)


def assert_same(module: ModuleType, a: ss.Matrix, b: ss.Matrix, panel_rows: int = 64) -> None:
    for one in (a, b):
        assert_same_moments(module, one, panel_rows)
        assert_same_survey(module, one, panel_rows)
    assert_same_change(module, a, b, panel_rows)


def pair(dtype: str, shape: tuple[int, int], seed: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two arrays of which a part of the entries is equal and another nearly so."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    kind = rng.integers(0, 3, shape)
    b = np.where(kind == 0, a, np.where(kind == 1, a * (1 + 1e-4), rng.standard_normal(shape)))
    b[rng.random(shape) < 0.05] = 0.0
    return a.astype(TYPES[dtype]), b.astype(TYPES[dtype])


SHAPES = [(1, 1), (1, 9000), (300, 1), (131, 70), (3, 8197), (129, 4100), (257, 31)]


@grid(dtype=TYPES.keys(), shape=SHAPES)
def test_every_dtype_and_shape(cuda_module: ModuleType, dtype: str, shape: tuple[int, int]) -> None:
    a, b = pair(dtype, shape)
    assert_same(cuda_module, ss.matrix(a), ss.matrix(b))


@pytest.mark.parametrize("dtypes", [("f32", "f64"), ("f64", "f32")], ids="-".join)
def test_pairs_of_two_precisions(cuda_module: ModuleType, dtypes: tuple[str, str]) -> None:
    """Each matrix is hashed in the precision that it is stored in."""
    a, b = (pair(dtype, (131, 70))[i] for i, dtype in enumerate(dtypes))
    assert_same_change(cuda_module, ss.matrix(a), ss.matrix(b))


@pytest.mark.nightly
def test_long_sums_are_the_processors(cuda_module: ModuleType) -> None:
    """Blocks of 65,536 rows are added as a tree, wherever panels end."""
    a, b = pair("f32", (2 * 65_536 + 300, 2))
    assert_same(cuda_module, ss.matrix(a), ss.matrix(b), panel_rows=20_000)


def test_moments_of_a_panel_of_many_rows_are_the_processors(cuda_module: ModuleType) -> None:
    """Rows beyond the first 65,536 of a panel are looked at after these."""
    a, _ = pair("f32", (65_536 + 300, 1))
    assert_same_moments(cuda_module, ss.matrix(a), panel_rows=0)


@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "f16"])
def test_the_first_of_many_entries_that_are_not_finite(cuda_module: ModuleType, dtype: str) -> None:
    """Every lane meets several of them, and the place of its first one counts."""
    a, _ = pair(dtype, (37, 260))
    a[5, 100:] = np.nan
    a[6:] = np.inf
    assert_same_survey(cuda_module, ss.matrix(a))
    assert _core.survey(ss.matrix(a).native, **HOST)["first_nonfinite"] == (5, 100)


@pytest.mark.parametrize("dtype", SMALL)
def test_every_code(cuda_module: ModuleType, dtype: str) -> None:
    """NaN, infinities and subnormal numbers among them, each at another place in the second."""
    wide = np.dtype(SMALL[dtype]).itemsize == 2
    side, kind = (256, np.uint16) if wide else (4 if dtype == "f4_e2m1" else 16, np.uint8)
    codes = np.random.default_rng(1).permutation(side * side).astype(kind).reshape(side, side)
    a, b = (ss.matrix(part, dtype=dtype) for part in (codes, np.roll(codes, 5)))
    assert_same(cuda_module, a, b)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "f16"])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries(cuda_module: ModuleType, name: str, dtype: str) -> None:
    """Large means, of which sums of powers are taken again, and numbers of any magnitude."""
    rng = np.random.default_rng(8)
    with np.errstate(over="ignore"):
        for shape in ((131, 70), (3, 4099)):  # more than a group of rows, and than a stretch
            a, b = (adversary(name, rng, shape).astype(TYPES[dtype]) for _ in range(2))
            assert_same(cuda_module, ss.matrix(a), ss.matrix(b))


@pytest.mark.slow
@grid(dtype=["f64", "f32", "bf16", "f16", "f8_e5m2"], share=[0.001, 0.3, 1.0])
def test_numbers_that_are_not_finite(cuda_module: ModuleType, dtype: str, share: float) -> None:
    rng = np.random.default_rng(4)
    a, b = pair(dtype, (140, 4130))
    for one in (a, b):
        spoilt = rng.random(one.shape) < share
        one[spoilt] = rng.choice([np.nan, np.inf, -np.inf, -0.0], spoilt.sum())
    assert_same(cuda_module, ss.matrix(a), ss.matrix(b))


@grid(
    dtype=["f64", "bf16", "f8_e4m3"],
    steps=[(1, 1), (2, 3), (-1, 1), (1, -2)],
    order=["C", "F"],
)
def test_strides(cuda_module: ModuleType, dtype: str, order: Any, steps: tuple[int, int]) -> None:
    a, b = (np.array(part, order=order) for part in pair(dtype, (270, 150)))
    first, second = (ss.matrix(part[:: steps[0], :: steps[1]]) for part in (a, b))
    assert_same(cuda_module, first, second)
    assert_same(cuda_module, first.T, second.T)


def test_broadcast_lines_count_every_element(cuda_module: ModuleType) -> None:
    line = np.arange(70.0).astype(TYPES["bf16"])
    rows, columns = np.broadcast_to(line, (70, 70)), np.broadcast_to(line, (70, 70)).T
    assert_same(cuda_module, ss.matrix(rows), ss.matrix(columns))
    counts = cuda_module.moments(ss.matrix(rows).native, histogram=True, **on_device())
    assert counts["histogram"].sum() == 70 * 70


@pytest.mark.slow
@grid(dtype=["f8_e4m3", "bf16", "f32"], block=[(300, 270), (1, 270), (128, 128), (7, 11)])
def test_scales(
    cuda_module: ModuleType, tmp_path: Path, dtype: str, block: tuple[int, int]
) -> None:
    """Scaled numbers are decoded first: their least magnitudes count, and their units do not."""
    rng = np.random.default_rng(5)
    codes = (8 * rng.standard_normal((300, 270))).astype(TYPES[dtype])
    (tmp_path / "codes").write_bytes(b"!" + codes.tobytes())
    grid = [-(-extent // size) for extent, size in zip(codes.shape, block, strict=True)]
    scale = rng.uniform(1e-3, 3.0, grid).astype(np.float32)
    a = ss.tensor(tmp_path / "codes", 1, codes.shape, dtype, scale=scale, scale_block=block)
    plain = ss.matrix(codes)
    assert_same(cuda_module, a, plain)
    assert_same(cuda_module, plain[1::2, 5:], 2.0**-3 * a[1::2, 5:])


@needs_fused_sums
def test_tiles(cuda_module: ModuleType) -> None:
    """Tiles of several formats that overlap, meet within a stretch, or leave gaps."""
    rng = np.random.default_rng(7)

    def random(dtype: str, rows: int, cols: int) -> ss.Matrix:
        return ss.matrix(rng.standard_normal((rows, cols)).astype(TYPES[dtype]))

    difference = random("bf16", 150, 4200) - random("f32", 150, 4200)
    stacked = ss.vstack([random("f16", 70, 4200), random("bf16", 80, 4200)])
    aligned = ss.block([[random("f16", 150, 4096), random("bf16", 150, 104)]])
    crossing = ss.block([[random("bf16", 150, 4000), random("bf16", 150, 200)]])
    every = (difference, stacked, aligned, crossing, stacked + 0.3 * aligned)
    for i, a in enumerate(every):
        assert_same_moments(cuda_module, a)
        assert_same_survey(cuda_module, a)
        assert_same_change(cuda_module, a, (stacked, aligned)[i % 2])
    assert_same_change(cuda_module, aligned, stacked)


@pytest.mark.parametrize("exponent", [-700, -1074, 600, 1000])
def test_every_magnitude(cuda_module: ModuleType, exponent: int) -> None:
    """The survey reads again where squares leave the range; least magnitudes are found."""
    a, b = pair("f64", (40, 70))
    with np.errstate(under="ignore"):
        first, second = (ss.matrix(np.ldexp(part, exponent)) for part in (a, b))
    assert_same(cuda_module, first, second)


@grid(dtype=["f64", "bf16"], panel_rows=[1, 64, 192, 1000])
def test_no_panel_height_order_or_seed_changes_a_bit(
    cuda_module: ModuleType, dtype: str, panel_rows: int
) -> None:
    """Groups of 128 rows, whose sums are merged in their order, may be cut by panels."""
    a, b = pair(dtype, (700, 40))
    a[3, 7] = a[690, 1] = np.nan
    for order, timing, seed in (("forward", "eager", 0), ("random", "late", panel_rows)):
        cuda_module.simulator.restart(order=order, timing=timing, seed=seed)
        assert_same(cuda_module, ss.matrix(a), ss.matrix(b), panel_rows)
        assert cuda_module.simulator.violation() == ""
        assert cuda_module.simulator.objects_in_use() == 0


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_sums_have_the_order_of_the_vectors_of_the_processor(isa: str) -> None:
    """Each length of vectors that the processor has, in a process of its own."""
    if isa != "scalar" and not processor_runs(isa):
        pytest.skip(f"the processor has no {isa}")
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "every_magnitude or far"]
    environment = {**os.environ, "SIGMASCOPE_ISA": isa, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_empty_matrices(cuda_module: ModuleType) -> None:
    for shape in ((0, 5), (5, 0), (0, 0)):
        empty = _core.Matrix(*shape)
        host = _core.moments(empty, histogram=True, **HOST)
        assert_equal(cuda_module.moments(empty, histogram=True, **on_device()), host)
        host = _core.change(empty, empty, **HOST)
        assert_equal(cuda_module.change(empty, empty, **on_device()), host)
    with pytest.raises(ValueError, match="different shapes"):
        cuda_module.change(_core.Matrix(2, 3), _core.Matrix(3, 2), **on_device())


def test_a_survey_of_a_block_hashes_its_place(cuda_module: ModuleType) -> None:
    a, _ = pair("f32", (90, 70))
    where = {"place": (2**32 - 40, 11), "shape": (2**33, 2**20)}
    host = _core.survey(ss.matrix(a).native, **where, **HOST)
    device = cuda_module.survey(ss.matrix(a).native, **where, **on_device())
    assert device["digest"] == host["digest"]


def test_moments_of_the_package(simulated: ModuleType, tmp_path: Path) -> None:
    """Also from a file, and of numbers whose powers need units of their own."""
    a, _ = pair("bf16", (300, 90))
    (tmp_path / "numbers").write_bytes(a.tobytes())
    stored = ss.tensor(tmp_path / "numbers", 0, a.shape, "bf16")
    spread = np.ones((30, 20)) * np.logspace(-300, 290, 20)
    for matrix in (a, stored, spread):
        host, device = (ss.moments(matrix, **on) for on in ({}, {"device": "cuda"}))
        for name in host.__dataclass_fields__:
            if name != "seconds":
                np.testing.assert_array_equal(getattr(device, name), getattr(host, name), name)
    assert simulated.simulator.objects_in_use() == 0


def test_change_and_fingerprint_of_the_package(simulated: ModuleType) -> None:
    a, b = (ss.matrix(part) for part in pair("f16", (200, 90)))
    assert change(a, b, device="cuda") == change(a, b)
    assert fingerprint(a, b, device="cuda") == fingerprint(a, b)
    tiny, small = 2.0**-800 * a, 2.0**-800 * b  # the squares of which are surveyed again
    host, device = (change(tiny, small, **on) for on in ({}, {"device": "cuda"}))
    assert device.change == pytest.approx(host.change, rel=1e-13)
    assert device._replace(change=host.change, after2=host.after2) == host


def test_a_small_device_is_refused_before_any_work(simulated: ModuleType) -> None:
    simulated.simulator.restart(memory=32 << 20)
    with pytest.raises(MemoryLimitError, match=r"a pass over every element .* on cuda:0"):
        ss.moments(np.ones((300, 200)), device="cuda")
    assert simulated.simulator.counts()["launches"] == 0


@pytest.mark.slow
def test_any_call_of_the_runtime_may_fail_and_nothing_is_left(simulated: ModuleType) -> None:
    a, b = (ss.matrix(part) for part in pair("bf16", (140, 12)))

    def passes() -> tuple[Any, ...]:
        moments = ss.moments(a, device="cuda")
        return moments.mean, moments.std, change(a, b, device="cuda")

    expected = passes()
    calls = simulated.simulator.counts()["calls"]
    failed = 0
    for number in range(0, calls, 3):
        simulated.simulator.restart(failing_call=number, timing="random", seed=number)
        try:
            assert passes() == expected  # what failed was to free something
        except DeviceError:
            failed += 1
        assert simulated.simulator.objects_in_use() == 0, number
        assert simulated.simulator.violation() == "", number
        assert simulated.simulator.last_error() == 0, number
    assert failed > calls / 9


def test_an_interrupted_pass_leaves_nothing(simulated: ModuleType) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.moments(np.eye(300, 200), device="cuda", progress=stop)
    assert simulated.simulator.objects_in_use() == 0
    assert simulated.simulator.violation() == ""
