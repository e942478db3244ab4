# SPDX-License-Identifier: BSD-3-Clause
"""Closed forms of what rounding leaves of a change."""

from __future__ import annotations

from math import erfc, exp, pi, sqrt

import numpy as np
import pytest

from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.survival import expected_survival, remains


@pytest.mark.parametrize("tau", [0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5, 4.0, 9.0])
def test_moments_are_integrals_over_the_normal_density(tau: float) -> None:
    """By the cells of each integer, with the normal distribution's partial moments."""
    survived = power = 0.0
    for j in range(1, 200):
        low, high = (j - 0.5) / tau, (j + 0.5) / tau
        density = (exp(-low * low / 2) - exp(-high * high / 2)) / sqrt(2 * pi)
        survived += 2 * j * density / tau
        power += 2 * j * j * (erfc(low / sqrt(2)) - erfc(high / sqrt(2))) / 2 / tau**2
    changed = erfc(0.5 / tau / sqrt(2))
    assert remains(tau) == pytest.approx((survived, changed, power), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("tau", [0.4, 0.6, 1.0])
def test_poisson_gives_the_same_sum(tau: float) -> None:
    other = 1 + 2 * sum((-1) ** k * exp(-2 * pi**2 * k**2 * tau**2) for k in range(1, 60))
    assert remains(tau)[0] == pytest.approx(other, rel=1e-12)


def test_no_change_leaves_nothing() -> None:
    assert remains(0.0) == (0.0, 0.0, 0.0)
    assert expected_survival({}, FORMATS["bf16"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["bf16", "f16", "f8_e4m3"])
@pytest.mark.parametrize("size", [1e-1, 1e-2, 1e-3, 1e-4])
def test_mixed_over_binades_it_is_the_simulation(name: str, size: float) -> None:
    rng, facts = np.random.default_rng(0), FORMATS[name]
    scale = 16.0 if name == "f8_e4m3" else 1.0
    base = facts.round(scale * rng.standard_normal(300_000))
    change = scale * size * rng.standard_normal(300_000)
    stored = facts.round(base + change) - base
    fractions, exponents = np.frexp(base)
    binades = {}
    for exponent in np.unique(exponents):
        for is_power in (False, True):
            chosen = (exponents == exponent) & ((np.abs(fractions) == 0.5) == is_power)
            squares = float((change[chosen] ** 2).sum())
            binades[int(exponent), is_power] = int(chosen.sum()), squares
    expected = expected_survival(binades, facts)
    squares = change @ change
    simulated = (
        change @ stored / squares,
        float((stored != 0).mean()),
        sqrt(((stored - change) @ (stored - change)) / squares),
    )
    assert tuple(expected) == pytest.approx(simulated, abs=0.006)
