# SPDX-License-Identifier: BSD-3-Clause
"""The result types: what they unpack to, print, and write."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.spectra import SVD, Measure, Moments, SingularValues, Spectrum


@pytest.fixture
def svd():
    return SVD(
        U=np.eye(5, 2), s=np.array([3.0, 1.0]), Vt=np.eye(2, 4), residuals=np.array([1e-6, 2e-5]),
        errors=np.array([1e-9, 2e-7]), converged=True, passes=7, block=16, columns=112,
        precision="float64", method="block Krylov", seed=0, seconds=0.25, num_threads=2,
        fro_norm=math.sqrt(10), notes=("a note",),
    )  # fmt: skip


@pytest.fixture
def moments():
    rows = np.r_[np.linspace(0.9, 1.1, 19), 9.0]
    columns = np.linspace(1.0, 1.2, 30)
    return Moments(
        shape=(20, 30), count=600, zeros=3, nan=0, inf=0, first_nonfinite=None, min=-1.0, max=2.0,
        mean=0.01, std=0.5, skewness=0.1, kurtosis=3.1, fro_norm=12.0, abs_max=2.0, row_norms=rows,
        column_norms=columns, histogram=None, passes=1, seconds=0.01,
    )  # fmt: skip


@pytest.fixture
def spectrum(svd, moments):
    measures = {
        "fro_norm": Measure(12.0, 0.0, "exact"),
        "stable_rank": Measure(2.5, 0.01, "top"),
        "broken": Measure(math.inf, math.nan, "top"),
    }
    return Spectrum(
        shape=(20, 30), effort="top", k=2, top=svd.s, top_errors=svd.errors, values=None,
        value_errors=None, density=None, moments=moments, measures=measures, method="block Krylov",
        precision="float32", passes=8, block=32, columns=64, seed=1, seconds=0.5, num_threads=1,
        converged=False, notes=("one", "two"),
    )  # fmt: skip


def test_svd_unpacks_as_numpy_does(svd):
    U, s, Vt = svd
    assert U is svd.U
    assert s is svd.s
    assert Vt is svd.Vt
    assert len(svd) == 3
    assert svd[1] is s
    assert svd[-1] is Vt
    text = repr(svd)
    assert "k = 2" in text
    assert "sigma = [3, 1]" in text
    assert "error <= 2e-07, residual <= " in text
    assert "converged" in text
    assert "NOT" not in text
    assert "NOT converged" in repr(dataclasses.replace(svd, converged=False))


def test_representations_count_steps_and_reads(svd, spectrum):
    assert "converged, 7 reads, float64" in repr(svd)
    assert "converged, 5 steps, 7 reads, float64" in repr(dataclasses.replace(svd, steps=5))
    assert "1 step, 1 read," in repr(dataclasses.replace(svd, steps=1, passes=1))
    assert f"converged, {spectrum.passes} reads, " in repr(spectrum)


def test_results_are_frozen(svd):
    with pytest.raises(dataclasses.FrozenInstanceError):
        svd.passes = 3


def test_singular_values_behave_as_an_array():
    values = np.array([5.0, 4.0, 3.0, 1.0])
    s = SingularValues(
        values=values, errors=np.full(4, 1e-9), floor=1e-7, method="Gram", precision="float64",
        passes=1, seconds=0.1, num_threads=1, fro_norm=1.0,
    )  # fmt: skip
    assert len(s) == 4
    assert list(s) == [5.0, 4.0, 3.0, 1.0]
    assert s[0] == 5.0
    np.testing.assert_array_equal(s[1:3], [4.0, 3.0])
    np.testing.assert_array_equal(np.asarray(s), values)
    assert np.asarray(s, dtype=np.float32).dtype == np.float32
    assert np.asarray(s, copy=True) is not values
    assert np.sum(s) == 13.0
    assert "4 values, sigma = [5, 4, 3, ...], floor 1e-07" in repr(s)


def test_measure_prints_value_error_and_basis():
    assert repr(Measure(948.123456, 2.345, "density")) == "Measure(948 ± 2, density)"


def test_a_row_that_is_large_by_one_entry_is_not_an_outlier():
    A = np.random.default_rng(0).standard_normal((200, 300))
    A[17, 5] = 40
    of_entry = ss.moments(A)
    assert of_entry.row_norms[17] > 2.4 * np.median(of_entry.row_norms)
    assert len(of_entry.outlier_rows()) == 0
    A[17] = 2.5 * A[18]
    np.testing.assert_array_equal(ss.moments(A).outlier_rows(), [17])


@pytest.mark.parametrize(("norm", "far"), [(14.4, False), (14.5, True)])
def test_a_threshold_counts_robust_standard_deviations(norm, far):
    """Norms about 10 with a median deviation of 1: three deviations are 4.4478."""
    norms = [9.0, 9.0, 9.0, 10.0, 11.0, 11.0, norm]
    rows = ss.moments(np.diag(norms)).outlier_rows(threshold=3)
    assert rows.tolist() == [6] * far


def test_moments_find_outlier_rows(moments):
    np.testing.assert_array_equal(moments.outlier_rows(), [19])
    assert len(moments.outlier_columns()) == 0
    assert len(moments.outlier_rows(threshold=1e3)) == 0
    empty = dataclasses.replace(moments, row_norms=np.zeros(0))
    assert len(empty.outlier_rows()) == 0
    assert "20 x 30" in repr(moments)
    assert "NaN" not in repr(moments)
    assert "2 NaN, 1 Inf" in repr(dataclasses.replace(moments, nan=2, inf=1))


def test_spectrum_gives_measures_by_name(spectrum):
    assert spectrum["stable_rank"].value == 2.5
    assert "stable_rank" in spectrum
    assert "effective_rank" not in spectrum
    with pytest.raises(KeyError, match=r"no measure 'effective_rank' at effort 'top'.*stable_rank"):
        spectrum["effective_rank"]
    assert "stable_rank 2.500 ± 0.010" in repr(spectrum)
    assert "NOT converged" in repr(spectrum)


def test_spectrum_record_is_flat_json(spectrum):
    record = json.loads(json.dumps(spectrum.to_dict(), allow_nan=False))
    assert record["rows"] == 20
    assert record["columns"] == 30
    assert record["stable_rank"] == 2.5
    assert record["stable_rank_error"] == 0.01
    assert record["broken"] is None
    assert record["broken_error"] is None
    assert record["notes"] == "one; two"
    assert record["converged"] is False
