# SPDX-License-Identifier: BSD-3-Clause
"""Large Gram matrices on the simulated device: diagonalised where they were formed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.cuda_libraries import LEAST_ORDER, find_libraries_anew

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning, MemoryLimitError

pytestmark = pytest.mark.unsanitized

ORDER = LEAST_ORDER + 6
TALL = ORDER + 90
K = 4


@pytest.fixture(autouse=True)
def simulated(simulated: ModuleType) -> Iterator[ModuleType]:
    """Let the package see the simulated devices, and find the libraries anew."""
    find_libraries_anew()
    yield simulated
    find_libraries_anew()
    assert simulated.simulator.violation() == ""


@pytest.fixture(scope="module")
def decaying() -> tuple[NDArray[Any], NDArray[Any]]:
    """A matrix with singular values 1 / (1 + i), and these."""
    rng = np.random.default_rng(1)
    s = 1 / (1 + np.arange(float(ORDER)))
    U, V = (np.linalg.qr(rng.standard_normal((rows, ORDER)))[0] for rows in (TALL, ORDER))
    return (U * s) @ V.T, s


def copied(simulated: Any) -> tuple[int, int]:
    counts = simulated.simulator.counts()
    return counts["bytes_to_device"], counts["bytes_to_host"]


def test_only_values_of_a_gram_matrix_are_copied(simulated: Any) -> None:
    """Three numbers for each eigenvalue are copied, and those of each row from the survey."""
    A = np.random.default_rng(2).standard_normal((TALL, ORDER))
    simulated.simulator.restart()
    result = ss.svdvals(A, device="cuda")
    to_device, to_host = copied(simulated)
    assert to_device < A.nbytes + 8 * ORDER**2 // 8
    assert to_host < 8 * (3 * ORDER + 8 * TALL)
    expected = np.linalg.svd(A, compute_uv=False)
    assert np.all(np.abs(result.values - expected) <= result.errors)


@pytest.mark.slow
def test_eigenvectors_by_cusolver(simulated: Any, decaying: tuple[Any, Any]) -> None:
    """The triplets are within their bounds of a known spectrum, and of those of the processor."""
    A, s = decaying
    simulated.simulator.restart()
    result = ss.svds(A, K, method="gram", device="cuda")
    to_device, to_host = copied(simulated)
    assert to_device < A.nbytes + 8 * ORDER**2 // 8
    assert to_host < 8 * (3 * ORDER + (2 * K + 16) * (TALL + ORDER))
    assert result.method == "Gram matrix"
    assert result.notes[-2:] == (
        "cuBLAS 13.1.0 formed the Gram matrix",
        "cuSOLVER 12.0.4 computed the eigenvectors",
    )
    assert result.converged
    assert np.all(np.abs(result.s - s[:K]) <= result.errors)
    assert result.errors.max() < 1e-6
    defects = np.linalg.norm(A @ result.Vt.T - result.U * result.s, axis=0)
    assert np.all(defects <= result.residuals + 1e-14)
    host = ss.svds(A, K, method="gram")
    assert np.all(np.abs(result.s - host.s) <= result.errors + host.errors)
    np.testing.assert_allclose(np.abs(np.sum(result.Vt * host.Vt, axis=1)), 1, atol=1e-10)


@pytest.mark.slow
def test_vectors_of_other_values_are_noticed(simulated: Any, decaying: tuple[Any, Any]) -> None:
    """Eigenvectors have small residuals, whichever they are; the bounds remain valid."""
    A, s = decaying
    simulated.simulator.restart(solver_lost=1)
    with pytest.warns(ConvergenceWarning):
        result = ss.svds(A, K, method="gram", device="cuda", memory_limit="125MiB")
    assert not result.converged
    assert np.all(np.abs(result.s - s[:K]) <= result.errors)


@pytest.mark.slow
def test_no_order_of_threads_or_streams_changes_a_bit(
    simulated: Any, decaying: tuple[Any, Any]
) -> None:
    A, _ = decaying
    results = []
    for seed, timing in enumerate(("eager", "late")):
        simulated.simulator.restart(timing=timing, seed=seed)
        results.append(ss.svdvals(A, device="cuda").values)
    np.testing.assert_array_equal(*results)


@pytest.mark.slow
def test_the_memory_plan_counts_eigenvectors(simulated: Any, decaying: tuple[Any, Any]) -> None:
    """A device that has what the plan asks for is enough; one that has less is refused."""
    A, s = decaying
    simulated.simulator.restart(memory=64 << 20)
    with pytest.raises(MemoryLimitError, match=r"the Gram matrix of .* needs \d+ MiB") as error:
        ss.svds(A, K, method="gram", device="cuda")
    assert simulated.simulator.counts()["launches"] == 0
    needed = int(re.findall(r"needs (\d+) MiB", str(error.value))[0])
    assert needed > (3 * 8 * ORDER**2 >> 20)  # the matrix, and what cuSOLVER takes for vectors
    simulated.simulator.restart(memory=int(needed / 0.9 + 2) << 20)
    result = ss.svds(A, K, method="gram", device="cuda")
    assert result.notes[-1].endswith("computed the eigenvectors")
    assert np.all(np.abs(result.s - s[:K]) <= result.errors)
