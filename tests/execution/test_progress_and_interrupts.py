# SPDX-License-Identifier: BSD-3-Clause
"""While a call runs: progress, Ctrl-C, threads of its own and of the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.calls import CALLS, EVERY, Call

import sigmascope as ss
from sigmascope.errors import NonFiniteError

A = ks.polynomial(50, 30)[0]

# -------------------------------------------------------------------------------- progress


@pytest.fixture
def in_a_file(tmp_path: Path) -> ss.Matrix:
    """Write a matrix of 3000 x 400 numbers into a file."""
    np.save(tmp_path / "A.npy", ks.llm(3000, 400)[0].astype(np.float32))
    return ss.matrix(tmp_path / "A.npy")


def test_progress_grows(in_a_file: ss.Matrix) -> None:
    for source in (in_a_file, np.asarray(in_a_file)):
        for limit in (None, in_a_file.nbytes):
            counts: list[int] = []
            result = ss.svds(
                source,
                20,
                method="krylov",
                memory_limit=limit,
                progress=counts.append,
                panel_rows=50,
            )
            assert counts == sorted(set(counts))
            assert all(isinstance(count, int) for count in counts)
            assert 0 < counts[0] <= 50 * 400 * 4  # told at once
            assert counts[-1] <= result.passes * in_a_file.nbytes


class TooLongError(Exception):
    """Raised by a progress callback."""


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_an_error_in_progress_ends_the_call(call: Call, in_a_file: ss.Matrix) -> None:
    def stop(done: int) -> None:
        raise TooLongError(done)

    for source in (in_a_file, np.asarray(in_a_file)):
        for options in ({}, {"memory_limit": "6MB", "num_threads": 3}):  # held, and read again
            with pytest.raises(TooLongError):
                call(source, progress=stop, **options)
    assert ss.svds(A, 1).converged  # nothing is left behind


INTERRUPTED_CALLS = {
    "svds": (
        "ss.svds(source, 900, tol=1e-12, method='krylov', max_passes=10**6, progress=progress)"
    ),
    "randomized_svd": "ss.randomized_svd(source, 60, passes=30, progress=progress)",
}
INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
import sigmascope as ss

A = np.random.default_rng(0).standard_normal((3000, 2000)).astype(np.float32)
np.save(sys.argv[1], A)
begun, sent, late = threading.Event(), threading.Event(), 0

def progress(done):
    global late
    late += sent.is_set()
    begun.set()

def interrupt():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
    sent.set()

threading.Thread(target=interrupt).start()
source = A if sys.argv[2] == "memory" else ss.matrix(sys.argv[1])
try:
    # far more work than a test may take
    {call}
    print("finished")
except KeyboardInterrupt:
    print("interrupted", late)
print(ss.svds(A[:50, :40], 2).converged)
"""


@pytest.mark.parametrize(
    ("call", "place"),
    [
        pytest.param(call, place, id=f"{name}-{place}", marks=[] if short else [pytest.mark.slow])
        for name, call in INTERRUPTED_CALLS.items()
        for place in ("memory", "file")
        for short in [(name, place) == ("svds", "file")]
    ],
)
def test_ctrl_c(call: str, place: str, tmp_path: Path) -> None:
    """The next look at the clock ends the call: there is no further report."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.replace("{call}", call), tmp_path / "A.npy", place],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted 0", "True"]


IGNORING = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]


@pytest.mark.slow
def test_ctrl_c_is_heard_by_tests_in_the_background() -> None:
    """A shell starts background jobs with SIGINT ignored, and what they start inherits that."""
    tests = [__file__, "-k", "test_ctrl_c and svds and file"]
    done = subprocess.run(
        [*IGNORING, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


DEAF = """
import os, signal
import numpy as np
import sigmascope as ss

assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
A = np.random.default_rng(0).standard_normal((300, 200))
events = []

def progress(done):
    events.append(done)
    os.kill(os.getpid(), signal.SIGINT)

result = ss.svds(A, 20, method="krylov", progress=progress)
assert events and result.converged
assert result.s.tobytes() == ss.svds(A, 20, method="krylov").s.tobytes()
assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
"""


def test_ctrl_c_that_is_ignored_changes_nothing() -> None:
    done = subprocess.run(
        [*IGNORING, sys.executable, "-c", DEAF], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# -------------------------------------------------------------------------------- threads, config


@pytest.fixture
def threads_as_they_were() -> Iterator[None]:
    """Set the number of threads back to the cores."""
    yield
    ss.set_num_threads(None)


@pytest.mark.usefixtures("threads_as_they_were")
def test_set_num_threads() -> None:
    expected = ss.svds(A, 3, method="krylov")
    assert expected.num_threads == len(os.sched_getaffinity(0))
    ss.set_num_threads(3)
    assert ss.show_config()["num_threads"] == 3
    for call in CALLS.values():
        assert getattr(call(A), "num_threads", 3) == 3
    assert ss.svds(A, 3, num_threads=2).num_threads == 2
    again = ss.svds(A, 3, method="krylov")
    assert (again.num_threads, again.s.tobytes()) == (3, expected.s.tobytes())
    with pytest.raises(ValueError, match="num_threads must be at least 1, not 0"):
        ss.set_num_threads(0)
    assert ss.show_config()["num_threads"] == 3
    ss.set_num_threads(None)
    assert ss.show_config()["num_threads"] == expected.num_threads


def test_show_config() -> None:
    config = ss.show_config()
    kinds = {
        "version": str,
        "isa": str,
        "vector_bits": int,
        "blas": str,
        "blas_core": str,
        "devices": list,
        "cuda": str,
        "num_threads": int,
    }
    for name, kind in kinds.items():
        assert isinstance(config[name], kind), name
    assert config["version"] == ss.__version__
    assert config["isa"] in ("scalar", "avx2", "avx512", "avx512bf16", "amx")
    assert "OpenBLAS" in config["blas"]
    assert config["devices"] == ss.available_devices()
    assert "cpu" in ss.available_devices()


def all_bits(source: Any, seed: int) -> list[bytes]:
    top = ss.svds(source, 8, method="krylov", block=8, seed=seed, num_threads=2)
    low = ss.randomized_svd(source, 5, seed=seed, num_threads=3)
    density = ss.spectral_density(source, passes=3, probes=4, seed=seed)
    parts: list[NDArray[Any] | None] = [*top, top.errors, *low, density.nodes, density.weights]
    parts += [ss.svdvals(source).values, ss.moments(source).row_norms, np.asarray(source)]
    return [np.asarray(part).tobytes() for part in parts]


def test_calls_from_several_threads_at_once(in_a_file: ss.Matrix) -> None:
    held = ss.matrix(ks.llm(300, 200)[0])
    jobs = [(source, seed) for seed in range(3) for source in (held, held.T, in_a_file[:500])]
    expected = [all_bits(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert list(pool.map(lambda job: all_bits(*job), jobs)) == expected


def test_an_error_in_one_thread_leaves_the_others_alone() -> None:
    bad = A.copy()
    bad[0, 0] = np.nan
    expected = ss.svds(A, 3, method="krylov").s.tobytes()

    def run(index: int) -> bool:
        if index % 2:
            with pytest.raises(NonFiniteError):
                ss.svds(bad, 3, method="krylov")
            return True
        return ss.svds(A, 3, method="krylov").s.tobytes() == expected

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(40)))


_NUMPY_THREADS = """
import ctypes
from importlib import import_module
from sigmascope._host.threads import set_numpy_threads
library = ctypes.CDLL(import_module("numpy.linalg._umath_linalg").__file__)
names = "scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_"
get = next((getattr(library, name) for name in names if hasattr(library, name)), None)
before = get() if get else 0
print(before, set_numpy_threads(1), get() if get else 0)
"""


def test_threads_of_numpy_are_set_where_they_can_be() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NUMPY_THREADS],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, known, after = done.stdout.split()
    assert (known, after) == (("True", "1") if before != "0" else ("False", "0"))
