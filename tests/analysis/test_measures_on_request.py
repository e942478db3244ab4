# SPDX-License-Identifier: BSD-3-Clause
"""Measures on request: what they find, what they hold in memory, and how a scan asks for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.analysis_steps import in_random_order
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke
from tests.support.measure_names import REQUESTED
from tests.support.peak_memory import peak, written
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.errors import MemoryLimitError
from sigmascope.results import Scan
from sigmascope.spectra import statistics

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

FARMS, RANDOM, TRAPS = REQUESTED
MIB = 1 << 20
NIGHTLY = pytest.mark.nightly


def measure_of(A: Any, name: str, **options: Any) -> Any:
    return ss.spectrum(A, measures=name, **{"effort": "exact"} | options)[name]


# ---------------------------------------------------------------------------------- alpha_farms


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[slice, slice]]]:
    """The sub-matrices that are cut out of a matrix of a shape, in whose place are small ones."""
    cut: list[tuple[slice, slice]] = []
    part_of = ss.Matrix.__getitem__

    def recorded(a: ss.Matrix, key: Any) -> Any:
        cut.append(key)
        return part_of(a, (slice(7), slice(7)))

    def of(shape: tuple[int, int], seed: int) -> list[tuple[slice, slice]]:
        ones = np.ones(shape, np.float32)
        cut.clear()
        with monkeypatch.context() as patch:
            patch.setattr(ss.Matrix, "__getitem__", recorded)
            ss.spectrum(ones, effort="top", k=1, measures=FARMS, seed=seed, elements=False)
        return list(cut)

    return of


@pytest.mark.parametrize(
    "shape", [(40, 90), (1024, 1024), (1500, 3000), (1030, 1024), (7, 7)], ids=str
)
def test_windows_are_square_inside_and_along_the_diagonal(
    shape: tuple[int, int], windows: Callable[..., list[tuple[slice, slice]]]
) -> None:
    chosen = windows(shape, 3)
    side = min(*shape, 1024)
    assert 1 <= len(chosen) <= 8
    assert len({(r.start, c.start) for r, c in chosen}) == len(chosen)
    for rows, columns in chosen:
        assert rows.stop - rows.start == columns.stop - columns.start == side
        assert 0 <= rows.start <= rows.stop <= shape[0]
        assert 0 <= columns.start <= columns.stop <= shape[1]
    if min(shape) > side + 100:
        assert len(chosen) == 8
    turned = [(columns, rows) for rows, columns in windows(shape[::-1], 3)]
    assert sorted(map(str, chosen)) == sorted(map(str, turned))


def test_windows_depend_on_the_seed_and_spread_over_the_matrix(
    windows: Callable[..., list[tuple[slice, slice]]],
) -> None:
    seeds = [*range(8), 2**64 - 1]
    starts = np.array([[c.start for _, c in windows((100, 10_000), seed)] for seed in seeds])
    eighths = starts * 8 // 9901
    assert np.all(eighths == np.arange(8))
    assert len({tuple(row) for row in starts}) == len(seeds)


def test_the_aspect_ratio_no_longer_decides() -> None:
    """One process at three aspect ratios: Hill's alpha more than doubles, that of squares stays."""
    hill, farms = [], []
    for shape in ((400, 400), (400, 1100), (400, 3200)):
        A = np.random.default_rng(1).standard_normal(shape)
        spectrum = ss.spectrum(A, effort="exact", measures=FARMS)
        hill.append(spectrum["alpha_hill"].value)
        farms.append(spectrum[FARMS])
    assert hill == pytest.approx([2.1, 3.0, 4.5], abs=0.1)
    for one in farms:
        assert abs(one.value - farms[0].value) <= 2 * (one.error + farms[0].error)
        assert one.value == pytest.approx(2.1, abs=0.1)
        assert one.error < 0.12


def test_farms_is_the_same_at_every_effort(
    windows: Callable[..., list[tuple[slice, slice]]],
) -> None:
    A = ks.llm(340, 320, seed=4)[0].astype(np.float32)
    parts = [
        np.linalg.svd(A[rows, columns].astype(float), compute_uv=False)
        for rows, columns in windows((340, 320), 0)
    ]
    value = statistics.alpha_farms(parts).value
    for effort in ("top", "density", "exact"):
        farms = measure_of(A, FARMS, effort=effort, k=2, tol=0.5)
        assert farms.value == pytest.approx(value, rel=1e-9), effort


@pytest.mark.unsanitized
@pytest.mark.parametrize("shape", [(300, 700), pytest.param((1100, 1100), marks=NIGHTLY)], ids=str)
def test_farms_of_the_transpose_is_the_same(shape: tuple[int, int]) -> None:
    A, _ = ks.llm(*shape, seed=5)
    a, b = measure_of(A, FARMS), measure_of(A.T, FARMS)
    assert a.value == pytest.approx(b.value, rel=1e-9)


def test_a_matrix_without_a_power_law_has_none() -> None:
    spectrum = ss.spectrum(np.eye(40), effort="exact", measures=FARMS)
    assert FARMS not in spectrum
    assert FARMS not in ss.spectrum(np.zeros((20, 30)), effort="exact", measures=FARMS)


# --------------------------------------------------------------------------- randomized_distance


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (2500, 2)])
def test_permutations_are_permutations(shape: tuple[int, int], dtype: type) -> None:
    A = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    one, two = in_random_order(A, 7)
    for numbers in (one, two):
        assert numbers.dtype == dtype
        assert numbers.shape == (max(shape), min(shape))
        np.testing.assert_array_equal(np.sort(numbers, axis=None), np.sort(A, axis=None))
        assert np.mean(numbers == (A if shape[0] >= shape[1] else A.T)) < 0.1
    assert np.mean(one == two) < 0.1
    np.testing.assert_array_equal(in_random_order(A, 7, threads=3)[0], one)
    np.testing.assert_array_equal(in_random_order(A.T, 7)[0], one)
    assert np.mean(in_random_order(A, 8)[0] == one) < 0.1


def test_every_entry_goes_everywhere() -> None:
    """Where the largest of 12 entries goes, over 600 seeds: chi-square of 11 degrees."""
    A = np.zeros((4, 3))
    A[0, 0] = 1.0
    places = [int(np.argmax(in_random_order(A, seed)[0])) for seed in range(600)]
    counts = np.bincount(places, minlength=12)
    assert np.sum((counts - 50) ** 2 / 50) < 31.3  # 0.1 %


def test_independent_entries_are_at_no_distance_whatever_their_tail() -> None:
    rng = np.random.default_rng(2)
    for A in (rng.standard_normal((300, 200)), rng.standard_t(3, (300, 200))):
        measure = measure_of(A, RANDOM)
        rms = np.linalg.norm(A) / np.sqrt(200)
        assert measure.value <= 2 * measure.error + 0.01 * rms
        assert measure.error < 0.02 * rms


def test_the_distance_is_that_of_the_permuted_matrix() -> None:
    A, sigma = ks.llm(300, 200, seed=3)
    measure = measure_of(A, RANDOM)
    rng = np.random.default_rng(0)
    others = [
        np.linalg.svd(rng.permutation(A.ravel()).reshape(A.shape), compute_uv=False)
        for _ in range(20)
    ]
    truth = [np.mean(np.abs(sigma - other)) for other in others]
    assert abs(measure.value - np.mean(truth)) <= 2 * measure.error
    assert abs(measure.value - np.mean(truth)) <= 10 * np.std(truth)
    assert measure.error < 0.1 * measure.value
    assert measure_of(A.T, RANDOM).value == pytest.approx(measure.value, rel=1e-9)


def test_a_density_gives_the_distance_within_its_error() -> None:
    A, _ = ks.llm(520, 400, seed=3)
    spectrum = ss.spectrum(A, k=8, tol=0.1, measures=RANDOM)
    assert spectrum.effort == "density"
    assert spectrum[RANDOM].basis == "density"
    exact = measure_of(A, RANDOM)
    assert abs(spectrum[RANDOM].value - exact.value) <= 2 * spectrum[RANDOM].error + exact.error
    assert spectrum[RANDOM].error < 0.3 * spectrum[RANDOM].value
    assert spectrum.passes == ss.spectrum(A, k=8, tol=0.1).passes + 1


def test_effort_top_cannot_give_it_and_says_so() -> None:
    A, _ = ks.llm(640, 600, seed=4)
    spectrum = ss.spectrum(A, effort="top", k=2, tol=0.5, measures=RANDOM)
    assert spectrum.effort == "top"
    assert RANDOM not in spectrum
    assert any("randomized_distance" in note for note in spectrum.notes)


def test_single_large_entries_are_traps_and_structure_is_not() -> None:
    """A few entries far above the rest stay above it wherever they are; a spike does not."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((300, 200))
    assert measure_of(noise, TRAPS).value <= measure_of(noise, TRAPS).error
    large = noise.copy()
    large[[3, 70, 150, 220], [5, 60, 120, 190]] = 200.0
    measure = measure_of(large, TRAPS)
    assert abs(measure.value - 4) <= measure.error
    assert measure.error <= 2
    spike = noise + 40.0 * np.outer(np.ones(300), np.ones(200)) / np.sqrt(300 * 200) * 2
    spike -= spike.mean()
    assert measure_of(spike, TRAPS).value <= 1 + measure_of(spike, TRAPS).error


def test_same_seed_same_bits_whatever_the_threads() -> None:
    A = ks.llm(220, 200, seed=4)[0].astype(np.float32)
    options: dict[str, Any] = {"effort": "density", "k": 4, "tol": 0.1, "measures": REQUESTED}
    runs = [
        ss.spectrum(A, num_threads=n, seed=s, **options).measures
        for n, s in ((1, 0), (3, 0), (1, 1))
    ]
    assert runs[0] == runs[1]
    assert all(runs[0][name] != runs[2][name] for name in REQUESTED)


def test_with_an_executor_the_parts_are_computed_here(tmp_path: Path) -> None:
    """Workers multiply with the matrix; what is cut out or permuted is in no file of theirs."""
    A = ks.llm(240, 200, seed=4)[0].astype(np.float32)
    path = write_file(tmp_path / "x.safetensors", of_array("w", "F32", A))
    a = ss.open_checkpoint(path)["w"]
    options: dict[str, Any] = {"effort": "density", "k": 4, "tol": 0.1, "measures": REQUESTED}
    with ThreadPoolExecutor(2) as pool:
        spread = ss.spectrum(a, executor=pool, **options)
    alone = ss.spectrum(a, **options)
    assert spread[FARMS] == alone[FARMS]
    for name in (RANDOM, "effective_rank", "shoulder_200"):
        one, other = spread[name], alone[name]
        assert abs(one.value - other.value) <= 1e-3 * other.value + 1e-9, name


# ------------------------------------------------------------------------------ options, memory


def test_names_are_checked_and_put_in_order() -> None:
    for given, names in (
        (None, []),
        ((), []),
        (FARMS, [FARMS]),
        ([TRAPS, RANDOM, FARMS, RANDOM], list(REQUESTED)),
    ):
        assert ss.scan({"w": np.eye(3)}, measures=given, plan=True).options["measures"] == names
    with pytest.raises(ValueError, match="randomized_distance, correlation_traps, not 'alpha'"):
        ss.spectrum(np.eye(3), measures="alpha")


def test_nothing_is_there_unasked() -> None:
    spectrum = ss.spectrum(np.random.default_rng(0).standard_normal((60, 50)), effort="exact")
    assert not spectrum.measures.keys() & set(REQUESTED)


def test_a_matrix_that_cannot_be_permuted_within_the_limit_is_refused_with_numbers(
    tmp_path: Path,
) -> None:
    path = write_file(tmp_path / "x.safetensors", of_array("w", "F32", np.ones((5000, 4000), "f4")))
    options: dict[str, Any] = {"effort": "density", "k": 4, "memory_limit": 80 * MIB}
    matrix = ss.open_checkpoint(path)["w"]
    message = (
        r"effort 'density' of 5000 x 4000 with randomized_distance needs 1\d\d MiB "
        r"\(up to .* if its values span a wide range\), but the memory limit is 80 MiB; "
        r"this fits unless the singular values span a wide range: the same without "
        r"randomized_distance, or effort 'top'$"
    )
    with pytest.raises(MemoryLimitError, match=message):
        ss.spectrum(matrix, measures=RANDOM, **options)
    row = ss.scan(path, measures=RANDOM, **options)["w"]
    assert (row["status"], row["failure"]) == ("failed", "environment")
    planned = ss.scan(path, measures=RANDOM, **options, plan=True)["w"]
    assert planned.refused == row["reason"]
    assert planned.peak_bytes > 80 * MIB
    assert ss.scan(path, measures=FARMS, **options, plan=True)["w"].refused is None


# ------------------------------------------------------------------------------------- scanning


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    tensors = [
        of_array(f"w.{i}", "F32", rng.standard_normal((60 + i, 40), dtype=np.float32))
        for i in range(3)
    ]
    return write_file(tmp_path_factory.mktemp("model") / "model.safetensors", *tensors)


def test_a_scan_has_them_on_request(model: Path) -> None:
    plain, more = ss.scan(model), ss.scan(model, measures=[TRAPS, RANDOM, FARMS])
    assert plain.options["measures"] == []
    assert more.options["measures"] == list(REQUESTED)
    for before, after in zip(plain, more, strict=True):
        assert all(before[name] is None for name in REQUESTED)
        assert all(after[name] > 0 and after[f"{name}_error"] >= 0 for name in (FARMS, RANDOM))
        assert after[TRAPS] >= 0
        same = before.keys() - {*REQUESTED, *(f"{name}_error" for name in REQUESTED)}
        same -= {"seconds", "passes"}
        assert {name: before[name] for name in same} == {name: after[name] for name in same}


def test_tasks_of_an_executor_carry_them(model: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        scan = ss.scan(model, measures=REQUESTED, executor=pool, workers=1)
    assert bits(scan) == bits(ss.scan(model, measures=REQUESTED))


def test_a_journal_of_other_measures_is_refused(model: Path, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    ss.scan(model, resume=journal, measures=FARMS)
    with pytest.raises(ValueError, match=r"measures was \['alpha_farms'\], is \[\]"):
        ss.scan(model, resume=journal)
    again = ss.scan(model, resume=journal, measures=[FARMS])
    assert bits(again) == bits(Scan.load(journal))
    assert again.rows == Scan.load(journal).rows


def test_a_plan_knows_their_time_and_memory(model: Path) -> None:
    plain, more = (ss.scan(model, effort="exact", measures=m, plan=True) for m in ((), REQUESTED))
    for before, after in zip(plain, more, strict=True):
        assert after.passes == before.passes + 1
        assert after.peak_bytes >= before.peak_bytes
    assert more.options["measures"] == list(REQUESTED)


@pytest.mark.parametrize("effort", ["density", "exact"])
def test_a_plan_holds_the_entries_in_random_order_while_they_are_analysed(effort: str) -> None:
    model = {"w": np.zeros((3000, 3000), np.float32)}
    plain, more = (ss.scan(model, effort=effort, measures=m, plan=True)["w"] for m in ((), RANDOM))
    assert more.peak_bytes >= plain.peak_bytes + model["w"].nbytes


def test_on_the_command_line(model: Path) -> None:
    code, out, _ = invoke("scan", model, "--json", "-q", "--measures", FARMS, "--measures", RANDOM)
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert all(row[name] > 0 for row in rows for name in (FARMS, RANDOM))
    assert all(row[TRAPS] is None for row in rows)
    code, _, message = invoke("scan", model, "--measures", "alpha")
    assert code == 2
    assert "not 'alpha'" in message
    _, out, _ = invoke("scan", model, "--plan", "--json", "--measures", FARMS)
    assert json.loads(out.splitlines()[-1])["totals"]["options"]["measures"] == [FARMS]


_SCAN = """
import sigmascope as ss
options = dict(effort={effort!r}, k=8, memory_limit={limit}, num_threads=2, measures={measures!r})
row = ss.scan({path!r}, **options)["w"]
assert row["status"] == "analysed", row["reason"]
assert all(row[name] is not None for name in {measures!r}), row
"""


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("shape", "dtype", "effort", "limit"),
    [
        pytest.param((2048, 8192), "BF16", "density", 150 * MIB, marks=NIGHTLY),  # read again
        pytest.param((2048, 8192), "BF16", "density", 512 * MIB, marks=NIGHTLY),  # held
        pytest.param((1500, 6000), "F32", "exact", 128 * MIB, marks=NIGHTLY),
        ((6000, 1500), "F32", "exact", 512 * MIB),
    ],
)
def test_memory_is_that_of_the_plan(
    tmp_path: Path, shape: tuple[int, int], dtype: str, effort: str, limit: int
) -> None:
    path = written(tmp_path, *shape, dtype)
    planned = ss.scan(
        path, effort=effort, k=8, memory_limit=limit, num_threads=2, measures=REQUESTED, plan=True
    )["w"]
    assert planned.refused is None
    assert planned.peak_bytes <= limit
    options = {"path": str(path), "effort": effort, "limit": limit, "measures": REQUESTED}
    used = peak(_SCAN.format(**options)) - peak("from sigmascope import *")
    assert used <= planned.peak_bytes, f"{used / MIB:.0f} of {planned.peak_bytes / MIB:.0f} MiB"
