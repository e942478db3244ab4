# SPDX-License-Identifier: BSD-3-Clause
"""Right merges: the true weights are inside the interval, and the claim is confirmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.mergers import ADAPTER_MERGERS, MODEL_MERGERS, Case, make_case
from tests.support.verified_merges import HALF, contains, verify_case

from sigmascope.provenance.merges.number_formats import FORMATS


def random_merge(seed: int) -> tuple[str, Case]:
    """Return a merger and a case that it can merge."""
    rng = np.random.default_rng(seed)
    adapters = bool(rng.random() < 0.5)
    base = HALF[str(rng.choice(["bf16", "f16", "f32"], p=[0.55, 0.3, 0.15]))]
    donors = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.4, 0.15, 0.05]))
    factors = torch.float32 if rng.random() < 0.5 else base
    shape = int(rng.choice([64, 96, 128])), int(rng.choice([64, 128, 192]))
    size = float(10 ** rng.uniform(-2.6, -1))
    name = str(rng.choice(list(ADAPTER_MERGERS if adapters else MODEL_MERGERS)))
    merged = base
    if name == "cut" and base != torch.bfloat16:
        name = "added_once"
    if name == "in_half" and factors != base:
        name = "peft_safely"
    if name in ("added_once", "linear32", "tasks32") and rng.random() < 0.3:
        merged = HALF[str(rng.choice(["bf16", "f16"]))]
    case = make_case(
        seed,
        shape=shape,
        base=base,
        donors=donors,
        adapters=adapters,
        factors=factors,
        size=size,
        merged=merged,
    )
    return name, case


def check(seed: int, folder: Path) -> None:
    name, case = random_merge(seed)
    merge = (ADAPTER_MERGERS | MODEL_MERGERS)[name]
    merged = merge(case.base, case.donors, case.weights)
    truth = case.weights
    if name == "tasks_in_half":  # the merger holds the weights in this format
        truth = torch.tensor(truth, dtype=case.base.dtype).double().tolist()
    result = verify_case(case, merged, folder)
    assert contains(result, truth), (name, truth, result.weights, result.rows)
    assert result.verdict == "confirmed", (name, result)


@pytest.mark.parametrize("seed", [1943, *range(36)])
def test_true_weights_are_inside_and_confirmed(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(100, 2100, 100))
def test_true_weights_are_inside_for_many_seeds(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 100):
        check(seed, tmp_path / str(seed))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_merge_cast_to_eight_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    case = make_case(2, shape=(128, 256), size=0.1, merged=dtype)
    merged = ADAPTER_MERGERS["added_once"](case.base, case.donors, case.weights)
    result = verify_case(case, merged, tmp_path)
    assert result.verdict == "confirmed"
    assert contains(result, [1.0])
    assert not contains(verify_case(case, merged, tmp_path / "b", [1.02]), [1.02])


@pytest.mark.parametrize("rows", [64, 512, 4096])
def test_the_width_is_that_of_the_extremes_of_uniform_errors(rows: int, tmp_path: Path) -> None:
    """On average 4 / sum |D| / h, with h half a cell; the float32 of the merger adds a little."""
    case = make_case(3, shape=(rows, 128), adapters=False)
    merged = MODEL_MERGERS["tasks32"](case.base, case.donors, case.weights)
    result = verify_case(case, merged, tmp_path)
    base, model = case.base.double().numpy(), case.donors[0].double().numpy()
    stored = merged.to(case.merged).double().numpy()
    low, high = FORMATS["bf16"].cells(stored)
    expected = 4 / (2 * np.abs(model - base) / (high - low)).sum()
    once = result.rows[0]["orders"][0]["weights"][0]
    assert 0.01 * expected <= once[1] - once[0] <= 6 * expected + 2e-6


def test_eight_donors(tmp_path: Path) -> None:
    case = make_case(11, shape=(128, 128), donors=8, adapters=False, size=0.03)
    merged = MODEL_MERGERS["tasks32"](case.base, case.donors, case.weights)
    result = verify_case(case, merged, tmp_path)
    assert result.verdict == "confirmed"
    assert contains(result, case.weights)


def test_parallel_donors_leave_their_weights_open(tmp_path: Path) -> None:
    """An adapter that is given twice: only the sum of its weights is known."""
    case = make_case(1, donors=2)
    twice = Case(case.base, [case.donors[0]] * 2, [0.25, 0.75], case.merged)
    merged = ADAPTER_MERGERS["added_once"](twice.base, twice.donors, twice.weights)
    result = verify_case(twice, merged, tmp_path)
    assert result.verdict == "confirmed"
    assert result.weights is not None
    assert [(each.low, each.high) for each in result.weights] == [(-np.inf, np.inf)] * 2


def test_ties_pin_the_weight_to_a_point(tmp_path: Path) -> None:
    """Half of a change by an odd number of units is a tie: the cell's end is the weight itself."""
    base = torch.full((64, 64), 1.0, dtype=torch.bfloat16)
    model = base + torch.randint(1, 40, (64, 64)) * 2.0**-7
    case = Case(base, [model.to(torch.bfloat16)], [0.5], torch.bfloat16)
    result = verify_case(case, MODEL_MERGERS["tasks32"](base, case.donors, [0.5]), tmp_path)
    assert result.verdict == "confirmed"
    once = result.rows[0]["orders"][0]
    assert once["order"] == "added in float32, rounded once"
    low, high = once["weights"][0]
    assert low <= 0.5 <= high
    assert high - low < 1e-5


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_infinities_of_the_base_say_nothing_of_the_weights(
    dtype: torch.dtype, adapters: bool, tmp_path: Path
) -> None:
    """They stay, whatever the weights; no weights make a finite number of one."""
    case = make_case(5, base=dtype, merged=dtype, adapters=adapters)
    places = torch.zeros(case.base.shape, dtype=torch.bool)
    places[3, ::7] = places[-1, -1] = True
    base = case.base.masked_fill(places, torch.inf)
    donors = (
        case.donors if adapters else [model.masked_fill(places, torch.inf) for model in case.donors]
    )
    infinite = Case(base, donors, case.weights, dtype)
    mergers = ADAPTER_MERGERS if adapters else MODEL_MERGERS
    merged = mergers["added_once" if adapters else "tasks32"](case.base, case.donors, case.weights)
    kept = verify_case(infinite, merged.masked_fill(places, torch.inf), tmp_path / "kept")
    assert kept.verdict == "confirmed"
    assert contains(kept, case.weights)
    places[3] = False  # those stay infinite; one in the corner becomes a number
    changed = merged.masked_fill(torch.isinf(base), torch.inf).masked_fill(places, 0.5)
    result = verify_case(infinite, changed, tmp_path / "changed")
    assert result.verdict == "refuted", result
    assert result.witness is not None
