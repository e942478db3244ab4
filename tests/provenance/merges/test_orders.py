# SPDX-License-Identifier: BSD-3-Clause
"""Orders of rounding: what a merger stores is among what its order may store, number by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.mergers import (
    ADAPTER_MERGERS,
    MODEL_MERGERS,
    Case,
    make_case,
)

from sigmascope.provenance.merges.blocks import FLOAT32, Block, Change, Formats
from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.order_list import AT_RANDOM, InTurn, ModelProducts, iter_orders
from sigmascope.provenance.merges.orders import Once, Order, RoundedChange

BF16, F16, F32 = (FORMATS[name] for name in ("bf16", "f16", "f32"))
NAMES = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}


def block_of(case: Case, merged: torch.Tensor) -> Block:
    base = case.base.double().numpy().ravel()
    changes = []
    for donor in case.donors:
        if case.adapters:
            a, b, scale = donor[0].double().numpy(), donor[1].double().numpy(), donor[2]
            error = np.outer(np.linalg.norm(b, axis=1), np.linalg.norm(a, axis=0))
            error *= FLOAT32 * (len(a) + 2) * scale
            changes.append(Change((scale * (b @ a)).ravel(), error.ravel(), scale))
        else:
            change = donor.double().numpy().ravel() - base
            changes.append(Change(change, np.zeros_like(change)))
    factors = case.donors[0][0].dtype if case.adapters else case.base.dtype
    formats = Formats(
        FORMATS[NAMES[case.base.dtype]], FORMATS[NAMES[case.merged]], FORMATS[NAMES[factors]]
    )
    stored = merged.to(case.merged).double().numpy().ravel()
    return Block(base, stored, tuple(changes), formats)


ORDERS: dict[tuple[str, int], Callable[[Any], Order]] = {
    ("added_once", 1): lambda f: Once(),
    ("added_once", 3): lambda f: Once(),
    ("cut", 2): lambda f: Once("toward zero"),
    ("addmm", 1): lambda f: Once(),
    ("peft_on_cpu", 1): RoundedChange,
    ("peft_on_cpu", 2): lambda f: InTurn((0, 1), f),
    ("peft_safely", 1): RoundedChange,
    ("in_half", 1): lambda f: RoundedChange(f, products=True),
    ("in_half", 2): lambda f: InTurn((0, 1), f, products=True),
    ("linear32", 2): lambda f: Once(),
    ("tasks32", 2): lambda f: Once(),
    ("tasks_in_half", 1): lambda f: RoundedChange(f, products=True),
    ("tasks_in_half", 3): lambda f: RoundedChange(f, products=True),
    ("linear_in_half", 1): ModelProducts,
    ("linear_in_half", 2): ModelProducts,
}
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
CASES = [(*case, name) for case in ORDERS for name in DTYPES if (case[0], name) != ("cut", "f16")]
"""Low digits are cut off of float32 where bfloat16 is stored."""


@pytest.mark.parametrize("size", [0.003, 0.1])
@pytest.mark.parametrize(("merger", "donors", "dtype"), CASES)
def test_bounds_and_replay_contain_what_a_merger_stores(
    merger: str, donors: int, dtype: str, size: float
) -> None:
    merge = (ADAPTER_MERGERS | MODEL_MERGERS)[merger]
    base = DTYPES[dtype]
    case = make_case(
        5, base=base, donors=donors, adapters=merger in ADAPTER_MERGERS, factors=base, size=size
    )
    block = block_of(case, merge(case.base, case.donors, case.weights))
    order = ORDERS[merger, donors](FORMATS[dtype])
    weights = np.array(case.weights)
    nominal = weights
    if merger == "tasks_in_half":
        weights = FORMATS[dtype].round(weights)
    assert order.stores(block, weights, weights).all()
    change = nominal @ block.donors
    low, high = order.bounds(block, np.abs(nominal))
    exact = weights @ block.donors
    assert ((low <= exact) & (exact <= high)).all()
    # In a box around the weights, the ends are further apart on both sides.
    least, largest = order.play(block, weights - 0.01, weights + 0.02)
    one, other = order.play(block, weights, weights)
    assert (least <= one).all()
    assert (other <= largest).all()
    # Most numbers bound the change: otherwise nothing would follow from them.
    width = np.median((high - low)[np.isfinite(high - low)])
    assert width <= 40 * np.median(FORMATS[dtype].spacing(block.base + change))


@pytest.mark.parametrize("donors", [1, 2, 3])
def test_every_order_contains_its_own_replay(donors: int) -> None:
    """Numbers that an order stores at some weights are within its bounds for these weights."""
    case = make_case(3, donors=donors, factors=torch.bfloat16, size=0.02)
    block = block_of(case, case.base)
    weights = np.array(case.weights)
    for order in [*iter_orders(block.formats, donors, models=False), AT_RANDOM]:
        for end in order.play(block, weights, weights):
            stored = Block(block.base, end, block.changes, block.formats)
            low, high = order.bounds(stored, np.abs(weights))
            change = weights @ block.donors
            assert ((low <= change) & (change <= high)).all(), order.words
            assert order.stores(stored, weights, weights).all(), order.words


def test_words_of_orders_are_distinct() -> None:
    for donors in (1, 2, 3, 5):
        for models in (False, True):
            formats = Formats(F16, BF16, BF16)
            words = [order.words for order in iter_orders(formats, donors, models=models)]
            assert len(set(words)) == len(words)


def test_several_sequences_are_tried() -> None:
    def sequences(donors: int) -> set[tuple[int, ...]]:
        orders = iter_orders(Formats(BF16, BF16, F32), donors, models=False)
        return {order.sequence for order in orders if isinstance(order, InTurn)}

    assert sequences(1) == set()
    assert sequences(2) == {(0, 1), (1, 0)}
    assert len(sequences(3)) == 6
    assert sequences(5) == {(0, 1, 2, 3, 4), (4, 3, 2, 1, 0)}


def test_a_number_that_is_not_a_rounded_sum_refutes_an_order() -> None:
    """W + rnd(x): 1 + 2^-8 x 1.5 is a sum of numbers of bfloat16, 1 + 2^-8 alone is a tie."""
    zero = Change(np.array([2.0**-8]), np.zeros(1))
    formats = Formats(BF16, BF16, BF16)
    block = Block(np.ones(1), np.array([1 + 2.0**-6]), (zero,), formats)
    assert not Once().stores(block, np.ones(1), np.ones(1)).all()
    assert Once().stores(block, np.array([4.0]), np.array([4.0])).all()
