# SPDX-License-Identifier: BSD-3-Clause
"""Solvers on the simulated device: known spectra, the processor's bits, failures, counts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support import known_spectra
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope.errors import DeviceError, MemoryLimitError, NonFiniteError
from sigmascope.solvers.gram import GramTriplets

pytestmark = [pytest.mark.unsanitized, pytest.mark.usefixtures("simulated")]

SHAPES = [(120, 80), (70, 150)]
SPECTRA: dict[str, Callable[[int, int], known_spectra.Case]] = {
    "polynomial": known_spectra.polynomial,
    "exponential": known_spectra.exponential,
    "clustered": known_spectra.clustered,
    "low rank": known_spectra.low_rank,
}


@grid(spectrum=SPECTRA.keys(), shape=SHAPES, dtype=[np.float32, np.float64])
def test_values_are_within_their_bounds(
    spectrum: str, shape: tuple[int, int], dtype: type, simulated: ModuleType
) -> None:
    A, sigma = SPECTRA[spectrum](*shape)
    a = A.astype(dtype)
    if dtype is np.float32:
        sigma = np.linalg.svd(a.astype(np.float64), compute_uv=False)
    floor = 1e-14 * sigma[0]
    for result in (
        ss.svds(a, 5, device="cuda"),
        ss.svds(a, 5, method="gram", device="cuda"),
        ss.randomized_svd(a, 5, device="cuda"),
    ):
        assert np.all(np.abs(result.s - sigma[:5]) <= result.errors + floor)
        assert result.U is not None
        assert result.Vt is not None
        assert isinstance(result.U, np.ndarray)
        assert "computed on cuda:0" in result.notes
        residual = a @ result.Vt.T - result.U * result.s
        assert np.all(np.linalg.norm(residual, axis=0) <= result.residuals + 1e-6 * sigma[0])
    every = ss.svdvals(a, device="cuda")
    assert np.all(np.abs(every.values - sigma) <= every.errors + floor)
    assert simulated.simulator.violation() == ""
    assert simulated.simulator.objects_in_use() == 0


@pytest.mark.slow
@pytest.mark.skipif(ss.show_config()["isa"] == "scalar", reason="sums are fused on the device")
@pytest.mark.parametrize("shape", [(300, 200), (180, 310)])
def test_float64_answers_have_the_bits_of_the_processor(shape: tuple[int, int]) -> None:
    """Searches of as many steps: a device checks convergence less often."""
    A, _ = known_spectra.exponential(*shape)
    for solver in (
        lambda **on: ss.svds(A, 6, tol=1e-3, block=32, max_passes=4, method="krylov", **on),
        lambda **on: ss.randomized_svd(A, 6, **on),
    ):
        host, device = solver(), solver(device="cuda")
        assert host.method == device.method != "Gram matrix"  # which cuBLAS sums in another order
        for name in ("U", "s", "Vt", "errors", "residuals", "fro_norm"):
            np.testing.assert_array_equal(getattr(device, name), getattr(host, name))
        assert device.passes == host.passes
    host, device = (ss.spectral_density(A, **on) for on in ({}, {"device": "cuda"}))
    for x in np.linspace(0, 1, 20):
        assert device.cdf(x) == pytest.approx(host.cdf(x), rel=1e-9)


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param("float32", marks=pytest.mark.slow),
        "mixed",
        "split",
        pytest.param("float64", marks=pytest.mark.slow),
    ],
)
def test_every_precision_agrees_with_the_processor(precision: str) -> None:
    A, _ = known_spectra.exponential(300, 200)
    a = A.astype(np.float32)
    block = 12 if ss.show_config()["tiles"] else 24  # there the Gram matrix costs less than 24
    host, device = (
        ss.svds(a, 6, precision=precision, method="krylov", block=block, **on)
        for on in ({}, {"device": "cuda"})
    )
    assert device.precision == host.precision == precision
    assert np.all(np.abs(device.s - host.s) <= device.errors + host.errors)


def least_memory(simulated: ModuleType, a: ss.Matrix, panel_rows: int) -> int:
    """Return the memory of a device that svds asks for, to less than the matrix takes."""
    for memory in range(24 << 20, 1 << 30, 64 << 10):
        simulated.simulator.restart(memory=memory)
        with contextlib.suppress(MemoryLimitError):
            ss.svds(a, 4, method="krylov", device="cuda", panel_rows=panel_rows)
            return memory
    raise AssertionError("svds refuses any memory")


@pytest.mark.slow
def test_no_order_seed_or_memory_changes_a_bit(simulated: ModuleType, tmp_path: Path) -> None:
    """Also of a matrix in a file, of which a panel at a time is on the device."""
    A, _ = known_spectra.polynomial(260, 90)
    a = A.astype(np.float32)
    (tmp_path / "numbers").write_bytes(a.tobytes())
    stored = ss.tensor(tmp_path / "numbers", 0, a.shape, "f32")
    expected = ss.svds(a, 4, method="krylov", device="cuda")
    least = least_memory(simulated, stored, panel_rows=128)
    for order, timing, memory, panel_rows, matrix in (
        ("forward", "eager", 2 << 30, None, stored),
        ("backward", "late", 2 << 30, 64, a),
        ("random", "random", least, 128, stored),
    ):
        simulated.simulator.restart(order=order, timing=timing, memory=memory, seed=7)
        result = ss.svds(matrix, 4, method="krylov", device="cuda", panel_rows=panel_rows)
        for name in ("U", "s", "Vt", "errors"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
        assert simulated.simulator.violation() == ""


@pytest.mark.slow
def test_any_call_of_the_runtime_may_fail_and_nothing_is_left(simulated: ModuleType) -> None:
    A, _ = known_spectra.exponential(24, 12)
    order: dict[str, Any] = {"timing": "random", "seed": 4}  # the same calls in each turn
    simulated.simulator.restart(**order)
    expected = ss.randomized_svd(A, 2, passes=1, device="cuda")
    calls = simulated.simulator.counts()["calls"]
    failed = 0
    for number in range(calls):
        simulated.simulator.restart(failing_call=number, **order)
        message = ""
        try:
            result = ss.randomized_svd(A, 2, passes=1, device="cuda")
            np.testing.assert_array_equal(result.s, expected.s)  # what failed was to free something
        except DeviceError as error:
            message = str(error)
            failed += 1
        assert not message or "memory" in message or "cuda" in message
        assert simulated.simulator.objects_in_use() == 0, number
        assert simulated.simulator.violation() == "", number
        assert simulated.simulator.last_error() == 0, number
    assert failed > calls / 3  # most of the others are calls that free


def test_a_small_device_is_refused_before_any_work(simulated: ModuleType) -> None:
    simulated.simulator.restart(memory=32 << 20)
    with pytest.raises(
        MemoryLimitError, match=r"needs .* on cuda:0, where a call may use 28.8 MiB"
    ):
        ss.svds(np.ones((300, 200)), 3, device="cuda")
    assert simulated.simulator.counts()["launches"] == 0


def test_no_gram_matrix_is_formed_that_the_device_has_no_room_for(simulated: ModuleType) -> None:
    a = ss.matrix(np.ones((1600, 1500)))

    def fits(memory: int) -> bool:
        simulated.simulator.restart(memory=memory)
        call = CallOptions.of(a, device="cuda", memory_limit="2GiB")
        return GramTriplets(a.shape, 3, 1e-4, 0).fits(CallMemory(a, call))

    assert fits(512 << 20)
    assert not fits(172 << 20)
    with pytest.raises(MemoryLimitError, match=r"the Gram matrix of 1600 x 1500 .* on cuda:0"):
        ss.svds(a, 3, method="gram", device="cuda", memory_limit="2GiB")
    assert simulated.simulator.counts()["launches"] == 0


def test_an_interrupted_call_leaves_nothing(simulated: ModuleType) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.svds(np.eye(300, 200), 3, device="cuda", progress=stop)
    assert simulated.simulator.objects_in_use() == 0
    assert simulated.simulator.violation() == ""


def test_what_has_no_device_says_so() -> None:
    A = np.ones((30, 20))
    with pytest.raises(DeviceError, match=r"'cuda:3' is not available \(available: cuda:0"):
        ss.svds(A, 3, device="cuda:3")
    with pytest.raises(DeviceError, match="not 'gpu'"):
        ss.svds(A, 3, device="gpu")


def test_not_finite_numbers_are_named(simulated: ModuleType) -> None:
    A = np.ones((30, 20))
    A[7, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"first at \(7, 3\)"):
        ss.svds(A, 3, device="cuda")
    assert simulated.simulator.objects_in_use() == 0


def test_waits_launches_and_bytes_of_a_step(simulated: ModuleType) -> None:
    """A matrix that fits is copied once; blocks stay on the device, small matrices come back."""
    A, _ = known_spectra.polynomial(400, 100)

    def counted(passes: int) -> dict[str, Any]:
        simulated.simulator.restart()
        ss.spectral_density(A, probes=10, passes=passes, device="cuda")
        counts: dict[str, Any] = simulated.simulator.counts()
        return counts

    few, more = counted(3), counted(6)
    steps = {name: (more[name] - few[name]) / 3 for name in few}
    assert few["bytes_to_device"] < 1.5 * A.nbytes
    assert steps["bytes_to_device"] < 0.1 * A.nbytes
    assert steps["bytes_to_host"] < 0.1 * A.nbytes
    assert steps["waits"] <= 3
    assert steps["launches"] <= 20
