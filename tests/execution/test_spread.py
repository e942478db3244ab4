# SPDX-License-Identifier: BSD-3-Clause
"""One matrix spread over workers: the same bits whoever they are, and the truth."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import known_spectra as ks
from tests.support.calls import CALLS, EVERY, Call
from tests.support.coverings import grid
from tests.support.executors import Shuffling
from tests.support.spread_matrices import SHAPES, blocks_of, cut_finely, in_file, numbers
from tests.support.streams import bits as sketch_bits

import sigmascope as ss
from sigmascope.errors import CheckpointError, MemoryLimitError, NonFiniteError
from sigmascope.results import Density, SingularValues, Spectrum
from sigmascope.streaming import Sketch

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the matrices of every test into several blocks."""
    cut_finely(monkeypatch)


@pytest.fixture(scope="module")
def processes() -> Iterator[dict[int, Executor]]:
    """Start pools of one and of three processes that share nothing with this one."""
    context = multiprocessing.get_context("spawn")
    pools: dict[int, Executor] = {n: ProcessPoolExecutor(n, mp_context=context) for n in (1, 3)}
    yield pools
    for pool in pools.values():
        pool.shutdown()


def lapack(a: ss.Matrix) -> Any:
    return np.linalg.svd(np.asarray(a, np.float64), compute_uv=False)


# -------------------------------------------------------------------------------------- the cut


@given(st.integers(1, 2**24), st.integers(1, 2**17))
def test_blocks_are_fixed_by_the_shape_and_neither_many_nor_thin(m: int, n: int) -> None:
    cuts = blocks_of((m, n))
    assert [i0 for i0, _ in cuts] == [0, *(i1 for _, i1 in cuts[:-1])]
    assert cuts[-1][1] == m
    assert all((i1 - i0) % 256 == 0 for i0, i1 in cuts[:-1])
    assert len({i1 - i0 for i0, i1 in cuts[:-1]}) <= 1
    assert len(cuts) <= 64 or (cuts[0][1] - 256) * n <= 2**26


# ------------------------------------------------------------------------------------- the bits


@grid(call=EVERY, shape=SHAPES)
@pytest.mark.unsanitized
def test_no_bit_depends_on_the_workers(
    call: Call, shape: tuple[int, int], tmp_path: Path, processes: dict[int, Executor]
) -> None:
    a = in_file(tmp_path, shape)
    wanted = numbers(call(a, executor=Shuffling(0)))
    assert numbers(call(a, executor=Shuffling(1))) == wanted
    every = shape == SHAPES["tall"]
    for threads in (1, 2, 4) if every else (2,):
        with ThreadPoolExecutor(threads) as pool:
            assert numbers(call(a.load(), executor=pool, num_threads=threads)) == wanted
    for size in (1, 3) if every else (3,):
        assert numbers(call(a, executor=processes[size])) == wanted


@grid(precision=["mixed", "float32", "float64"], shape=SHAPES)
def test_precisions_and_panels(shape: tuple[int, int], precision: str, tmp_path: Path) -> None:
    a = in_file(tmp_path, shape, np.float32)
    sigma = lapack(a)
    results = [
        ss.svds(
            a,
            12,
            tol=1e-4,
            method="krylov",
            precision=precision,
            panel_rows=p,
            executor=Shuffling(p),
        )
        for p in (7, 1000)
    ]
    assert numbers(results[0]) == numbers(results[1])
    floor = 2e-14 if precision == "float64" else 3e-6
    assert results[0].converged
    assert np.all(np.abs(results[0].s - sigma[:12]) <= results[0].errors + floor * sigma[0])


# ------------------------------------------------------------------------------------ the truth


@grid(call=CALLS, shape=SHAPES)
def test_it_says_what_one_process_says(call: Call, shape: tuple[int, int], tmp_path: Path) -> None:
    """Every value and measure within the errors that both state."""
    a = in_file(tmp_path, shape)
    spread, alone = call(a, executor=Shuffling()), call(a)
    if isinstance(spread, Spectrum):
        for name, measure in spread.measures.items():
            if name in alone.measures and np.isfinite(measure.error):
                other = alone[name]
                allowed = 5 * (measure.error + other.error)  # some are standard errors
                assert abs(measure.value - other.value) <= allowed + 1e-5 * abs(other.value) + 1e-12
        assert spread.moments.abs_max == alone.moments.abs_max
    elif isinstance(spread, Density):
        assert spread.fro_norm == pytest.approx(alone.fro_norm, rel=1e-14)
    else:
        values = np.asarray(spread if isinstance(spread, SingularValues) else spread.s)
        sigma = lapack(a)[: len(values)]
        assert np.all(np.abs(values - sigma) <= spread.errors + 3e-6 * sigma[0])
        assert spread.fro_norm == pytest.approx(alone.fro_norm, rel=1e-14)


def test_sums_of_workers_have_their_share_of_the_bound(tmp_path: Path) -> None:
    """Half a rounding of each, since all may err alike: of 65 beyond those in the constant."""
    a = in_file(tmp_path, (1400, 60))
    result = ss.svdvals(a, executor=Shuffling())
    of_eigenvalues = 2e-14 + 65 * 2.0**-54
    assert result.floor == pytest.approx(np.sqrt(of_eigenvalues) * result.values[0], rel=1e-6)


def test_vectors_come_back_on_their_sides(tmp_path: Path) -> None:
    for shape in SHAPES.values():
        a = in_file(tmp_path, shape)
        dense = np.asarray(a, np.float64)
        for method in ("krylov", "gram"):
            U, s, Vt = ss.svds(a, 5, method=method, executor=Shuffling())
            assert U is not None
            assert Vt is not None
            assert U.shape == (shape[0], 5)
            assert np.abs(dense @ Vt.T - U * s).max() < 1e-3 * s[0]
            assert np.abs(U.T @ U - np.eye(5)).max() < 1e-5


def lazy_matrices(folder: Path) -> Iterator[ss.Matrix]:
    """fp8 with scales by blocks; shards in two files; a difference of checkpoints; a transpose."""
    rng = np.random.default_rng(5)
    codes = rng.standard_normal((1100, 300)).astype(ml_dtypes.float8_e4m3fn)
    (folder / "codes").write_bytes(codes.tobytes())
    scales = rng.uniform(0.01, 4.0, (9, 3)).astype(np.float32)
    yield ss.tensor(
        folder / "codes", 0, codes.shape, "f8_e4m3", scale=scales, scale_block=(128, 128)
    )
    top, bottom = (in_file(folder, shape) for shape in ((700, 320), (650, 320)))
    yield ss.vstack([top, bottom])
    yield ss.hstack([top.T, bottom.T])
    before = in_file(folder, (900, 310), np.float32)
    after = np.asarray(before) + 1e-4 * rng.standard_normal(before.shape).astype(np.float32)
    np.save(folder / "after.npy", np.asfortranarray(after))  # by columns
    yield ss.matrix(folder / "after.npy") - before
    yield (in_file(folder, (300, 1200)) * -3.0)[10:, 7:].T


def test_any_lazy_matrix_of_files(tmp_path: Path, processes: dict[int, Executor]) -> None:
    for a in lazy_matrices(tmp_path):
        sigma = lapack(a)
        result = ss.svds(a, 8, method="krylov", executor=processes[3])
        assert result.converged
        assert np.all(np.abs(result.s - sigma[:8]) <= result.errors + 1e-12 * sigma[0])
        every = ss.svdvals(a, executor=processes[3])
        assert np.all(np.abs(every.values - sigma) <= every.errors + 1e-12 * sigma[0])


@pytest.mark.parametrize("scale", [0.0, 1e-35, 1e35])
def test_extreme_scales(scale: float, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", (ks.polynomial(700, 80)[0] * scale).astype(np.float32))
    a = ss.matrix(tmp_path / "a.npy")
    sigma = lapack(a)
    result = ss.svds(a, 10, method="krylov", executor=Shuffling())
    assert result.converged
    assert np.all(np.abs(result.s - sigma[:10]) <= result.errors + 1e-12 * sigma[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_moments_are_merged_exactly(shape: tuple[int, int], tmp_path: Path) -> None:
    """Also where blocks differ in mean, and some hold nothing finite."""
    rng = np.random.default_rng(1)
    values = rng.gamma(2.0, size=shape) + 50 * (np.arange(shape[0]) // 300)[:, None]
    values[:, : shape[1] // 3] -= 20
    long = values if shape[0] >= shape[1] else values.T
    long[256:512] = np.nan
    long[600, 3], long[601, 2], long[5] = np.inf, -np.inf, 0.0
    np.save(tmp_path / "a.npy", values.astype(np.float16))
    a = ss.matrix(tmp_path / "a.npy")
    spread, alone = ss.moments(a, executor=Shuffling()), ss.moments(a)
    for name in ("count", "zeros", "nan", "inf", "first_nonfinite", "min", "max", "abs_max"):
        assert getattr(spread, name) == getattr(alone, name)
    for name in ("mean", "std", "skewness", "kurtosis", "fro_norm"):
        assert getattr(spread, name) == pytest.approx(getattr(alone, name), rel=1e-11), name
    np.testing.assert_array_equal(spread.histogram, alone.histogram)
    np.testing.assert_allclose(spread.row_norms, alone.row_norms, rtol=1e-13)
    np.testing.assert_allclose(spread.column_norms, alone.column_norms, rtol=1e-13)


@pytest.mark.parametrize("tiny", [slice(256), slice(512, None)], ids=["first", "last"])
def test_rows_of_a_block_of_tiny_numbers_have_their_norms(tiny: slice, tmp_path: Path) -> None:
    """Their squares underflow, and those of other blocks do not."""
    values = np.random.default_rng(2).standard_normal((700, 90))
    norms = np.linalg.norm(values, axis=1)
    for each in (values, norms):
        each[tiny] *= 1e-200
    np.save(tmp_path / "a.npy", values)
    moments = ss.moments(tmp_path / "a.npy", executor=Shuffling())
    np.testing.assert_allclose(moments.row_norms, norms, rtol=1e-13)


def test_moments_of_nothing_finite(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((600, 4), np.nan))
    a = ss.matrix(tmp_path / "a.npy")
    spread, alone = ss.moments(a, executor=Shuffling()), ss.moments(a)
    assert (spread.count, spread.nan, spread.max) == (alone.count, alone.nan, alone.max)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_is_not_finite_is_located(shape: tuple[int, int], tmp_path: Path) -> None:
    values = ks.gaussian(*shape)[0]
    places = [(shape[0] - 1, 3), (200, shape[1] - 2), (201, 0)]
    for place in places:
        values[place] = np.nan
    values[150, 220] = np.inf
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(NonFiniteError) as alone:
        ss.svds(tmp_path / "a.npy", 2)
    with pytest.raises(NonFiniteError) as spread:
        ss.svds(tmp_path / "a.npy", 2, executor=Shuffling())
    assert str(spread.value) == str(alone.value)
    assert "(150, 220)" in str(alone.value)


def test_squares_beyond_the_range(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((600, 4), 1e200))
    result = ss.svds(tmp_path / "a.npy", 2, executor=Shuffling())
    np.testing.assert_allclose(result.s, [1e200 * 2400**0.5, 0.0], rtol=1e-12, atol=1e188)


# ----------------------------------------------------------------------------------- the tasks


def test_tasks_carry_places_and_no_numbers(tmp_path: Path) -> None:
    executor = Shuffling()
    a = in_file(tmp_path, SHAPES["tall"])
    result = ss.svds(a, 4, method="krylov", precision="mixed", executor=executor)
    assert executor.largest_part < 1000
    blocks = len(blocks_of(a.shape))
    assert blocks > 4
    assert len(executor.verbs) == result.passes * blocks
    assert set(executor.verbs) <= {"survey", "steer", "step", "gram"}


def test_a_worker_has_one_thread_or_as_many_as_the_call_says(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    for num_threads, of_each in ((None, 1), (3, 3)):
        executor = Shuffling()
        ss.moments(a, executor=executor, num_threads=num_threads)
        assert executor.threads == {of_each}


def test_a_matrix_in_memory_is_for_threads_alone() -> None:
    A = ks.llm(700, 90)[0].astype(np.float32)
    with ThreadPoolExecutor(2) as pool:
        result = ss.svds(A, 4, executor=pool)
    assert np.all(np.abs(result.s - lapack(ss.matrix(A))[:4]) <= result.errors + 1e-12)
    with pytest.raises(TypeError, match="a matrix in memory cannot be sent to another process"):
        ss.svds(A, 4, executor=Shuffling())
    with pytest.raises(
        TypeError, match=r"executor must be a concurrent\.futures\.Executor or None, not 3"
    ):
        ss.svds(A, 4, executor=3)


def test_progress_counts_what_was_read_and_may_stop_it(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    seen: list[int] = []
    result = ss.svds(a, 4, method="krylov", executor=Shuffling(), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == result.passes * a.nbytes

    def stop(done: int) -> None:
        if done > 2 * a.nbytes:
            raise KeyboardInterrupt

    executor = Shuffling(2)
    with pytest.raises(KeyboardInterrupt):
        ss.svds(a, 4, method="krylov", executor=executor, progress=stop)
    assert executor.waiting
    assert all(future.cancelled() for future, _ in executor.waiting)


def test_little_memory_lets_fewer_tasks_wait(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["square"])
    many, few = Shuffling(), Shuffling()
    wanted = ss.svdvals(a, executor=many).values
    assert np.array_equal(ss.svdvals(a, executor=few, memory_limit="30MiB").values, wanted)
    assert many.most_waiting["gram matrix"] == len(blocks_of(a.shape)) > 2
    assert few.most_waiting["gram matrix"] == 2
    with pytest.raises(MemoryLimitError, match="the Gram matrix of order 900, with those of its"):
        ss.svdvals(a, executor=Shuffling(), memory_limit="20MiB")


def test_fast_accuracy_says_that_it_is_the_reference(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["square"])
    fast = ss.svdvals(a, accuracy="fast", executor=Shuffling())
    assert np.array_equal(fast.values, ss.svdvals(a, executor=Shuffling()).values)
    assert fast.precision == "float64"
    assert "workers form the Gram matrix in float64" in fast.notes[0]


def test_what_comes_back_in_another_shape_is_refused() -> None:
    class Trimming(ThreadPoolExecutor):
        """Leaves out the last row of every product."""

        def submit(self, fn: Any, /, part: Any, verb: Any, *rest: Any, **more: Any) -> Any:
            def work() -> Any:
                result = fn(part, verb, *rest, **more)
                return result[:-1] if verb in ("step", "steer") else result

            return super().submit(work)

    A = ks.gaussian(20, 10)[0]
    with (
        Trimming(1) as executor,
        pytest.raises(RuntimeError, match="returned a product of shape 9 x 4, not 10 x 4"),
    ):
        ss.spectral_density(A, passes=2, probes=4, executor=executor)


def test_a_file_changed_under_the_workers_is_told(
    tmp_path: Path, processes: dict[int, Executor]
) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    path = tmp_path / "1400x260.bin"

    def spoil(done: int) -> None:
        if done == 2 * a.nbytes:
            path.write_bytes(path.read_bytes())

    with pytest.raises(CheckpointError, match=rf"{path} was changed"):
        ss.svds(a, 6, method="krylov", executor=processes[3], progress=spoil)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        ss.svds(a, 6, method="krylov", executor=processes[3])


# ---------------------------------------------------------------------------------- the sketch


def test_sketches_of_row_blocks_merge_to_the_one_of_all(
    tmp_path: Path, processes: dict[int, Executor]
) -> None:
    a = in_file(tmp_path, (1500, 60))
    whole = Sketch(60, 5)
    rows = [a[i : i + 100] for i in range(0, 1500, 100)]
    for block in rows:
        whole.update(block)
    futures = [processes[3].submit(Sketch(60, 5).update, block) for block in rows]
    merged = Sketch(60, 5)
    for i in np.random.default_rng(2).permutation(len(futures)):
        merged.merge(futures[i].result())
    assert sketch_bits(merged) == sketch_bits(whole)
