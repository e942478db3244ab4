# SPDX-License-Identifier: BSD-3-Clause
"""The curves that charts are drawn from, against closed forms and LAPACK; words beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.made_rows import columns_of
from tests.support.page_numbers import (
    density_in_bars,
    density_of_noise,
    entry_of,
    explained_measures,
    explained_measures_of_pairs,
    known_spectrum_of_row,
    least_angle_of_chance,
    measures_of,
    points_of_chart,
    spectrum_of_row,
)

import sigmascope as ss
from sigmascope.results import Scan
from sigmascope.spectra.statistics import marchenko_pastur_median, mp_edge

SIDES = ("before", "after", "change", "delta", "projected")


def row_of(values: np.ndarray, shape: tuple[int, int], k: int) -> dict[str, object]:
    return {"rows": shape[0], "columns": shape[1], **columns_of(values, shape, 1e-3, k)}


@given(st.integers(12, 200), st.integers(1, 20))
def test_largest_values_and_quantiles_are_one_curve(full: int, k: int) -> None:
    values = np.linspace(2.0, 1.0, full) ** 3
    curve = known_spectrum_of_row(row_of(values, (full, 2 * full), min(k, full)))
    assert curve.complete
    assert np.all(np.diff(curve.ranks) > 0)
    assert np.all(np.diff(curve.sigma) <= 0)
    assert (curve.ranks[0], curve.ranks[-1]) == (1, full)
    # Of a spectrum that is smooth in its rank the quantiles lie where interpolation puts them.
    expected = np.interp(curve.ranks, np.arange(1, full + 1), values)
    assert np.allclose(curve.sigma, expected, rtol=1e-2)
    assert np.allclose(curve.errors, 1e-3 * curve.sigma, rtol=2e-2)


def test_without_quantiles_the_curve_ends_with_the_largest_values() -> None:
    row = row_of(np.linspace(2, 1, 100), (100, 200), 8)
    del row["quantiles"]
    curve = known_spectrum_of_row(row)
    assert not curve.complete
    assert curve.ranks.tolist() == list(range(1, 9))
    assert spectrum_of_row({**row, "top": None}) is None
    assert spectrum_of_row({**row, "rows": None}) is None


def test_a_side_of_a_pair_has_its_own_columns() -> None:
    shape = (40, 40)
    row = {"rows": 40, "columns": 40, **columns_of(np.linspace(3, 1, 40), shape, prefix="delta_")}
    assert spectrum_of_row(row) is None
    curve = spectrum_of_row(row, "delta")
    assert curve is not None
    assert curve.sigma[0] == 3.0


def test_thinning_keeps_both_ends_and_what_a_log_axis_tells_apart() -> None:
    curve = known_spectrum_of_row(row_of(np.linspace(3, 1, 1000), (1000, 1000), 1000))
    few = points_of_chart(curve, 40)
    assert len(few.ranks) <= 40
    assert (few.ranks[0], few.ranks[-1]) == (1, 1000)
    assert few.ranks[:4].tolist() == [1, 2, 3, 4]
    assert points_of_chart(few, 40) is few


@pytest.mark.parametrize("shape", [(300, 300), (200, 500), (500, 200), (50, 1000)])
def test_noise_has_the_density_of_marchenko_and_pastur(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = np.linalg.svd(rng.standard_normal(shape), compute_uv=False)
    edge = mp_edge(float(np.median(values)), shape)
    s = np.linspace(1e-6, edge, 20_001)
    density = density_of_noise(s, edge, shape)
    step = s[1] - s[0]
    assert density.sum() * step == pytest.approx(1.0, abs=2e-3)
    middle = s[np.searchsorted(np.cumsum(density) * step, 0.5)]
    assert middle**2 / max(shape) == pytest.approx(
        marchenko_pastur_median(min(shape) / max(shape)), rel=0.05
    )
    curve = known_spectrum_of_row(row_of(values, shape, 64))
    edges = np.linspace(0, 1.1 * edge, 9)
    measured = density_in_bars(curve, edges)
    fine = density_of_noise(np.linspace(1e-6, edges[-1], 8000), edge, shape).reshape(8, -1)
    assert np.allclose(measured, fine.mean(axis=1), atol=0.15 * measured.max())


def test_a_histogram_counts_every_value_once() -> None:
    rng = np.random.default_rng(1)
    values = np.sort(rng.gamma(3.0, size=64))[::-1]
    curve = known_spectrum_of_row(row_of(values, (64, 80), 64))
    edges = np.linspace(0, values[0] * 1.01, 30)
    density = density_in_bars(curve, edges)
    assert (density * np.diff(edges)).sum() == pytest.approx(1.0, abs=0.01)
    counts = np.cumsum(np.histogram(values, edges)[0]) / 64
    assert np.allclose(np.cumsum(density * np.diff(edges)), counts, atol=1.01 / 64)


@pytest.mark.parametrize(("k", "n"), [(8, 400), (40, 400), (120, 400)])
def test_the_least_angle_of_random_subspaces(k: int, n: int) -> None:
    rng = np.random.default_rng(2)
    results = []
    for _ in range(5):
        x, y = (np.linalg.qr(rng.standard_normal((n, k)))[0] for _ in range(2))
        results.append(np.arccos(np.linalg.svd(x.T @ y, compute_uv=False)[0]))
    expected = least_angle_of_chance(k, n)
    assert expected is not None
    assert np.mean(results) == pytest.approx(expected, rel=0.05)
    assert least_angle_of_chance(201, 400) is None


def test_every_measure_is_explained() -> None:
    explained, columns = explained_measures(), Scan.schema.columns
    for name in [column for column in columns if f"{column}_error" in columns]:
        assert name in explained, f"{name} has no line of its own"
    for entry in [*explained.values(), *explained_measures_of_pairs().values()]:
        assert entry.meaning.endswith(".")
        assert len(entry.meaning) < 160


def test_units_say_how_a_measure_grows_with_its_matrix() -> None:
    """A twofold matrix has twofold σ and fourfold λ; what has no unit stays as it is."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal((60, 40))
    one[0, 0] += 30.0
    two = 1.01 * one + 0.01 * rng.standard_normal(one.shape)
    models = [{"once": a, "twice": 2 * a} for a in (one, two)]
    measures = ["alpha_farms", "randomized_distance", "correlation_traps"]
    scan = ss.scan(models[0], effort="exact", k=10, measures=measures)
    pair = ss.compare(*models, effort="exact", k=10)
    unlike = "alpha_weighted", "log_alpha_norm"  # they have logarithms of λ
    seen = set()
    for table in (scan, pair):
        for column in measures_of(table.rows):
            seen.add(column)
            if column.endswith(unlike) or column.startswith("change_"):  # small differences
                continue
            factor = {"": 1, "σ": 2, "λ": 4}[entry_of(column).unit]
            once, twice = (table[name][column] for name in models[0])
            assert twice == pytest.approx(factor * once, rel=1e-9), column
    assert set(explained_measures()) - seen == {"abs_max"}, "vectors alone have this one"


def test_sides_of_a_pair_are_told_apart() -> None:
    labels = {side: entry_of(f"{side}_effective_rank").label for side in SIDES}
    assert labels["change"] == "change of effective rank"
    assert labels["delta"] == "effective rank of ΔW"
    assert len(set(labels.values())) == len(labels)
    assert entry_of("change_fro_norm").signed
    assert not entry_of("delta_fro_norm").signed
    assert entry_of("of_later_days").label == "of later days"


def test_measures_are_the_columns_with_numbers_and_errors() -> None:
    rows = [
        {"name": "a", "rows": 3, "alpha": None, "alpha_error": None, "new": 1.0, "new_error": 0.1},
        {
            "name": "b",
            "fro_norm": 2.0,
            "fro_norm_error": 0.0,
            "above_rounding": True,
            "cosine": 1.0,
        },
    ]
    assert measures_of(rows) == ["cosine", "fro_norm", "new"]
