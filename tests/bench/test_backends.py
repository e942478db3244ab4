# SPDX-License-Identifier: BSD-3-Clause
"""Every backend that is installed: its answers, its settings, and what it can do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.benchmark_processes import run_here

from sigmascope.bench import (
    BACKENDS,
    Answer,
    Backend,
    BenchmarkPlan,
    Source,
    compare,
    known_backends,
    select,
    synthetic,
)

K = 6


@pytest.fixture(params=["float32", "bfloat16"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """A matrix in memory and in its file, in one of two dtypes."""
    A = synthetic("decay", 120, 90, request.param).make(0)
    np.save(tmp_path / "a.npy", A.view(np.uint16) if request.param == "bfloat16" else A)
    return Source(A, tmp_path / "a.npy", 1)


def named(backends: Iterable[Backend]) -> list[Any]:
    """Return the names of backends as cases; Dask, whose import takes seconds, is slow."""
    marks = {"dask": [pytest.mark.slow]}
    return [pytest.param(backend.name, marks=marks.get(backend.name, [])) for backend in backends]


def only_installed(name: str) -> Backend:
    backend = next(backend for backend in BACKENDS if backend.name == name)
    status, reason = backend.absence
    if status:
        pytest.skip(f"{backend.title}: {status}; {reason}")
    return backend


def solved(backend: Backend, source: Source, seed: int, setting: dict[str, Any]) -> Answer:
    """Return the answer of a backend, which may warn of anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return backend.solve(source, K, seed, **setting)


def relative_error(s: NDArray[Any], exact: NDArray[Any]) -> float:
    """Return the largest relative error of values that are far above zero."""
    exact = exact[: len(s)]
    return float(np.max(np.abs(s.astype(np.float64) - exact) / exact))


@pytest.mark.parametrize("name", named(BACKENDS))
def test_the_top_of_its_ladders_is_accurate(name: str, source: Source) -> None:
    backend = only_installed(name)
    exact = np.linalg.svd(source.array.astype(np.float64), compute_uv=False)
    ladders = backend.ladders(K)
    for ladder in ladders if source.array.dtype == np.float32 else ladders[:1]:
        answer = solved(backend, source, 1, ladder[-1])
        assert relative_error(answer.s, exact) < 1e-4
        if not backend.vectors:
            assert answer.s.shape == (K,)
            continue
        assert answer.U is not None
        assert answer.Vt is not None
        assert answer.U.shape == (120, K)
        assert answer.Vt.shape == (K, 90)
        A = source.array.astype(np.float64)
        right = A @ answer.Vt.T - answer.U * answer.s
        left = A.T @ answer.U - answer.Vt.T * answer.s
        assert max(np.linalg.norm(R, axis=0).max() for R in (right, left)) < 3e-3 * answer.s[0]


@pytest.mark.parametrize(
    ("name", "setting"),
    [("numpy", {}), ("torch-svd", {}), ("scipy-arpack", {"tol": 0.0})],
    ids=["numpy", "torch", "arpack"],
)
def test_a_matrix_in_float64_keeps_its_digits(
    name: str, setting: dict[str, Any], tmp_path: Path
) -> None:
    A = np.random.default_rng(0).standard_normal((40, 30))
    answer = only_installed(name).solve(Source(A, tmp_path / "a.npy", 1), K, 0, **setting)
    assert relative_error(answer.s, np.linalg.svd(A, compute_uv=False)) < 1e-12


@pytest.mark.parametrize("name", named(backend for backend in BACKENDS if backend.random))
def test_a_seed_decides_the_answer(name: str, source: Source) -> None:
    backend = only_installed(name)
    setting = backend.ladders(K)[0][0]
    one, two = (solved(backend, source, 5, setting) for _ in range(2))
    assert np.array_equal(one.s, two.s)


def probed(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the probe of a backend finds that it can do."""
    run_here(monkeypatch)
    probe = BenchmarkPlan().run(only_installed(name), {"kind": "probe"}, cores=[0], timeout=9.0)
    (can,) = probe.every("can")
    return dict(can)


@pytest.mark.parametrize("name", ["ours", "ours-file"])
def test_ours_takes_everything_and_tells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    can = probed(name, monkeypatch)
    assert can == {"bfloat16": "float32", "float16": "float32", "tells": True}


def test_the_probe_finds_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    can = probed("scipy-arpack", monkeypatch)
    assert can == {"bfloat16": "", "float16": "float64", "tells": True}


@pytest.mark.parametrize("held", [True, False], ids=["held", "read in parts"])
def test_out_of_core_reads_the_file(held: bool, tmp_path: Path) -> None:
    """Also where it is so small that it is held."""
    extent = 60 if held else 600
    np.save(tmp_path / "a.npy", synthetic("decay", extent, extent).make(0))
    zeros = Source(np.zeros((extent, extent), dtype=np.float32), tmp_path / "a.npy", 1)
    answer = only_installed("ours-file").solve(zeros, K, 0, tol=1e-4)
    assert answer.s[0] == pytest.approx(1.0, rel=1e-3)


def test_select() -> None:
    usual = [b for b in BACKENDS if b.library is None or not b.library.missing()]
    assert select() == select(["ours", "all"]) == usual
    assert len(usual) == len(BACKENDS) or select(["all", "cuda"]) == list(BACKENDS)
    assert {b.name for b in select(["cuda"])} >= {"cupy", "ours-cuda", "torch-cuda-lowrank"}
    assert [b.name for b in select(["torch", "ours-file"])] == [
        "ours-file",
        "torch-lowrank",
        "torch-svd",
    ]
    assert {b.name for b in select([" scipy "])} == {
        "scipy-arpack",
        "scipy-propack",
        "scipy-lobpcg",
    }
    with pytest.raises(
        ValueError, match=r"unknown backend 'jax'; known: cuda, cuml, cupy, .*, all"
    ):
        select(["ours", "jax"])
    with pytest.raises(ValueError, match="give the name of at least one backend"):
        select([""])


def test_names_are_unique_and_every_one_says_how_to_install_it() -> None:
    names = [backend.name for backend in BACKENDS]
    assert len(set(names)) == len(names)
    assert select(["dask"])[0].install == "pip install 'dask[array]'"
    assert select(["cupy"])[0].install == "pip install 'cupy-cuda13x[ctk]'"
    assert select(["sklearn"])[0].install == "pip install scikit-learn"


TOY = """
import numpy as np
from sigmascope.bench import Answer, Backend


def solve(source, k, seed, **setting):
    U, s, Vt = np.linalg.svd(np.asarray(source.array, dtype=np.float64), full_matrices=False)
    return Answer(U[:, :k], s[:k], Vt[:k])


BACKEND = Backend("toy", "toy.svd", "toy", "toy", "toy", solve, lambda k: [[{}]], random=False)
"""


def package(folder: Path, target: str) -> Path:
    """A package of its own with a backend, as pip installs it."""
    (folder / "toy.py").write_text(TOY)
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sigmascope.backends]\ntoy = {target}\n")
    return folder


@pytest.fixture
def fresh() -> Iterator[None]:
    """Backends are looked for anew, before the test and after it."""
    known_backends.cache_clear()
    yield
    known_backends.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "here",
    [
        pytest.param(True, id="in this process"),
        pytest.param(False, id="in processes of its own", marks=pytest.mark.slow),
    ],
)
def test_a_backend_of_another_package(
    here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command lists, selects and runs the backend like any other."""
    if here:
        run_here(monkeypatch)
    package(tmp_path, "toy:BACKEND")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = BenchmarkPlan(k=3, accuracies=[1e-3], turns=1, threads=1)
    (entry,) = compare(synthetic("decay", 30, 20), plan, select(["toy"])).entries
    assert (entry.name, entry.version, entry.status) == ("toy", "1.0", "done")
    assert entry.stands(1e-3)
    assert select(["all"])[-1].name == "toy"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "toy:NOTHING",
            r"^backend 'toy' of the package toy \(toy:NOTHING\) cannot be imported: Attr",
        ),
        ("toy:solve", r"^backend 'toy' .* \(toy:solve\) is a function, not a Backend"),
        ("sigmascope.bench:BACKENDS", r"is a tuple, not a Backend"),
    ],
    ids=["nothing", "a function", "a tuple"],
)
def test_a_backend_that_cannot_be_used_is_named(
    target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, target)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=message):
        select(["numpy"])
