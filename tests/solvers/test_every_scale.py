# SPDX-License-Identifier: BSD-3-Clause
"""A power of two times a matrix is that times every value, error and norm; all else stays.

Of matrices of every dtype, on every route, over all of float64's range: to the bit where the
results are normal numbers, and for measures without a unit to the bit always.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import of_array, write_file
from tests.support.engine import sums_of_change
from tests.support.executors import Shuffling

import sigmascope as ss
from sigmascope.results import SingularValues
from sigmascope.spectra import Measure
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

SIGMAS = {"fro_norm": 1, "spectral_norm": 1, "nuclear_norm": 1, "mp_edge": 1, "alpha_x_min": 2}
LOGARITHMIC = {"alpha_weighted", "log_alpha_norm"}
NORMAL = 2.0**-1022

DTYPES: dict[str, tuple[Any, int, int]] = {
    # largest and least exponents of a power of two times small integers that is exact
    "f64": (np.float64, -1074, 1015),
    "f32": (np.float32, -149, 119),
    "bf16": (ml_dtypes.bfloat16, -133, 119),
    "f16": (np.float16, -24, 7),
}


def integers(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Small integers with something on top, which every format holds exactly."""
    rng = np.random.default_rng(seed)
    A = np.rint(12 * rng.standard_normal(shape))
    A[:, :3] *= 4
    return np.clip(A, -127, 127)


def times(x: Any, exponent: int) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.asarray(x, np.float64), exponent)


def same_times(result: Any, plain: Any, exponent: int, what: str = "") -> None:
    """found = plain 2^exponent: to the bit, or to a subnormal unit where that is all there is.

    Where it is infinite, as are errors of values that are, there is none.
    """
    expected, result = times(plain, exponent), np.asarray(result, np.float64)
    beyond = np.isinf(result)
    assert not np.any(beyond) or exponent > 900
    normal = (np.abs(expected) >= NORMAL) & ~beyond
    expected = np.where(beyond, np.inf, expected)
    np.testing.assert_array_equal(result[normal], expected[normal], err_msg=what)
    np.testing.assert_allclose(result[~normal], expected[~normal], 0, 1e-323, err_msg=what)


def same_measures(result: dict[str, Measure], plain: dict[str, Measure], exponent: int) -> None:
    assert result.keys() == plain.keys()
    for name, before in plain.items():
        if name in LOGARITHMIC:
            alpha = plain["alpha"].value
            shift = alpha * 2 * exponent * math.log10(2.0)
            assert result[name].value == pytest.approx(before.value + shift, rel=1e-12, abs=1e-9)
            continue
        power = SIGMAS.get(name, 0)
        same_times(result[name].value, before.value, power * exponent, name)
        same_times(result[name].error, before.error, power * exponent, name)


def svd(run: Callable[..., Any]) -> Callable[..., None]:
    def check(A: Any, B: Any, exponent: int, **on: Any) -> None:
        plain, result = run(A, **on), run(B, **on)
        for name in ("s", "errors", "residuals", "fro_norm"):
            same_times(getattr(result, name), getattr(plain, name), exponent, name)
        assert result.converged == plain.converged
        for name in ("U", "Vt"):
            np.testing.assert_array_equal(getattr(result, name), getattr(plain, name))

    return check


def values(run: Callable[..., Any]) -> Callable[..., None]:
    def check(A: Any, B: Any, exponent: int, **on: Any) -> None:
        plain, result = run(A, **on), run(B, **on)
        for name in ("values", "errors", "floor", "fro_norm"):
            same_times(getattr(result, name), getattr(plain, name), exponent, name)

    return check


def density(A: Any, B: Any, exponent: int, **on: Any) -> None:
    plain, result = (ss.spectral_density(x, passes=4, probes=8, **on) for x in (A, B))
    same_times(result.fro_norm, plain.fro_norm, exponent)
    for name, power in (("nuclear_norm", 1), ("effective_rank", 0), ("participation_ratio", 0)):
        one, two = getattr(plain, name)(), getattr(result, name)()
        same_times([two.value, two.error], [one.value, one.error], power * exponent, name)
    q = np.linspace(0, 1, 9)
    same_times(result.quantiles(q), plain.quantiles(q), exponent, "quantiles")
    above = plain.quantile(0.5).value
    one, two = plain.count_above(above), result.count_above(float(times(above, exponent)))
    if abs(times(above, exponent)) >= NORMAL:
        assert (one.value, one.error) == (two.value, two.error)
    one, two = (x.moment(lambda s: s, "sigma") for x in (plain, result))
    same_times(two.value, one.value, exponent)
    same_times(result.schatten(3).value, plain.schatten(3).value, exponent)
    same_times(result.quantile(0.3).value, plain.quantile(0.3).value, exponent)


def spectrum(**options: Any) -> Callable[..., None]:
    def check(A: Any, B: Any, exponent: int, **on: Any) -> None:
        plain, result = (ss.spectrum(x, k=4, **options, **on) for x in (A, B))
        same_measures(result.measures, plain.measures, exponent)
        same_times(result.top, plain.top, exponent)
        same_times(result.top_errors, plain.top_errors, exponent)

    return check


def moments(look: Callable[..., Any]) -> Callable[..., None]:
    def check(A: Any, B: Any, exponent: int, **on: Any) -> None:
        plain, result = look(A, **on), look(B, **on)
        for name in ("mean", "std", "min", "max", "fro_norm", "abs_max"):
            same_times(getattr(result, name), getattr(plain, name), exponent, name)
        for name in ("row_norms", "column_norms"):
            same_times(getattr(result, name), getattr(plain, name), exponent, name)
        for name in ("skewness", "kurtosis", "zeros", "count"):
            assert getattr(result, name) == getattr(plain, name), name

    return check


def streamed(A: Any) -> Any:
    held = MomentsAccumulator(A.shape[1], row_norms=True)
    return held.update(A[:11]).update(A[11:]).result()


def gram(A: Any) -> Any:
    return GramAccumulator(A.shape[1]).update(A[:9]).update(A[9:])


def linear(A: Any) -> Any:
    sketch = LinearSketch(A.shape, 3)
    return sketch.update(A).svd()


def changes(A: Any, B: Any, exponent: int, **on: Any) -> None:
    one, two = (sums_of_change(ss.matrix(x), ss.matrix(x[::-1].copy()), **on) for x in (A, B))
    for name, unit in (("before2", 0), ("change2", 1), ("product", 0)):
        units = (one.unit, one.delta_unit)[unit] - (two.unit, two.delta_unit)[unit]
        same_times(getattr(two.change, name), getattr(one.change, name), 2 * (exponent + units))


ROUTES: dict[str, Callable[..., None]] = {
    "svds": svd(partial(ss.svds, k=3, method="krylov", tol=1e-3)),
    "svds of values": svd(partial(ss.svds, k=3, method="krylov", vectors=False, tol=1e-3)),
    "svds by gram": svd(partial(ss.svds, k=3, method="gram")),
    "svds in float64": svd(partial(ss.svds, k=3, method="krylov", precision="float64")),
    "randomized_svd": svd(partial(ss.randomized_svd, k=3)),
    "svdvals": values(ss.svdvals),
    "fast svdvals": values(partial(ss.svdvals, accuracy="fast")),
    "spectral_density": density,
    "top": spectrum(effort="top"),
    "density": spectrum(effort="density"),
    "exact": spectrum(effort="exact"),
    "without elements": spectrum(effort="exact", elements=False),
    "workers": svd(partial(ss.svds, k=3, method="krylov", executor=Shuffling())),
    "moments": moments(ss.moments),
    "streamed moments": moments(streamed),
    "Sketch": svd(lambda A: Sketch(A.shape[1], 3).update(A[:9]).update(A[9:]).svd()),
    "LinearSketch": svd(linear),
    "GramAccumulator": values(lambda A: gram(A).svdvals()),
    "vectors of a GramAccumulator": svd(lambda A: gram(A).svd(3)),
    "change": changes,
}
ON_THE_HOST = {"workers", "streamed moments", "Sketch", "LinearSketch"}
ON_THE_HOST |= {"GramAccumulator", "vectors of a GramAccumulator"}
"""Routes whose kernels of a device have tests of the same bits as the host (tests/cuda)."""
SHORT = {"svds", "svdvals", "density", "moments"}
ON_A_DEVICE = [
    pytest.param(route, marks=() if route in SHORT else pytest.mark.slow)
    for route in sorted(ROUTES.keys() - ON_THE_HOST)
]
BY_FILES = {"workers"}
BY_GRIDS = {"Sketch", "LinearSketch", "GramAccumulator", "vectors of a GramAccumulator"}
"""Sums on grids that lie 16 binary orders of magnitude apart."""


@pytest.mark.parametrize("route", ROUTES)
@given(st.sampled_from(list(DTYPES)), st.data())
@settings(max_examples=6, deadline=None)
def test_a_power_of_two(
    tmp_path_factory: pytest.TempPathFactory, route: str, dtype: str, data: st.DataObject
) -> None:
    check_power_of_two(tmp_path_factory, route, dtype, data)


@pytest.mark.unsanitized
@pytest.mark.parametrize("route", ON_A_DEVICE)
@given(st.sampled_from(list(DTYPES)), st.data())
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_power_of_two_on_a_cuda_device(
    tmp_path_factory: pytest.TempPathFactory,
    cuda_device: str,
    route: str,
    dtype: str,
    data: st.DataObject,
) -> None:
    check_power_of_two(tmp_path_factory, route, dtype, data, device=cuda_device)


def check_power_of_two(
    folders: pytest.TempPathFactory, route: str, dtype: str, data: st.DataObject, **on: Any
) -> None:
    """Compare the results of a matrix and of a power of two times it."""
    kind, low, high = DTYPES[dtype]
    exponent = data.draw(st.one_of(st.sampled_from([low, high]), st.integers(low, high)))
    if route in BY_GRIDS:
        exponent = int(exponent / 16) * 16
    shape = data.draw(st.sampled_from([(40, 24), (24, 40), (30, 30)]))
    A = integers(shape, data.draw(st.integers(0, 3)))
    one, two = (times(A, e).astype(kind) for e in (0, exponent))
    np.testing.assert_array_equal(two.astype(float), times(A, exponent))  # exact
    if route in BY_FILES:
        if dtype != "f64":
            return
        folder = folders.mktemp("files")
        for name, matrix in (("one", one), ("two", two)):
            np.save(folder / f"{name}.npy", matrix)
        one, two = (ss.matrix(folder / f"{name}.npy") for name in ("one", "two"))
    ROUTES[route](one, two, exponent, **on)


def exact_norm(x: np.ndarray) -> float:
    """Return the norm of numbers of any size, by scaling them first."""
    largest = np.abs(x).max(initial=0.0)
    if largest == 0:
        return 0.0
    exponent = math.frexp(largest)[1]
    return float(times(np.linalg.norm(times(x, -exponent)), exponent))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("look", [ss.moments, streamed], ids=["moments", "streamed"])
@given(st.lists(st.integers(-1060, 1000), min_size=3, max_size=8), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_rows_of_any_size_beside_each_other(
    look: Callable[[Any], Any], flip: bool, exponents: list[int], seed: int
) -> None:
    """Every row has its own norm, and so has every column, however large the others are."""
    A = np.random.default_rng(seed).standard_normal((24, 30))
    A[5] = 0.0
    for i, exponent in enumerate(exponents):
        A[i] = times(A[i], exponent)
    if flip:
        A = A.T.copy()
    result = look(A)
    for name, lines in (("row_norms", A), ("column_norms", A.T)):
        expected = [exact_norm(line) for line in lines]
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-12, atol=5e-324)
    assert result.fro_norm == pytest.approx(exact_norm(A), rel=1e-12, abs=5e-324)
    assert result.zeros == np.sum(A == 0)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(-200, 200))
@settings(max_examples=20, deadline=None)
def test_products_of_thin_matrices(p: int, q: int, r: int) -> None:
    """s B A of factors of any size, while the product itself is of no subnormal size."""
    if abs(p + q + r) > 950:
        return
    B, A = integers((30, 3), 0), integers((3, 20), 1)
    plain, result = ss.LowRank(B, A, 0.75), ss.LowRank(times(B, p), times(A, q), 0.75 * 2.0**r)
    one, two = plain.spectrum(k=3, vectors=True), result.spectrum(k=3, vectors=True)
    same_measures(two.measures, one.measures, p + q + r)
    same_times(result.svd().s, plain.svd().s, p + q + r)
    same_times(result.singular_values().errors, plain.singular_values().errors, p + q + r)


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_a_scan_of_a_dead_layer(tmp_path: Path, effort: str, device: str) -> None:
    """Weights that have decayed to subnormal numbers have measures as all others do."""
    A = integers((70, 50), 0)
    for name, dtype, exponent in (("F32", np.float32, -149), ("F64", np.float64, -1074)):
        stored = {"live": A.astype(dtype), "dead": times(A, exponent).astype(dtype)}
        path = tmp_path / f"{name}.safetensors"
        write_file(path, *(of_array(key, name, value) for key, value in stored.items()))
        rows = {row["name"]: row for row in ss.scan(path, effort=effort, device=device).rows}
        live, dead = (rows[key] for key in ("live", "dead"))
        assert dead["status"] == live["status"] == "analysed"
        for measure in ("stable_rank", "concentration_1", "nuclear_rank", "kurtosis"):
            assert dead.get(measure) == live.get(measure), measure
        same_times(dead["fro_norm"], live["fro_norm"], exponent)


def test_values_that_no_float64_holds(device: str) -> None:
    """They are infinite, with an infinite error and a note; what is smaller is right."""
    A = np.zeros((30, 20))
    A[:10, :10] = 2.0**1022
    A[12, 12] = 2.0**1000
    on = {"device": device}
    for result in (
        ss.svds(A, 2, **on),
        ss.svds(A, 2, method="gram", **on),
        ss.randomized_svd(A, 2, **on),
    ):
        assert math.isinf(result.s[0])
        assert math.isinf(result.errors[0])
        assert math.isinf(result.fro_norm)
        assert any("beyond the range of float64" in note for note in result.notes)
        assert result.U is not None
        np.testing.assert_allclose(np.abs(result.U[:10, 0]), 10**-0.5, rtol=1e-6)
    whole = ss.spectrum(A, effort="exact", **on)
    assert math.isinf(whole["fro_norm"].value)
    assert whole["stable_rank"].value == pytest.approx(1.0)
    assert whole.to_dict()["fro_norm"] is None
    assert any("beyond the range of float64" in note for note in whole.notes)


@given(st.integers(-1074, -1022))
@settings(max_examples=20, deadline=None)
def test_errors_hold_what_rounding_to_subnormal_numbers_adds(exponent: int) -> None:
    A = integers((30, 20), 2)
    B = times(A, exponent)
    true = np.linalg.svd(A, compute_uv=False).astype(np.longdouble) * np.longdouble(2.0) ** exponent
    for result in (ss.svdvals(B), ss.svds(B, 5, method="krylov")):
        s = result.values if isinstance(result, SingularValues) else result.s
        assert np.all(np.abs(s.astype(np.longdouble) - true[: len(s)]) <= result.errors)
        assert np.all(result.errors > 0)
    assert any("subnormal" in note for note in result.notes) == (s[0] < NORMAL)


@given(st.integers(-1074, -1060))
@settings(max_examples=5, deadline=None)
def test_residuals_hold_what_rounding_to_subnormal_numbers_adds(exponent: int) -> None:
    B = times(integers((30, 20), 2), exponent)
    result = ss.svds(B, 5, method="krylov")
    unit = np.longdouble(2.0) ** exponent
    A, s = (x.astype(np.longdouble) / unit for x in (B, result.s))
    for matrix, left, right in ((A, result.U, result.Vt.T), (A.T, result.Vt.T, result.U)):
        apart = matrix @ right.astype(np.longdouble) - s * left.astype(np.longdouble)
        assert np.all(np.sqrt(np.sum(apart**2, axis=0)) * unit <= result.residuals)


@given(st.integers(-1074, -1000), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_a_bound_grows_by_the_rounding_of_its_value_and_its_own(exponent: int, seed: int) -> None:
    """At most half a subnormal unit and, rounded up, less than one more; exactly to the least."""
    A = integers((4, 3), seed)
    plain, subnormal = ss.svdvals(A), ss.svdvals(times(A, exponent))
    power = Fraction(2) ** exponent
    for i in range(3):
        value, error = (Fraction(x[i]) * power for x in (plain.values, plain.errors))
        rounded, bound = Fraction(subnormal.values[i]), Fraction(subnormal.errors[i])
        assert abs(rounded - value) <= max(Fraction(2) ** -1075, value / 2**52)
        exact = error + abs(rounded - value)
        unit = max(Fraction(2) ** -1074, exact / 2**52)
        assert exact * (1 - Fraction(2) ** -52) <= bound < exact + unit


@pytest.mark.parametrize("exponent", [-1074, -700, -300, 300, 1000])
def test_a_sum_of_matrices_is_scaled_as_a_sum(exponent: int, device: str) -> None:
    """Its terms may be far larger than it is: they cancel before anything is multiplied."""
    A, B = integers((40, 24), 0), integers((40, 24), 1)
    one = ss.matrix(A + B) - ss.matrix(B)
    big = np.zeros_like(A)
    big[20:] = 2.0**900
    two = ss.matrix(times(A, exponent) * (big == 0) + big) - ss.matrix(big)
    plain = ss.matrix(A * (big == 0)) - ss.matrix(np.zeros_like(A))
    result, expected = (ss.svds(x, 3, device=device) for x in (two, plain))
    same_times(result.s, expected.s, exponent)
    assert ss.svds(one, 3, device=device).s == pytest.approx(ss.svds(A, 3).s, rel=1e-6)


def test_what_a_coefficient_makes_small_or_large(device: str) -> None:
    """A coefficient that float32 has no number for, and numbers that it has none for without it."""
    A = integers((40, 24), 0)
    expected = ss.svds(A.astype(np.float32), 3, method="krylov", device=device)
    for exponent in (-200, -140, -70, 70, 140, 900):
        for stored in (-120, 0, 100):
            scaled = ss.matrix(times(A, stored).astype(np.float32)) * 2.0 ** (exponent - stored)
            result = ss.svds(scaled, 3, method="krylov", device=device)
            same_times(result.s, expected.s, exponent)
        wide = ss.matrix(times(A, exponent))
        result = ss.svds(wide, 3, method="krylov", precision="float32", device=device)
        same_times(result.s, expected.s, exponent)
