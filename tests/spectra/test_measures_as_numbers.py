# SPDX-License-Identifier: BSD-3-Clause
"""Measures in arithmetic and comparisons, and spectra as dictionaries of measures."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import sigmascope as ss
from sigmascope.spectra import Measure

values = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
errors = st.floats(0, 1e3)
places = st.floats(-1, 1)
OPERATIONS: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
]


@pytest.mark.parametrize("act", OPERATIONS)
@example(8192.0, 0.0, 8192.0, 1e-7, 0.0, 1.0)  # float64 has no number so near to 8192
@given(values, errors, values, errors, places, places)
def test_errors_contain_every_result_that_they_allow(
    act: Callable[[Any, Any], Any], a: float, d: float, b: float, e: float, s: float, t: float
) -> None:
    assume(b != 0)
    result = act(Measure(a, d, "exact"), Measure(b, e, "exact"))
    assert result.value == act(a, b)
    if math.isfinite(result.error):
        x, y = (Fraction(v) + Fraction(p) * Fraction(r) for v, p, r in ((a, s, d), (b, t, e)))
        off = abs(act(x, y) - Fraction(result.value))
        assert float(off) <= result.error * (1 + 1e-9) + 1e-9 * abs(result.value)
    else:
        assert act is operator.truediv
        assert abs(b) <= e


def test_the_error_is_reached() -> None:
    a, b = Measure(3.0, 0.5, "top"), Measure(2.0, 0.25, "top")
    assert (a + b).error == (a - b).error == 0.75
    assert (a * b).error == 3.5 * 2.25 - 6
    assert (a / b).error == pytest.approx(3.5 / 1.75 - 1.5)
    assert (a / Measure(0.1, 0.1, "top")).error == math.inf


def test_numbers_have_no_error() -> None:
    m = Measure(4.0, 0.5, "density")
    for result, value, error in (
        (2 * m, 8.0, 1.0),
        (np.float64(2) * m, 8.0, 1.0),
        (m * np.int32(2), 8.0, 1.0),
        (m / 2, 2.0, 0.25),
        (1 - m, -3.0, 0.5),
        (m - 1, 3.0, 0.5),
        (1 + m, 5.0, 0.5),
        (-m, -4.0, 0.5),
        (abs(-m), 4.0, 0.5),
        (14 / m, 3.5, 0.5),
        (sum([m, m]), 8.0, 1.0),
    ):
        assert (result.value, result.error, result.basis) == (value, error, "density")
    assert (m + Measure(1.0, 0.0, "exact")).basis == "combined"
    with pytest.raises(TypeError, match="combined only with numbers and measures, not with '1'"):
        m + "1"  # type: ignore[operator]


@pytest.mark.parametrize("act", OPERATIONS)
def test_arrays_combine_their_elements(act: Callable[[Any, Any], Any]) -> None:
    m, numbers = Measure(4.0, 0.5, "density"), np.array([1.0, 2.0])
    for result, expected in (
        (act(m, numbers), [act(m, x) for x in numbers]),
        (act(numbers, m), [act(x, m) for x in numbers]),
    ):
        assert result.dtype == object
        assert result.tolist() == expected


def test_a_measure_is_used_as_its_value() -> None:
    m, same = Measure(24.375, 0.8, "density"), Measure(24.375, 0.8, "density")
    assert float(m) == math.floor(m.value) + 0.375 == m
    assert m == same
    assert m != Measure(24.375, 0.7, "density")
    assert m != Measure(24.375, 0.8, "top")
    assert m != "24.375"
    assert len({m, same, 24.375}) == 1
    assert m > 24 and m >= 24.375 and m < 25 and m <= same and 20 < m  # noqa: PT018, SIM300
    assert sorted([m, Measure(1.0, 9.0, "top")])[0].value == 1
    assert (f"{m:.1f}", f"{m}", f"{m:8.2e}") == ("24.4", "24.4 ± 0.8", "2.44e+01")
    np.testing.assert_array_equal(np.array([m, same], dtype=float), [24.375, 24.375])
    assert math.isclose(m, 24.375)


def test_a_spectrum_is_a_dictionary_of_measures() -> None:
    spectrum = ss.spectrum(np.diag([4.0, 2.0, 1.0]), effort="exact")
    assert list(spectrum) == list(spectrum.keys()) == list(spectrum.measures)
    assert len(spectrum) == len(spectrum.measures)
    assert dict(spectrum) == spectrum.measures
    assert dict(spectrum.items()) == spectrum.measures
    assert spectrum.get("stable_rank") is spectrum["stable_rank"] is spectrum.stable_rank
    assert spectrum.get("no measure") is None
    assert spectrum.get("no measure", 3) == 3
    assert "stable_rank" in dir(spectrum)
    np.testing.assert_allclose(spectrum.singular_values, [4, 2, 1])
    with pytest.raises(AttributeError, match=r"no measure .stable.*available: fro_norm"):
        _ = spectrum.stable
    for other in (copy.copy(spectrum), pickle.loads(pickle.dumps(spectrum))):
        assert other.measures == spectrum.measures


def test_known_singular_values_of_a_search() -> None:
    A = np.diag(np.arange(1.0, 300.0))
    spectrum = ss.spectrum(A, effort="top", k=4)
    assert spectrum.values is None
    assert spectrum.singular_values is spectrum.top
