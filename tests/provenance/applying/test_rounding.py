# SPDX-License-Identifier: BSD-3-Clause
"""Written numbers are the exact sums, rounded once, in every format."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.written_models import (
    FORMATS,
    QUERY,
    codes,
    exact_sums,
    make_adapter,
    make_model,
    make_tuned,
    nearest,
    read_folder,
)

from sigmascope.provenance import apply
from sigmascope.provenance.applying.rounding import (
    other_neighbour,
    round_exactly,
    round_sums,
    two_product,
    two_sum,
)
from sigmascope.provenance.merges.number_formats import FORMATS as NUMBERS

FIRST = QUERY.format(0)


@pytest.mark.parametrize("factors", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FORMATS)
def test_an_adapter_is_added_exactly_and_rounded_once(
    name: str, factors: Any, tmp_path: Path
) -> None:
    dtype = FORMATS[name]
    base = make_model(tmp_path / "base", dtype)
    a, b, scale = make_adapter(tmp_path / "adapter", dtype=factors)
    result = apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter", weights=[0.7])
    assert result.verdict == "confirmed", result.sentences
    written = read_folder(tmp_path / "out")
    exact = exact_sums(base[FIRST], [(a, b, 1.0)])
    weights = [Fraction(x) for x in base[FIRST].double().ravel().tolist()]
    scaled = Fraction(scale) * Fraction(0.7)
    sums = [w + scaled * (x - w) for x, w in zip(exact, weights, strict=True)]
    assert codes(written[FIRST]) == codes(nearest(sums, base[FIRST], dtype))
    for each in base.keys() - {FIRST}:
        assert codes(written[each]) == codes(base[each]), each


@pytest.mark.parametrize("weights", [(0.5, 0.25), (0.3, 0.3), (1.0, -1.0), (0.36, 0.34)])
@pytest.mark.parametrize("name", FORMATS)
def test_models_are_added_exactly_and_rounded_once(
    name: str, weights: tuple[float, float], tmp_path: Path
) -> None:
    """Halves and quarters of sums of half-precision numbers are often midpoints."""
    pytest.importorskip("scipy")
    dtype = FORMATS[name]
    base = make_model(tmp_path / "base", dtype)
    tuned = [make_tuned(tmp_path / f"model{i}", base, i) for i in (1, 2)]
    folders = [tmp_path / "model1", tmp_path / "model2"]
    result = apply(tmp_path / "base", tmp_path / "out", folders, weights=weights)
    assert result.verdict == "confirmed", result.sentences
    written = read_folder(tmp_path / "out")
    for each in (FIRST, "model.norm.weight"):
        terms: list[Any] = [(tuned[i][each], weights[i]) for i in (0, 1)]
        sums = exact_sums(base[each], terms)
        assert codes(written[each]) == codes(nearest(sums, base[each], dtype)), each


@pytest.mark.parametrize("written_as", FORMATS)
@pytest.mark.parametrize("stored_as", FORMATS)
def test_a_conversion_rounds_once(stored_as: str, written_as: str, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", FORMATS[stored_as])
    a, b, scale = make_adapter(tmp_path / "adapter")
    result = apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter", dtype=written_as)
    assert result.verdict == "confirmed", result.sentences
    written = read_folder(tmp_path / "out")
    dtype = FORMATS[written_as]
    sums = exact_sums(base[FIRST], [(a, b, scale)])
    assert codes(written[FIRST]) == codes(nearest(sums, base[FIRST], dtype))
    other = QUERY.format(1)
    assert codes(written[other]) == codes(base[other].to(dtype))
    assert written["model.positions"].dtype == torch.int64
    statuses = {row["name"]: row["status"] for row in result.rows}
    assert statuses[other] == ("copied" if stored_as == written_as else "converted")


def test_an_adapter_and_a_model_are_added_together(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    base = make_model(tmp_path / "base")
    tuned = make_tuned(tmp_path / "model", base, 1)
    a, b, scale = make_adapter(tmp_path / "adapter")
    donors = [tmp_path / "adapter", tmp_path / "model"]
    result = apply(tmp_path / "base", tmp_path / "out", donors, weights=[1, 0.5])
    terms: list[Any] = [(a, b, scale), (tuned[FIRST], 0.5)]
    expected = nearest(exact_sums(base[FIRST], terms), base[FIRST], torch.bfloat16)
    assert codes(read_folder(tmp_path / "out")[FIRST]) == codes(expected)
    assert result.verdict == "confirmed", result.sentences


@pytest.mark.parametrize("name", ["bf16", "f16", "f32"])
def test_exact_numbers_near_ties_are_rounded_by_their_side(name: str) -> None:
    number_format = NUMBERS[name]
    small = Fraction(1, 10**60)
    for low in (1.0, 1.5, -2.0, 0.0, number_format.largest):
        below = np.array(low)
        above = number_format.next_up(below)
        tie = Fraction(float(below)) / 2 + Fraction(float(above)) / 2
        up = float(above) if float(above) <= number_format.largest else np.inf
        assert round_exactly(tie + small, number_format) == up
        assert round_exactly(tie - small, number_format) == low
        even = number_format.round(np.array(float(tie)))
        assert round_exactly(tie, number_format) == even
        assert not np.isnan(other_neighbour(np.array(float(tie)), even, number_format))
        sums, bounds = np.array([float(tie)]), np.array([1e-12])
        exact = {0: tie + small}
        assert round_sums(sums, bounds, number_format, exact.__getitem__) == up


def test_sums_and_products_keep_their_errors() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(100), rng.standard_normal(100) * 1e-9
    total, rest = two_sum(a, b)
    product, error = two_product(0.3, a)
    for i in range(100):
        assert Fraction(total[i]) + Fraction(rest[i]) == Fraction(a[i]) + Fraction(b[i])
        assert Fraction(product[i]) + Fraction(error[i]) == Fraction(0.3) * Fraction(a[i])
