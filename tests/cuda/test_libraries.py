# SPDX-License-Identifier: BSD-3-Clause
"""cuBLAS and cuSOLVER: found, opened, refused; Gram matrices and eigenvalues by simulated ones."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.cuda_builds import CPP, CUDA, WARNINGS, compiler
from tests.support.cuda_libraries import (
    LEAST_ORDER,
    all_libraries,
    eigenvalue_nbytes,
    find_libraries_anew,
    found_path,
)

import sigmascope as ss
from sigmascope.errors import DeviceError, MemoryLimitError

pytestmark = pytest.mark.unsanitized

Array = NDArray[np.float64]
HELP = re.escape("(of CUDA 13) is needed; pip install 'sigmascope[cuda]'")
ORDER = LEAST_ORDER + 6
"""Order of a matrix whose eigenvalues the device computes."""


@pytest.fixture(autouse=True)
def simulated(simulated: ModuleType) -> Iterator[ModuleType]:
    """Let the package see the simulated devices, and find the libraries anew."""
    find_libraries_anew()
    yield simulated
    find_libraries_anew()
    assert simulated.simulator.objects_in_use() == 0


def run(module: ModuleType, *, panel_rows: int = 0, stored: int = 0) -> dict[str, Any]:
    """Return the options of a native call on the device with both libraries."""
    paths = {"cublas": module.__file__, "cusolver": module.__file__}
    host = {"threads": 1, "load_bytes": 0, "progress": None, "panel_rows": panel_rows}
    return {"device": 0, "device_bytes": stored} | host | paths


def native(array: NDArray[Any]) -> Any:
    return ss.matrix(array).native


def symmetric(order: int, seed: int = 1) -> Array:
    square = np.random.default_rng(seed).standard_normal((order, order))
    return square + square.T


def test_versions(simulated: Any) -> None:
    assert simulated.cublas_version(simulated.__file__) == "13.1.0"
    assert simulated.cusolver_version(simulated.__file__) == "12.0.4"
    simulated.simulator.restart(cublas=131002, cusolver=120401)
    assert simulated.cublas_version(simulated.__file__) == "13.10.2"
    assert ss.show_config()["cuda"].startswith(
        "runtime 13.0, driver 13.0, cuBLAS 13.10.2, cuSOLVER 12.4.1: "
    )


@pytest.mark.parametrize(("library", "major"), [("cuBLAS", 13), ("cuSOLVER", 12)])
def test_a_library_that_cannot_be_used_says_what_helps(
    library: str, major: int, simulated: Any, tmp_path: Path
) -> None:
    version = getattr(simulated, f"{library.lower()}_version")
    for path, problem in (
        ("/absent/lib.so", rf"{library} does not open \(/absent/lib.so: cannot open"),
        (str(tmp_path), rf"{library} does not open \({tmp_path}"),
        (sys.modules["sigmascope._core"].__file__, r"\S*_core\S* has no function cu\w+Get\w+"),
    ):
        with pytest.raises(DeviceError, match=rf"^{problem}.*, {library} {major} {HELP}$"):
            version(path)
    simulated.simulator.restart(cublas=120401, cusolver=110703)
    wrong = rf"is {library} 1[12]\.[47]\.[13], {library} {major} {HELP}$"
    with pytest.raises(DeviceError, match=wrong):
        version(simulated.__file__)


def test_cuda_pathfinder_finds_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = []

    def load(name: str) -> SimpleNamespace:
        libraries.append(name)
        return SimpleNamespace(abs_path="/somewhere/libcublas.so.13")

    finder = SimpleNamespace(load_nvidia_dynamic_lib=load)
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(pathfinder=finder))
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", finder)
    assert found_path("cuBLAS") == "/somewhere/libcublas.so.13"
    assert libraries == ["cublas"]


def test_what_cuda_pathfinder_does_not_find_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise RuntimeError(f'Failure finding "lib{name}.so": No such file\n  and where it looked')

    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)  # which makes the import fail
    with pytest.raises(DeviceError, match=r"^cuda-pathfinder, which finds cuBLAS, is missing; pip"):
        found_path("cuBLAS")
    finder = SimpleNamespace(load_nvidia_dynamic_lib=load)
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(pathfinder=finder))
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", finder)
    wanted = r'^cuSOLVER is not installed \(Failure finding "libcusolver.so": No such file\); pip'
    with pytest.raises(DeviceError, match=wanted):
        found_path("cuSOLVER")


def test_without_libraries_the_answer_is_that_of_the_kernel(simulated: Any) -> None:
    """The kernel has the bits of the processor; the notes and the configuration say why."""
    A = np.random.default_rng(0).standard_normal((90, 40))
    by_cublas = ss.svdvals(A, device="cuda")
    assert "cuBLAS 13.1.0 formed the Gram matrix" in by_cublas.notes
    find_libraries_anew()
    simulated.simulator.restart(cublas=120401)
    result = ss.svdvals(A, device="cuda")
    reason = r"a slower kernel formed the Gram matrix: no cuBLAS \(.* is cuBLAS 12.4.1, .*\)"
    assert any(re.fullmatch(reason, note) for note in result.notes), result.notes
    assert "no cuBLAS (" in ss.show_config()["cuda"]
    assert np.all(np.abs(result.values - by_cublas.values) <= result.errors + by_cublas.errors)
    top = ss.svds(A, 3, method="gram", device="cuda")
    assert any(re.fullmatch(reason, note) for note in top.notes), top.notes


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 65), (1025, 33), (2500, 17), (2, 1500)])
def test_gram_matrices(shape: tuple[int, int], transposed: bool, simulated: Any) -> None:
    """Below and above the number of rows that are multiplied at once, and of bytes copied so."""
    A = np.random.default_rng(2).standard_normal(shape)
    stored = np.ascontiguousarray(A.T) if transposed else A
    result = simulated.gram(native(stored), transposed=transposed, **run(simulated))
    expected = np.tril(A.T @ A)
    bound = 4 * np.finfo(float).eps * shape[0] ** 0.5 * np.tril(np.abs(A).T @ np.abs(A))
    assert np.all(np.abs(np.tril(result) - expected) <= bound)
    assert simulated.simulator.violation() == ""


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_an_empty_matrix_has_a_gram_matrix_of_zeros(shape: tuple[int, int], simulated: Any) -> None:
    result = simulated.gram(native(np.ones(shape)), transposed=False, **run(simulated))
    np.testing.assert_array_equal(result, np.zeros((shape[1], shape[1])))


@pytest.mark.slow
@pytest.mark.parametrize("transposed", [False, True])
def test_no_height_of_a_panel_memory_or_order_changes_a_bit(
    transposed: bool, simulated: Any
) -> None:
    A = np.random.default_rng(3).standard_normal((2300, 21))
    stored = native(np.ascontiguousarray(A.T) if transposed else A)
    expected = simulated.gram(stored, transposed=transposed, **run(simulated))
    for seed, (order, timing, panel_rows, kept) in enumerate(
        (
            ("forward", "eager", 64, 0),
            ("backward", "late", 192, 1 << 20),
            ("random", "random", 1024, 0),
            ("random", "late", 1088, 1 << 20),
        )
    ):
        simulated.simulator.restart(order=order, timing=timing, seed=seed)
        options = run(simulated, panel_rows=panel_rows, stored=kept)
        result = simulated.gram(stored, transposed=transposed, **options)
        np.testing.assert_array_equal(np.tril(result), np.tril(expected))
        assert simulated.simulator.violation() == ""


@pytest.mark.parametrize("order", [1, 2, 63, 130])
def test_eigenvalues(order: int, simulated: Any) -> None:
    square = symmetric(order)
    for timing in ("eager", "late", "random"):
        simulated.simulator.restart(timing=timing)
        result = simulated.cusolver_eigenvalues(np.tril(square), index=0, path=simulated.__file__)
        expected = np.linalg.eigvalsh(square)
        assert np.all(np.abs(result - expected) <= 1e-14 * order**0.5 * np.abs(expected).max())
        assert simulated.simulator.violation() == ""


@pytest.mark.parametrize(("order", "k"), [(1, 1), (63, 5), (130, 130)])
def test_eigenvectors(order: int, k: int, simulated: Any) -> None:
    """The k largest, descending, of a matrix whose upper triangle is not read."""
    square = symmetric(order)
    for timing in ("eager", "late", "random"):
        simulated.simulator.restart(timing=timing)
        values, vectors = simulated.cusolver_eigenpairs(
            np.tril(square), k, index=0, path=simulated.__file__
        )
        expected = np.linalg.eigvalsh(square)[::-1][:k]
        bound = 1e-14 * order**0.5 * np.abs(np.linalg.eigvalsh(square)).max()
        assert np.all(np.abs(values - expected) <= bound)
        assert np.linalg.norm(square @ vectors - vectors * values, axis=0).max() <= 4 * bound
        assert np.abs(vectors.T @ vectors - np.eye(k)).max() <= 1e-13
        assert simulated.simulator.violation() == ""


@pytest.mark.parametrize("info", [7, -3])
def test_a_failed_solver_is_an_error_with_its_number(info: int, simulated: Any) -> None:
    simulated.simulator.restart(solver_info=info)
    wanted = f"cusolverDnXsyevd failed with info = {info} for a matrix of order 9; device='cpu'"
    with pytest.raises(DeviceError, match=re.escape(wanted)):
        simulated.cusolver_eigenvalues(symmetric(9), index=0, path=simulated.__file__)
    with pytest.raises(DeviceError, match=re.escape(wanted)):
        simulated.cusolver_eigenpairs(symmetric(9), 2, index=0, path=simulated.__file__)


@pytest.mark.parametrize("scale", [1 + 1e-6, -1.0, np.nan, 0.0])
def test_wrong_eigenvalues_are_noticed(scale: float, simulated: Any) -> None:
    simulated.simulator.restart(solver_scale=scale)
    with pytest.raises(DeviceError, match=r"eigenvalues are wrong: their sum is .*must be"):
        simulated.cusolver_eigenvalues(symmetric(9), index=0, path=simulated.__file__)
    with pytest.raises(DeviceError, match=r"eigenvalues are wrong: their sum is .*must be"):
        simulated.cusolver_eigenpairs(symmetric(9), 2, index=0, path=simulated.__file__)


def test_every_value_by_both_libraries(simulated: Any) -> None:
    """The values are within the stated bounds of a float64 reference."""
    A = np.random.default_rng(4).standard_normal((ORDER + 200, ORDER))
    result = ss.svdvals(A, device="cuda")
    expected = np.linalg.svd(A, compute_uv=False)
    assert np.all(np.abs(result.values - expected) <= result.errors)
    assert result.notes[-2:] == (
        "cuBLAS 13.1.0 formed the Gram matrix",
        "cuSOLVER 12.0.4 computed the eigenvalues",
    )
    assert simulated.simulator.violation() == ""
    simulated.simulator.restart(solver_info=1)
    least = LEAST_ORDER
    with pytest.raises(DeviceError, match=f"info = 1 for a matrix of order {least}"):
        ss.svdvals(A[:, :least], device="cuda")


def test_the_processor_solves_what_cusolver_does_not(simulated: Any) -> None:
    """A small matrix, and a large one where the library is missing."""
    nbytes = partial(simulated.cusolver_bytes, 0, simulated.__file__, vectors=False)
    assert nbytes(LEAST_ORDER - 1) == 0
    assert nbytes(LEAST_ORDER) > 0
    simulated.simulator.restart(cusolver=110000, solver_info=1)
    find_libraries_anew()
    result = ss.svdvals(np.diag(np.arange(ORDER, 0.0, -1)), device="cuda")
    np.testing.assert_allclose(result.values, np.arange(ORDER, 0.0, -1), atol=1e-3)
    assert re.fullmatch(
        r"the CPU computed the eigenvalues: no cuSOLVER \(.* is cuSOLVER 11.0.0, .*\)",
        result.notes[-1],
    )
    simulated.simulator.restart(solver_info=1)
    find_libraries_anew()
    small = ss.svdvals(np.diag([3.0, 2.0, 1.0]), device="cuda")
    np.testing.assert_allclose(small.values, [3, 2, 1])


@pytest.mark.slow
def test_the_memory_plan_counts_what_the_libraries_take(simulated: Any) -> None:
    """A device that has what the plan asks for is enough; one that has less is refused."""
    A = np.random.default_rng(5).standard_normal((ORDER + 300, ORDER))
    simulated.simulator.restart(memory=32 << 20)
    with pytest.raises(MemoryLimitError, match=r"svdvals of .* needs \d+ MiB on cuda:0") as error:
        ss.svdvals(A, device="cuda")
    assert simulated.simulator.counts()["launches"] == 0
    needed = int(re.findall(r"needs (\d+) MiB", str(error.value))[0])
    own = (8 * ORDER**2 >> 20) + 32 + (8 * 1024 * ORDER >> 20)  # squares, workspace, rows
    assert needed > own
    simulated.simulator.restart(memory=int(needed / 0.9 + 2) << 20)
    result = ss.svdvals(A, device="cuda")
    assert result.notes[-1].startswith("cuSOLVER")
    simulated.simulator.restart(memory=int(needed / 0.9 - 2) << 20)
    with pytest.raises(MemoryLimitError, match="svdvals of"):
        ss.svdvals(A, device="cuda")


def test_the_memory_plan_counts_the_sums_of_the_kernel(simulated: Any) -> None:
    """Squares of sums: of two unfinished groups, and of the two that 1300 rows have.

    cuBLAS takes a workspace and rows instead.
    """
    order = 1000
    A = np.zeros((1300, order))

    def needed() -> float:
        find_libraries_anew()
        with pytest.raises(MemoryLimitError, match=r"svdvals of .* needs [\d.]+ MiB") as error:
            ss.svdvals(A, device="cuda")
        return float(re.findall(r"needs ([\d.]+) MiB", str(error.value))[0])

    simulated.simulator.restart(memory=8 << 20)
    by_cublas = needed()
    simulated.simulator.restart(memory=8 << 20, cublas=120401)
    more = 4 * 8 * order**2 - (32 << 20) - 8 * 1024 * order
    assert needed() - by_cublas == pytest.approx(more / 2**20, abs=1)


def test_the_bound_counts_the_sums_of_1024_rows_each(simulated: Any) -> None:
    """Where rows repeat, each addition to an element of A^T A may err by half a unit, 2^-54."""
    few, many = (ss.svdvals(np.ones((rows, 1)), device="cuda") for rows in (1000, 40_000))
    assert "cuBLAS" in many.notes[-1]
    more = many.errors[0] / many.values[0] - few.errors[0] / few.values[0]
    assert more == pytest.approx(40_000 // 1024 * 2.0**-54 / 2, rel=0.25, abs=0)


def test_cusolver_is_asked_once_for_its_memory(simulated: Any) -> None:
    """A plan of a scan asks for each matrix."""
    opened = all_libraries()
    simulated.simulator.restart()
    assert eigenvalue_nbytes(0, LEAST_ORDER - 1, opened) == 0
    assert simulated.simulator.counts()["calls"] == 0
    needed = [eigenvalue_nbytes(0, ORDER, opened)]
    call_count = simulated.simulator.counts()["calls"]
    needed.append(eigenvalue_nbytes(0, ORDER, opened))
    assert simulated.simulator.counts()["calls"] == call_count > 0
    assert needed == [simulated.cusolver_bytes(0, simulated.__file__, ORDER, vectors=False)] * 2
    vectors = eigenvalue_nbytes(0, ORDER, opened, vectors=True)
    assert vectors >= needed[0] + 8 * ORDER**2


@pytest.mark.slow
@pytest.mark.parametrize("failure", [2, 719])
def test_any_call_may_fail_and_nothing_is_left(failure: int, simulated: Any) -> None:
    A = np.random.default_rng(6).standard_normal((20, 6))
    square = symmetric(8)

    def gram() -> Array:
        return np.tril(simulated.gram(native(A), transposed=False, **run(simulated)))

    def eigenvalues() -> Array:
        values: Array = simulated.cusolver_eigenvalues(square, index=0, path=simulated.__file__)
        return values

    def eigenvectors() -> Array:
        _, vectors = simulated.cusolver_eigenpairs(square, 3, index=0, path=simulated.__file__)
        return np.asarray(vectors)

    works: list[tuple[Callable[[], Array], str]] = [
        (gram, "cublas"),
        (eigenvalues, "cusolver"),
        (eigenvectors, "cusolver"),
    ]
    for work, name in works:
        order: dict[str, Any] = {"timing": "random", "seed": 4}  # the same calls in each turn
        simulated.simulator.restart(**order)
        expected = work()
        named = set()
        for number in range(simulated.simulator.counts()["calls"]):
            simulated.simulator.restart(failing_call=number, failure=failure, **order)
            try:
                np.testing.assert_array_equal(work(), expected)  # a destructor's call failed
            except DeviceError as error:
                named.add(str(error).partition(":")[0])
            assert simulated.simulator.objects_in_use() == 0, number
            assert simulated.simulator.violation() == "", number
            assert simulated.simulator.last_error() == 0, number
        own = {call for call in named if call.startswith(name)}
        assert own == (
            {"cublasCreate", "cublasSetStream", "cublasSetWorkspace", "cublasSetMathMode"}
            | {"cublasDsyrk"}
            if name == "cublas"
            else {"cusolverDnCreate", "cusolverDnCreateParams", "cusolverDnSetStream"}
            | {"cusolverDnSetMathMode", "cusolverDnXsyevd_bufferSize", "cusolverDnXsyevd"}
        )
        assert "a wait for a stream" in named


def test_our_declarations_are_those_of_the_headers() -> None:
    """Where the wheels of cuBLAS, cuSOLVER and the runtime are installed."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec and spec.submodule_search_locations) or []
    folders = [Path(place) / "cu13" / "include" for place in places]
    needed = ("cublas_v2.h", "cusolverDn.h", "cuda_runtime_api.h", "crt/host_defines.h")
    include = next((f for f in folders if all((f / name).exists() for name in needed)), None)
    if include is None or compiler() is None:
        pytest.skip("needs a compiler and the headers of cuBLAS and cuSOLVER")
    command = [compiler() or "g++", "-std=c++20", *WARNINGS, "-fsyntax-only", f"-I{CUDA}"]
    command += [f"-I{CPP}", "-isystem", str(include)]
    source = Path(__file__).with_name("library_headers.cpp")
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
