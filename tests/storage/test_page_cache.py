# SPDX-License-Identifier: BSD-3-Clause
"""Pages that reading leaves in the cache, on ordinary and on strange systems."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.checkpoints import Stored, header_of, of_array, write_file
from tests.support.page_cache import drop, resident
from tests.support.reading_modes import READINGS

import sigmascope as ss


def numbers(m: int, n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((m, n)).astype(np.float32)


# --------------------------------------------------------------------------------- the page cache

MB = 10**6


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 MB, cold: tall, wide, scaled, in rows that are not copies of each other."""
    some = np.random.default_rng(0).standard_normal(1_000_003).astype(np.float32)

    def tensor(name: str, dtype: str, kind: Any, *shape: int) -> Stored:
        return of_array(name, dtype, np.resize(some.astype(kind), shape))

    path = write_file(
        tmp_path_factory.mktemp("large") / "large.safetensors",
        Stored("norm", "F32", (7,)),
        tensor("tall", "BF16", ml_dtypes.bfloat16, 20_000, 2048),
        tensor("wide", "BF16", ml_dtypes.bfloat16, 1024, 40_000),
        tensor("codes", "F8_E4M3", ml_dtypes.float8_e4m3fn, 8192, 4096),
        of_array("codes_scale_inv", "F32", np.ones((64, 32), np.float32)),
    )
    assert path.stat().st_size > 190 * MB
    drop(path)
    if resident(path) > MB:
        path.unlink()
        pytest.skip("this file system lets no page go")
    return path


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("limit", [pytest.param("1GiB", marks=pytest.mark.nightly), "128MiB"])
def test_a_scan_past_the_cache_leaves_nothing_there(large: Path, limit: str) -> None:
    drop(large)
    scan = ss.scan(large, effort="top", k=2, tol=0.1, memory_limit=limit, reading="uncached")
    assert [row["status"] for row in scan.analysed] == ["analysed"] * 3
    assert resident(large) < MB


def test_a_buffered_read_does(large: Path) -> None:
    """Or the test above would see nothing."""
    drop(large)
    ss.open_checkpoint(large)["tall"].load()
    assert resident(large) > 75 * MB
    drop(large)


@pytest.mark.parametrize(
    "use",
    [
        lambda a: a.load(),
        lambda a: ss.moments(a),
        lambda a: a @ np.ones(a.shape[1]),
        lambda a: a[:, 100:130].load(),  # short runs, which come through the cache
        lambda a: a[:, : a.shape[1] // 3].load(),
        lambda a: np.asarray(a.T[5:6]),
        lambda a: pickle.loads(pickle.dumps(a)).load(),
    ],
    ids=["load", "panels", "product", "short runs", "runs", "column", "pickled"],
)
@pytest.mark.parametrize("name", ["tall", "wide", "codes"])
def test_no_use_leaves_anything(large: Path, name: str, use: Callable[[ss.Matrix], object]) -> None:
    drop(large)
    use(ss.open_checkpoint(large, reading="uncached")[name])
    assert resident(large) < MB


@pytest.mark.parametrize("reading", READINGS)
def test_headers_and_scales_read_nothing_ahead(large: Path, reading: str) -> None:
    drop(large)
    header_of(large)
    assert 0 < resident(large) < 100_000
    checkpoint = ss.open_checkpoint(large, reading=reading)
    checkpoint["codes"]
    assert resident(large) < 100_000


def settled(path: Path) -> int:
    """Resident bytes, once what the system reads ahead by itself has arrived."""
    before, now = -1, resident(path)
    while now != before:
        time.sleep(0.2)
        before, now = now, resident(path)
    return now


def test_what_others_keep_warm_stays_warm(large: Path) -> None:
    """Where the file system reads past the cache: elsewhere pages are dropped as they are read."""
    try:
        os.close(os.open(large, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no O_DIRECT")

    def stays_warm() -> bool:
        drop(large)
        for _ in range(2):  # pages that were used once are the first that a busy system takes back
            ss.open_checkpoint(large)["tall"].load()
        warm = settled(large)
        ss.open_checkpoint(large, reading="uncached")["tall"].load()
        return warm > 0 and resident(large) == warm

    # A system short of memory takes pages back by itself at times; we would do it every time.
    assert any(stays_warm() for _ in range(5))
    drop(large)


# -------------------------------------------------------------------------------- strange systems

_STRANGE = """
import ctypes, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import numpy as np
import sigmascope as ss
from tests.support.page_cache import drop, resident

path = Path({path!r})
codes = np.fromfile(path, np.float32)[1:].reshape(-1, 1000)
drop(path)
a = ss.tensor(path, 4, codes.shape, "f32", reading="uncached")
for lazy, exact in [(a, codes), (a[3:, 7:9], codes[3:, 7:9]), (a[1:, :400], codes[1:, :400])]:
    assert np.asarray(lazy).tobytes() == np.ascontiguousarray(exact).tobytes()
    assert lazy.load() @ np.ones(lazy.shape[1]) is not None
results = [np.asarray(ss.svdvals(x, memory_limit="40MB")) for x in (a, codes)]
assert results[0].tobytes() == results[1].tobytes()
del a, lazy
assert resident(path) < 10**6 or {warm}, resident(path)
assert ctypes.c_long.in_dll(ctypes.CDLL({shim!r}), "strange_events").value > 0
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    source = Path(__file__).parent / "strange_files" / "strange_files.cpp"
    library = tmp_path_factory.mktemp("shim") / "strange_files.so"
    flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-ldl", "-o", str(library)], check=True)
    return library


@pytest.mark.slow
@pytest.mark.unsanitized  # a sanitizer must be the first that is preloaded
@pytest.mark.parametrize("strange", ["open", "read", "short"])
def test_systems_that_refuse_and_interrupt(strange: str, shim: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"four" + numbers(6000, 1000).tobytes())  # more than two reads
    drop(path)
    script = _STRANGE.format(
        root=str(Path(__file__).parents[2]),
        path=str(path),
        shim=str(shim),
        warm=resident(path) > MB,  # no file system can be made to let go of its pages
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LD_PRELOAD": str(shim), "STRANGE": strange},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def test_a_file_on_tmpfs() -> None:
    """Where the page cache is all there is, whether or not O_DIRECT is refused."""
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK):
        pytest.skip("no /dev/shm on this machine")
    path = folder / f"sigmascope-test-{os.getpid()}"
    try:
        codes = numbers(1000, 100)
        path.write_bytes(b"odd" + codes.tobytes())
        a = ss.tensor(path, 3, codes.shape, "f32", reading="uncached")
        assert np.asarray(a).tobytes() == codes.tobytes()
        assert np.asarray(a[:, 7:9]).tobytes() == codes[:, 7:9].tobytes()
    finally:
        path.unlink(missing_ok=True)
