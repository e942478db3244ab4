# SPDX-License-Identifier: BSD-3-Clause
"""Checks of every call before it works: arguments, memory, NaN and infinity."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.calls import CALLS, EVERY, SEEDED, Call

import sigmascope as ss
from sigmascope.errors import DeviceError, MemoryLimitError, NonFiniteError, SigmascopeError

A = ks.polynomial(50, 30)[0]

# -------------------------------------------------------------------------------- common options


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "cuda"}, DeviceError, r"device 'cuda' is not available"),
        ({"num_threads": 0}, ValueError, r"num_threads must be at least 1, not 0"),
        ({"num_threads": -2}, ValueError, r"num_threads must be at least 1, not -2"),
        ({"panel_rows": 0}, ValueError, r"panel_rows must be at least 1, not 0"),
        ({"memory_limit": "x"}, ValueError, r"memory_limit 'x' is not a size like '2GiB'"),
        ({"memory_limit": 0}, ValueError, r"memory_limit must be positive, not 0"),
        ({"no_such_option": 1}, TypeError, r"no_such_option"),
    ],
)
@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_common_options(
    call: Call, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(A, **options)


@pytest.mark.parametrize("call", SEEDED.values(), ids=SEEDED)
def test_precision_and_seed(call: Call) -> None:
    with pytest.raises(ValueError, match=r"precision must be one of .*float64, not 'float16'"):
        call(A, precision="float16")
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=rf"seed must be an integer .*, not {seed}"):
            call(A, seed=seed)
    with pytest.raises(TypeError, match=r"seed must be an integer .*, not 1\.5"):
        call(A, seed=1.5)
    call(A, seed=2**64 - 1)
    call(A, seed=np.int64(3))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_matrices_of_nothing_have_no_singular_values(call: Call, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"shape \({shape[0]}, {shape[1]}\)"):
        call(np.zeros(shape))


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_arrays_that_are_not_matrices_are_refused(call: Call) -> None:
    with pytest.raises(ValueError, match=r"2 dimensions.*\(3,\)"):
        call(np.ones(3))
    with pytest.raises(TypeError, match="complex128"):
        call(np.ones((3, 3), complex))
    with pytest.raises(ValueError, match=r"element \(0, 0\) is 9007199254740993, which float64"):
        call(np.full((3, 3), 2**53 + 1))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npy"):
        call("nowhere.npy")


# -------------------------------------------------------------------------------- each call's own


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ss.svds(A, 0), r"k = 0 must be between 1 and min\(m, n\) = 30"),
        (lambda: ss.svds(A, -3), r"k = -3 must be between 1"),
        (lambda: ss.svds(A, 31), r"k = 31 must be between 1 and min\(m, n\) = 30 of .*\(50, 30\)"),
        (lambda: ss.svds(A, 2, tol=0), r"tol must be positive, not 0"),
        (lambda: ss.svds(A, 2, tol=-1e-3), r"tol must be positive, not -0.001"),
        (lambda: ss.svds(A, 2, tol=np.nan), r"tol must be positive, not nan"),
        (lambda: ss.svds(A, 2, tol=np.inf), r"tol must be positive, not inf"),
        (lambda: ss.svds(A, 2, max_passes=0), r"max_passes must be positive, not 0"),
        (lambda: ss.svds(A, 2, method="qr"), r"'auto', 'krylov' or 'gram', not 'qr'"),
        (lambda: ss.svds(A, 2, block=0), r"block must be at least 1, not 0"),
        (lambda: ss.svds(A, 2, block=-4), r"block must be at least 1, not -4"),
        (
            lambda: ss.svds(A, 9, method="krylov", block=4, max_passes=2),
            r"max_passes = 2 blocks of 4 cannot hold k = 9",
        ),
        (lambda: ss.randomized_svd(A, 31), r"k = 31 must be between 1 and min\(m, n\) = 30"),
        (lambda: ss.randomized_svd(A, 2, passes=0), r"passes must be positive, not 0"),
        (lambda: ss.randomized_svd(A, 2, oversampling=-1), r"oversampling must be at least 0"),
        (lambda: ss.spectral_density(A, passes=0), r"passes must be positive, not 0"),
        (lambda: ss.spectral_density(A, probes=1), r"at least 2 probes, not 1"),
        (lambda: ss.spectral_density(A[:1]), r"at least 2 singular values.*\(1, 30\) has 1"),
        (
            lambda: ss.spectrum(A, effort="all"),
            r"effort must be one of top, density, exact, not 'all'",
        ),
        (lambda: ss.spectrum(A, k=0), r"k = 0 must be at least 1"),
        (lambda: ss.spectrum(A, tol=0), r"tol must be positive, not 0"),
        (lambda: ss.spectrum(A, max_passes=-1), r"max_passes must be positive, not -1"),
        (lambda: ss.set_num_threads(0), r"num_threads must be at least 1, not 0"),
    ],
)
def test_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ss.svds(A, 1.5),  # type: ignore[arg-type]
        lambda: ss.svds(A, "2"),  # type: ignore[arg-type]
        lambda: ss.svds(A, 2, tol="small"),  # type: ignore[arg-type]
        lambda: ss.svds(A, 2, max_passes=2.5, method="krylov"),  # type: ignore[arg-type]
        lambda: ss.randomized_svd(A, 1.5),  # type: ignore[arg-type]
        lambda: ss.spectrum(A, k=1.5),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_another_type(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        call()


def test_whatever_fits_into_the_shape_is_taken() -> None:
    several: list[Any] = [1, 30, np.int64(7)]
    for k in several:
        assert len(ss.svds(A, k).s) == k
    assert ss.svds(A, 2, block=1000, method="krylov").block == 30
    assert ss.spectrum(A, k=1000).k == 30
    B = ks.gaussian(300, 200)[0]
    assert ss.randomized_svd(B, 5, oversampling=0).block == 5
    for k, limit in ((79, 2), (97, 3), (99, 4)):  # the blocks of the fewest steps hold k vectors
        assert len(ss.svds(B, k, tol=0.1, method="krylov", max_passes=limit).s) == k


# -------------------------------------------------------------------------------- memory


def limit_of(memory_limit: Any) -> int:
    """Return the bytes that a plan takes a memory limit for."""
    limit: int = ss.scan({"A": A}, memory_limit=memory_limit, plan=True).options["memory_limit"]
    return limit


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2**31),
        ("500MB", 500 * 10**6),
        ("1.5g", 1_500_000_000),
        ("7", 7),
        (" 64 KiB ", 65536),
        (".5k", 500),
        ("3.tb", 3 * 10**12),
        (10**9, 10**9),
        (2.5e9, 2_500_000_000),
    ],
)
def test_memory_limits(text: Any, size: int) -> None:
    assert limit_of(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "-1",
        "",
        ".",
        "1.2.3",
        "2 gigs",
        "GiB",
        "1i",
        "nan",
        "inf",
        "0",
        "0.5",
        -1,
        0,
        0.5,
        "1e9",
    ],
)
def test_malformed_memory_limits_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="memory_limit"):
        ss.svds(A, 2, memory_limit=text)


def test_a_default_memory_limit_is_within_the_machine() -> None:
    assert 2**28 <= limit_of(None) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("free", "limit"), [(2**33, 2**32), (10**8, 2**28)])
def test_a_default_memory_limit_is_half_of_what_is_free(
    free: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.02)  # a reading of the free memory stands for half of that
    monkeypatch.setattr(os, "read", lambda *_: b"MemAvailable: %d kB" % (free // 2**10))
    assert limit_of(None) == limit


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda B, **o: ss.svdvals(B, **o), "svdvals of 400 x 300"),
        (lambda B, **o: ss.svds(B, 20, method="gram", **o), "the Gram matrix of 400 x 300"),
        (lambda B, **o: ss.svds(B, 20, **o), "the 20 largest singular values of 400 x 300"),
        (lambda B, **o: ss.randomized_svd(B, 20, **o), "5 blocks of 30 columns for 400 x 300"),
        (lambda B, **o: ss.spectral_density(B, **o), "12 blocks of 32 columns for 400 x 300"),
        (lambda B, **o: ss.spectrum(B, k=20, **o), "effort 'density' of 400 x 300"),
        (lambda B, **o: ss.spectrum(B, effort="exact", **o), "svdvals of 400 x 300"),
    ],
)
def test_memory_that_is_not_enough(call: Call, what: str) -> None:
    B = ks.gaussian(400, 300)[0]
    with pytest.raises(
        MemoryLimitError, match=rf"{what} needs .* [kM]iB( \(up to .*\))?, .* limit is 48.9 kiB"
    ) as info:
        call(B, memory_limit="50kB")
    assert isinstance(info.value, MemoryError)
    assert isinstance(info.value, SigmascopeError)
    call(B, memory_limit="50MB")


# -------------------------------------------------------------------------------- NaN, infinity


@pytest.mark.parametrize("dtype", [np.float64, np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nonfinite_entries_are_counted_and_located(call: Call, dtype: Any, tmp_path: Path) -> None:
    B = A.astype(np.float32)
    B[41, 3] = B[17, 29] = np.nan
    B[17, 8] = np.inf
    all_three = r"2 NaN and 1 infinite entries, the first at"
    for source, message in [
        (B.astype(dtype), rf"{all_three} \(17, 8\)"),
        (B.astype(dtype).T, rf"{all_three} \(3, 41\)"),
        (B.astype(dtype)[20:], r"1 NaN and 0 infinite entries, the first at \(21, 3\)"),
    ]:
        with pytest.raises(NonFiniteError, match=message):
            call(source)
    np.save(tmp_path / "B.npy", B)
    with pytest.raises(NonFiniteError, match=rf"{all_three} \(17, 8\)") as info:
        call(tmp_path / "B.npy", panel_rows=7)
    assert isinstance(info.value, ValueError)
    assert ss.moments(B).nan == 2  # which says the same and does not raise
