# SPDX-License-Identifier: BSD-3-Clause
"""A slice of the campaign; its classes, its judgement, and that what is wrong is found to be so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.results import SVD
from tests.campaign import runner, showing, shrinking, streams
from tests.campaign.calls import run
from tests.campaign.cases import FUNCTIONS, Case, draw, following, numbers
from tests.campaign.generators import CLASSES, EVERY, SPARSE, TALL, make
from tests.campaign.stored import (
    DTYPES,
    EXPONENTS,
    LAYOUTS,
    OPERATORS,
    PRODUCTS,
    SHARDED,
    rounded,
    stored,
)
from tests.campaign.summary import Summary
from tests.campaign.truth import Truth, jacobi, product_of_rows
from tests.support.blind_products import overlook_defects
from tests.support.known_products import FORMATS, INEXACT

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 8), (33, 20), (20, 33), (40, 40)]


@pytest.mark.parametrize("name", EVERY)
def test_every_class_has_every_shape_and_the_same_numbers_again(name: str) -> None:
    for seed, (m, n) in enumerate(SHAPES):
        A = make(name, seed, m, n)
        assert A.shape == (m, n)
        assert np.abs(A).max() == (1.0 if A.any() else 0.0)
        np.testing.assert_array_equal(A, make(name, seed, m, n))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_holds_the_numbers_exactly(dtype: str, layout: str) -> None:
    for exponent in (0, *EXPONENTS.get(dtype, ())):
        numbers = rounded(make("heavy_tailed", 1, 13, 22), dtype, max(exponent - 10, -1074))
        held = ss.matrix(stored(numbers, dtype, layout, seed=3))
        np.testing.assert_array_equal(np.asarray(held, dtype=np.float64), numbers)
        assert held.storage in (dtype, "mixed")
        if layout in SHARDED:
            assert held.storage == dtype


def test_values_are_judged_with_more_digits_than_float64_has() -> None:
    golden = jacobi(np.array([[1, 1], [0, 1]], dtype=np.longdouble))
    root = np.sqrt(np.longdouble(5))
    if np.finfo(np.longdouble).eps < 1e-18:
        assert np.all(np.abs(golden - np.array([root + 1, root - 1]) / 2) < 1e-18)
    for name in ("gaussian", "parter", "cluster", "hilbert", "graded_both", "zero"):
        for m, n in ((30, 30), (17, 31), (31, 16)):
            truth = Truth(make(name, 5, m, n))
            assert np.abs(truth.precise - truth.values).max() <= 1e-14 * truth.values[0]


def test_the_judge_of_tall_cases_errs_by_less_than_the_smallest_bound() -> None:
    """Residuals of a stream are bounded by 4e-14; one sum of as many rows errs by 5e-12."""
    for value in (1 / 3, 0.7, 0.1):
        X, square = np.full((500_000, 2), value), 500_000 * Fraction(value) ** 2
        for result in (product_of_rows(X, X), product_of_rows(X, X[:, :1])):
            assert all(abs(Fraction(float(x)) / square - 1) < 2e-14 for x in result.ravel())


def test_a_case_is_the_same_for_ever() -> None:
    assert draw(7, 11) == draw(7, 11)
    assert draw(7, 11) != draw(7, 12)
    seen = [draw(0, index) for index in range(3000)]
    assert {case.function for case in seen} == set(FUNCTIONS)
    assert {case.kind for case in seen} == set(CLASSES)
    assert {case.dtype for case in seen} == set(DTYPES)
    assert {case.layout for case in seen} == set(LAYOUTS)
    of = [case for case in seen if case.matches(["hilbert", "lehmer", "svds"])]
    assert {(case.kind, case.function) for case in of} == {("hilbert", "svds"), ("lehmer", "svds")}


def test_tall_cases_and_those_of_products_have_numbers_of_their_own() -> None:
    """Whatever is added to them, ordinary cases stay the same."""
    assert [*numbers(48, 52)] == [48, 49, -1, 50, 51]
    assert [*numbers(3, 7)] == [3, 4, -1000001, 5, 6]
    assert [*numbers(-7, -6)] == [-7]
    assert [following(index) for index in (5, 49, -1, -2)] == [6, 50, 50, 100]
    assert [following(index) for index in (-1000001, -1000002)] == [5, 15]
    seen = [draw(0, -index) for index in range(1, 400)]
    assert {case.function for case in seen} == set(FUNCTIONS)
    assert {case.kind for case in seen} == set(TALL)
    sides = [max(case.m, case.n) for case in seen]
    assert min(sides) >= 46_340
    assert max(sides) > 10**6
    assert 0.2 < np.mean([case.m < case.n for case in seen]) < 0.6


NIGHTLY = [pytest.param(index, marks=pytest.mark.nightly) for index in (-1, -3, -4, -5, -42)]


@pytest.mark.parametrize("index", [-2, -6, -7, -8, *NIGHTLY])
def test_tall_cases_find_nothing(index: int) -> None:
    wrong = [finding for finding in run(draw(0, index)).findings if finding.what != "work"]
    assert wrong == [], f"python -m tests.campaign --case 0:{index}"


def test_cases_of_products_have_every_layout() -> None:
    seen = [draw(0, -(10**6 + index)) for index in range(1, 800)]
    assert {case.layout for case in seen} == set(PRODUCTS)
    assert {case.function for case in seen} == {"svds", "randomized_svd"}
    assert set(SPARSE) < {case.kind for case in seen} <= {*SPARSE, *CLASSES}
    orders = [min(case.m, case.n) for case in seen if case.layout in OPERATORS]
    assert 0.2 < np.mean(np.array(orders) > 256) < 0.5  # up to there the whole matrix is seen
    only = [case for case in seen if case.matches(["coo", "by blocks", "f32"])]
    assert {(case.layout, case.dtype) for case in only} == {("coo", "f32"), ("by blocks", "f32")}


def test_products_are_those_of_the_numbers() -> None:
    pytest.importorskip("scipy")
    numbers = rounded(make("thinned", 3, 23, 31), "f32", 0)
    x, y = np.eye(31), np.eye(23)
    for layout in PRODUCTS:
        A = stored(numbers, "f32", layout)
        if layout in FORMATS:
            assert A.format == layout
            np.testing.assert_array_equal(A.toarray(), numbers)
        else:
            forward = A.matmat(x) if hasattr(A, "matmat") else np.stack([*map(A.matvec, x)], 1)
            back = A.rmatmat(y) if hasattr(A, "rmatmat") else np.stack([*map(A.rmatvec, y)], 1)
            off = max(np.abs(forward - numbers).max(), np.abs(back.T - numbers).max())
            size = INEXACT[layout][1] if layout in INEXACT else 0.0
            assert 0.1 * size <= off <= 10 * size


@pytest.mark.parametrize(
    "repeated",
    [False, True],
    ids=["the first of every layout", "the rest"],
)
@pytest.mark.slow
def test_a_slice_of_the_products_finds_nothing(repeated: bool) -> None:
    pytest.importorskip("scipy")
    layouts: set[str] = set()
    for index in range(1, 50):
        case = draw(0, -(10**6 + index))
        if (case.layout in layouts) == repeated:
            assert run(case).findings == [], f"python -m tests.campaign --case {case.name}"
        layouts.add(case.layout)


@pytest.mark.parametrize("layout", PRODUCTS)
def test_wrong_answers_of_products_are_found_out(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    case = replace(HEALTHY, layout=layout, dtype="f32", options=OPTIONS["svds"])
    case = case if layout == "products in float32" else replace(case, dtype="f64")
    assert run(case).findings == []
    with monkeypatch.context() as blind:
        overlook_defects(blind)
        unseen = {finding.what for finding in run(case).findings}
    assert bool(unseen) == (layout in INEXACT or layout == "products in float32"), unseen
    svds = ss.svds
    monkeypatch.setattr(ss, "svds", lambda *a, **o: scaled("s", 1 + 1e-3)(svds(*a, **o)))
    assert "outside bound" in {finding.what for finding in run(case).findings}


SLICE = 12


def slice_of(function: str) -> list[Case]:
    """The first cases of campaign 0 that call this function."""
    cases = (draw(0, index) for index in count())
    return list(islice((c for c in cases if c.function == function), SLICE))


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(slice(3), id="first cases"),
        pytest.param(slice(3, SLICE), id="more", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_slice_of_the_campaign_finds_nothing(function: str, part: slice) -> None:
    for case in slice_of(function)[part]:
        wrong = [finding for finding in run(case).findings if finding.what != "work"]
        assert wrong == [], f"python -m tests.campaign --case {case.name}"


def test_the_command_runs_cases_in_workers_and_writes_what_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    isa = ss.show_config()["isa"]
    written = tmp_path / "seen.json"
    only = ["svdvals", "moments"]
    options = {
        "--seed": 0,
        "--cases": 60,
        "--workers": 2,
        "--only": ",".join(only),
        "--isa": isa,
        "--folder": tmp_path,
        "--json": written,
    }
    code = runner.main([str(word) for option in options.items() for word in option])
    record = json.loads(written.read_text(encoding="utf-8"))
    drawn = [draw(0, index) for index in numbers(0, 60)]
    drawn = [case for case in drawn if case.matches(only)]
    assert record["cases"] == len(drawn) > 0
    assert set(record["functions"]) == {case.function for case in drawn}
    assert code == (1 if record["failures"] else 0)
    assert f"{len(drawn)} cases" in capsys.readouterr().out


def test_calls_that_cannot_run_do_not_count_as_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="no class, function, dtype or layout: svd, vandermond"):
        runner.main(["--only", "svds,svd,vandermond", "--isa", "scalar"])
    monkeypatch.setattr(runner, "ROOT", tmp_path)  # where no worker is
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(SystemExit, match="a worker ended with 1 before its first case"):
        runner.main(["--cases", "9", "--workers", "2", "--isa", "scalar"])


HEALTHY = Case(0, 1, "gaussian", 5, 40, 30, "f64", 0, "plain", "svds", {})
OPTIONS: dict[str, dict[str, Any]] = {
    "svds": {"k": 4, "tol": 1e-6, "vectors": True},
    "randomized_svd": {"k": 30},
    "svdvals": {"accuracy": "reference"},
    "spectrum": {"effort": "exact", "k": 5},
    "spectral_density": {"passes": 8, "probes": 16},
    "moments": {},
    "low_rank": {"k": 4, "columns": 20, "scale": 0.5},
    "sketch": {"k": 4, "width": 30, "parts": 3},
    "linear_sketch": {"k": 4, "width": 30, "parts": 3},
    "gram_accumulator": {"k": 4, "parts": 3},
    "moments_accumulator": {"parts": 3},
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_reads_another_matrix_is_found_out(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = replace(HEALTHY, function=function, options=OPTIONS[function])
    assert run(case).findings == []
    if "parts" in case.options:
        parts = streams.parts
        monkeypatch.setattr(streams, "parts", lambda case, A: parts(case, A)[:-1])
    else:
        name = "LowRank" if function == "low_rank" else function
        of = getattr(ss, name)
        monkeypatch.setattr(ss, name, lambda A, *a, **o: of(1.02 * ss.matrix(A), *a, **o))
    assert run(case).findings


def scaled(name: str, factor: float) -> Callable[[SVD], SVD]:
    return lambda result: replace(result, **{name: getattr(result, name) * factor})


@pytest.mark.parametrize(
    ("what", "tampered"),
    [
        ("outside bound", scaled("s", 1 + 1e-7)),
        ("outside bound", scaled("errors", 0.0)),
        ("not finite", scaled("errors", np.nan)),
        ("malformed", scaled("errors", -1.0)),
        ("malformed", lambda result: replace(result, s=result.s[::-1])),
        ("not orthonormal", scaled("U", 1 + 1e-9)),
        ("not orthonormal", lambda result: replace(result, Vt=result.Vt[[0, 0, 1, 2]])),
        ("residual", lambda result: replace(result, U=-result.U)),
        ("converged above tolerance", scaled("residuals", 1e9)),
        ("warning", lambda result: replace(result, converged=False)),
        ("norm", scaled("fro_norm", 1 + 1e-9)),
        ("values beyond the norm", scaled("s", 10.0)),
    ],
)
def test_what_is_wrong_with_triplets_is_named(
    what: str, tampered: Callable[[SVD], SVD], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = replace(HEALTHY, options=OPTIONS["svds"])
    svds = ss.svds
    monkeypatch.setattr(ss, "svds", lambda *a, **o: tampered(svds(*a, **o)))
    assert what in {finding.what for finding in run(case).findings}


def test_errors_and_other_bits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(HEALTHY, index=0, options=OPTIONS["svds"])
    svds = ss.svds

    def refuse(*_: Any, **__: Any) -> SVD:
        raise RuntimeError("dstedc")

    def shifted(A: Any, k: int, **options: Any) -> SVD:
        result = svds(A, k, **options)
        more = options.get("num_threads") == 2
        return replace(result, s=np.nextafter(result.s, 9) if more else result.s)

    for wrong, what in ((refuse, "exception"), (shifted, "other bits")):
        monkeypatch.setattr(ss, "svds", wrong)
        assert [finding.what for finding in run(case).findings] == [what]


def test_a_failure_is_shrunk_saved_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    svds = ss.svds

    def wrong(A: Any, k: int, **options: Any) -> SVD:
        result = svds(A, k, **options)
        return scaled("s", 2.0)(result) if min(A.shape) >= 7 else result

    monkeypatch.setattr(ss, "svds", wrong)
    options = OPTIONS["svds"] | {"seed": 9, "num_threads": 2}
    case = replace(HEALTHY, layout="fortran", exponent=3, options=options)
    small, outcome = shrinking.shrunk(case, run(case))
    assert min(small.m, small.n) == 7
    assert (small.layout, small.exponent, small.options["seed"]) == ("plain", 0, 0)
    line = shrinking.save(small, outcome, "avx2", tmp_path)
    (path,) = tmp_path.iterdir()
    assert str(path) in line
    assert "outside bound" in line
    assert showing.show(None, path) == 1
    assert "WRONG outside bound" in capsys.readouterr().out
    monkeypatch.setattr(ss, "svds", svds)
    assert showing.show(None, path) == 0


def test_a_process_that_ends_is_a_failure() -> None:
    seen = Summary(0, ["avx2"])
    for code in (-11, -27, 1):  # SIGSEGV, SIGPROF: the time was up
        seen.add(runner.ended(draw(0, 5), code))
    record = seen.record()
    assert record["failures"] == 3
    assert {way["what"] for way in record["failures_by_way"]} == {"crash", "out of time"}
    assert "crash" in seen.text()


@pytest.mark.parametrize(
    "again", [[], [{"what": "work", "ratio": 2.5, "detail": "slow"}]], ids=["quick", "slow again"]
)
def test_a_slow_case_is_judged_when_no_other_worker_runs(
    again: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers share caches and memory: times are measured anew, the limit is the same."""
    campaign = runner.Campaign(1, [], 10, 0.0, tmp_path, 1, [""], Summary(1, [""]))
    slow = runner.ended(draw(1, 7), 1)
    slow |= {"main": "work", "findings": [{"what": "work", "ratio": 2.5, "detail": "slow"}]}
    campaign._seen(slow, "avx2")
    assert campaign.slow == [(7, "avx2")]
    assert not campaign.summary.cases

    def run(first: int, end: int, isa: str) -> int:
        assert (first, end, isa) == (7, 8, "avx2")
        campaign._seen(slow | {"findings": again, "line": "slow" if again else ""}, isa)
        return end

    monkeypatch.setattr(campaign, "_run", run)
    campaign.measure_slow_cases()
    assert sum(campaign.summary.cases.values()) == 1
    assert sum(campaign.summary.failed.values()) == len(again)
