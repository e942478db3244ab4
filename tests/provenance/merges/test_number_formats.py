# SPDX-License-Identifier: BSD-3-Clause
"""Cells of stored numbers: exhaustive for 8 and 16 bits, and at the ends of float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from sigmascope.provenance.merges.number_formats import FORMATS, NumberFormat

DTYPES = {
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f16": np.dtype(np.float16),
    "f8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "f8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "f32": np.dtype(np.float32),
}
SMALL = [name for name in DTYPES if name != "f32"]


def stored_numbers(name: str) -> np.ndarray:
    """Return every finite number of a format, ascending; of float32 those around every binade."""
    if name == "f32":
        bits = np.arange(0, 2**31, 2**23, dtype=np.int64)[:, None] + np.arange(-3, 4)
        bits = bits[(bits >= 0) & (bits < 0x7F80_0000)].astype(np.uint32)
        positive = bits.view(np.float32).astype(np.float64)
        return np.unique(np.concatenate([-positive, positive]))
    dtype = DTYPES[name]
    kind = np.uint16 if dtype.itemsize == 2 else np.uint8
    codes = np.arange(2 ** (8 * dtype.itemsize), dtype=np.int64).astype(kind)
    with np.errstate(invalid="ignore"):  # of NaN
        numbers = codes.view(dtype).astype(np.float64)
    return np.unique(numbers[np.isfinite(numbers)])


def cast(x: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(DTYPES[name]).astype(np.float64)


@pytest.mark.parametrize("name", DTYPES)
def test_facts_of_a_format_are_those_of_its_dtype(name: str) -> None:
    facts, known = FORMATS[name], ml_dtypes.finfo(DTYPES[name])
    assert facts.largest == float(known.max)
    assert facts.digits == known.nmant + 1
    assert 2.0**facts.least == float(known.smallest_subnormal)


@pytest.mark.parametrize("name", SMALL)
def test_neighbours_are_the_next_numbers(name: str) -> None:
    numbers, facts = stored_numbers(name), FORMATS[name]
    np.testing.assert_array_equal(facts.next_up(numbers[:-1]), numbers[1:])
    np.testing.assert_array_equal(facts.next_down(numbers[1:]), numbers[:-1])


@pytest.mark.parametrize("name", DTYPES)
def test_a_cell_has_all_reals_that_round_to_its_number_and_no_others(name: str) -> None:
    numbers, facts = stored_numbers(name), FORMATS[name]
    numbers = numbers[np.abs(numbers) < facts.largest]
    low, high = facts.cells(numbers)
    inside = 1e-6 * (high - low)
    for x in (low + inside, numbers, high - inside):
        np.testing.assert_array_equal(facts.round(x), numbers)
    assert (facts.round(low - inside) < numbers).all()
    assert (facts.round(high + inside) > numbers).all()
    np.testing.assert_array_equal(low[1:][np.diff(numbers) > 0] >= numbers[:-1], True)


@pytest.mark.parametrize("name", SMALL)
def test_cells_of_neighbours_meet(name: str) -> None:
    numbers, facts = stored_numbers(name), FORMATS[name]
    low, high = facts.cells(numbers)
    np.testing.assert_array_equal(low[1:], high[:-1])


@pytest.mark.parametrize("name", DTYPES)
def test_rounding_is_that_of_the_dtype(name: str) -> None:
    """Random reals that float32 holds, midpoints of neighbours, and numbers near the ends."""
    rng, facts = np.random.default_rng(0), FORMATS[name]
    reach = np.log10(facts.largest) - 1
    x = rng.standard_normal(50_000) * 10.0 ** rng.uniform(np.log10(2.0**facts.least), reach, 50_000)
    numbers = stored_numbers(name)
    x = np.concatenate([x, numbers, (numbers[1:] + numbers[:-1]) / 2, [0.0, -0.0]])
    x = x.astype(np.float32).astype(np.float64)
    x = x[np.abs(x) <= facts.largest]
    np.testing.assert_array_equal(facts.round(x), cast(x, name))


@pytest.mark.parametrize("name", ["bf16", "f16", "f8_e5m2", "f32"])
def test_numbers_beyond_the_largest_become_infinite(name: str) -> None:
    facts = FORMATS[name]
    edge = facts.largest + float(facts.spacing(np.array(facts.largest))) / 2
    np.testing.assert_array_equal(facts.round(np.array([edge, -edge])), [np.inf, -np.inf])
    np.testing.assert_array_equal(facts.round(np.array([edge * (1 - 1e-12)])), [facts.largest])
    low, high = facts.cells(np.array([np.inf, -np.inf, facts.largest]))
    assert (low[0], high[0]) == (edge, np.inf)
    assert (low[1], high[1]) == (-np.inf, -edge)
    assert high[2] == edge


def test_e4m3_saturates() -> None:
    facts = FORMATS["f8_e4m3"]
    np.testing.assert_array_equal(facts.round(np.array([1e6, -np.inf])), [448.0, -448.0])
    low, high = facts.cells(np.array([448.0, -448.0]))
    assert high[0] == np.inf
    assert low[1] == -np.inf
    assert low[0] == 432.0


def test_the_cell_of_nan_is_empty() -> None:
    low, high = FORMATS["bf16"].cells(np.array([np.nan]))
    assert low[0] > high[0]


@pytest.mark.parametrize("name", SMALL)
def test_sources_are_the_reals_that_round_into_an_interval(name: str) -> None:
    """Against every number of the format, for intervals of all sizes, also without a number."""
    rng, facts, numbers = np.random.default_rng(1), FORMATS[name], stored_numbers(name)
    numbers = numbers[np.abs(numbers) < facts.largest]
    low = rng.choice(numbers, 4000) + rng.uniform(-2, 2, 4000) * 2.0**facts.least
    high = low + np.abs(low) * rng.choice([0.0, 1e-4, 0.01, 0.5], 4000)
    first, last = facts.sources(low, high)
    i = np.searchsorted(numbers, low, side="left")
    j = np.searchsorted(numbers, high, side="right") - 1
    inner = (i > 0) & (j < len(numbers) - 1) & (i < len(numbers))
    empty = i > j
    np.testing.assert_array_equal((first > last)[inner], empty[inner])
    some = inner & ~empty
    np.testing.assert_array_equal(first[some], facts.cells(numbers[i[some]])[0])
    np.testing.assert_array_equal(last[some], facts.cells(numbers[j[some]])[1])


@pytest.mark.parametrize(
    ("rounding", "number", "cell"),
    [
        ("toward zero", 1.0, (1.0, 1 + 2.0**-7)),
        ("toward zero", -1.0, (-1 - 2.0**-7, -1.0)),
        ("toward zero", 0.0, (-(2.0**-133), 2.0**-133)),
        ("either", 1.0, (1 - 2.0**-8, 1 + 2.0**-7)),
    ],
)
def test_other_roundings_have_wider_cells(
    rounding: str, number: float, cell: tuple[float, float]
) -> None:
    low, high = FORMATS["bf16"].cells(np.array([number]), rounding)
    assert (low[0], high[0]) == cell


def test_the_spacing_of_zero_is_the_least_number() -> None:
    toy = NumberFormat("toy", "toy", 3, -4, 7.0)
    np.testing.assert_array_equal(toy.spacing(np.array([0.0, 1e-300, 0.25, 1.0, 1.9, 4.0])),
                                  [2.0**-4, 2.0**-4, 2.0**-4, 0.25, 0.25, 1.0])  # fmt: skip
