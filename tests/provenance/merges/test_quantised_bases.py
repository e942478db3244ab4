# SPDX-License-Identifier: BSD-3-Clause
"""Merges onto bases that hold codes, and onto copies of a base in codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tests.support.mergers import (
    Case,
    added_once,
    in_half,
    make_case,
    peft_on_cpu,
    peft_safely,
)
from tests.support.quantised_merges import (
    BLOCK_LAYOUTS,
    NAME,
    four_bits,
    int8_rows,
    intervals,
    verify_against,
    write_coded,
    write_gguf,
)
from tests.support.verified_merges import contains
from torch import Tensor

import sigmascope as ss
from sigmascope.extension.pairs import members
from sigmascope.provenance import Verification, verify
from sigmascope.provenance.merges.blocks import Block, Formats, join
from sigmascope.provenance.merges.cell_readers import cell_reader
from sigmascope.provenance.merges.coded_source import CodedSource
from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.order_list import iter_orders
from sigmascope.provenance.merges.sources import AdapterDonor

SHAPE = (64, 128)


def decoded(weight: Tensor, layout: str) -> Tensor:
    kind = gguf.GGMLQuantizationType[layout]
    codes = gguf.quantize(weight.float().numpy(), kind)
    return torch.from_numpy(gguf.dequantize(codes, kind))


def merge_onto(
    case: Case, numbers: Tensor, layout: str, merged: str, folder: Path, claim: float = 1.0
) -> Verification:
    """Verify a merge onto some numbers, where the base at hand holds codes of them."""
    base = write_gguf(folder / "base.gguf", case.base, layout)
    total = added_once(numbers, case.donors, case.weights)
    file = {NAME: total.half()} if merged == "f16" else write_gguf(folder / "m.gguf", total, merged)
    return verify_against(case, file, folder, claim, base)


@pytest.mark.parametrize(("layout", "merged"), [("Q8_0", "f16"), ("Q4_0", "Q8_0")])
def test_a_merge_onto_the_decoded_base_is_confirmed(
    layout: str, merged: str, tmp_path: Path
) -> None:
    case = make_case(3, shape=SHAPE, factors=torch.bfloat16, size=0.03)
    result = merge_onto(case, decoded(case.base, layout), layout, merged, tmp_path)
    assert result.verdict == "confirmed"
    low, high = intervals(result)["added in float32, rounded once, onto the decoded base"]
    assert low <= 1 <= high
    assert high - low < 0.002
    if merged == "f16":
        return
    refuted = merge_onto(case, decoded(case.base, layout), layout, merged, tmp_path, 1.2)
    assert refuted.verdict == "refuted"


@pytest.mark.parametrize(("layout", "merged"), [("Q8_0", "f16"), ("Q4_0", "Q8_0"), ("Q5_1", "f16")])
def test_a_merge_onto_the_original_is_bounded_by_both_cells(
    layout: str, merged: str, tmp_path: Path
) -> None:
    case = make_case(4, shape=SHAPE, factors=torch.bfloat16, size=0.03)
    result = merge_onto(case, case.base, layout, merged, tmp_path)
    assert contains(result, [1.0]), result.rows
    assert all("before they were quantised" in order for order in result.orders)
    assert len(result.orders) == len(set(result.orders))
    assert result.verdict == "undetermined"  # some such numbers exist; that confirms nothing
    assert merge_onto(case, case.base, layout, merged, tmp_path, 2.0).verdict == "refuted"


MERGES = {
    "added_once": added_once,
    "peft_on_cpu": peft_on_cpu,
    "peft_safely": peft_safely,
    "in_half": in_half,
}


@pytest.mark.parametrize("donors", [1, 2])
@pytest.mark.parametrize("merger", MERGES)
def test_orders_hold_the_weights_of_a_base_that_is_known_in_part(merger: str, donors: int) -> None:
    """The base at hand is off by up to an eighth of the change, and each order allows for it."""
    case = make_case(
        5, shape=(64, 64), donors=donors, factors=torch.bfloat16, size=0.2, merged=torch.bfloat16
    )
    merged = MERGES[merger](case.base, case.donors, case.weights).bfloat16().double().numpy()
    base = case.base.double().numpy().ravel()
    rng = np.random.default_rng(1)
    off = rng.uniform(-1, 1, base.shape) * 2.0**-9
    products = [AdapterDonor(ss.LowRank(b, a, scale=s)) for a, b, s in case.donors]
    rows, columns = slice(0, 64), slice(0, 64)
    changes = tuple(each.change(rows, columns, base) for each in products)
    formats = Formats(FORMATS["bf16"], FORMATS["bf16"], FORMATS["bf16"])
    block = Block(base + off, merged.ravel(), changes, formats, unsure=np.abs(off))
    weights = np.array(case.weights)
    right = [
        order
        for order in iter_orders(formats, donors, models=False)
        if order.stores(replace(block, base=base, unsure=None), weights, weights).all()
    ]
    assert right
    total = weights @ block.donors
    for order in right:
        assert order.stores(block, weights, weights).all(), order.words
        low, high = order.bounds(block, np.abs(weights) * 1.01)
        assert (low <= total).all(), order.words
        assert (total <= high).all(), order.words
        assert not order.stores(replace(block, unsure=None), weights, weights).all()


def random_base(seed: int, folder: Path) -> tuple[Case, Path, Tensor, Any]:
    """Return a case, a base in codes, the numbers that the merger had, and the merged file."""
    rng = np.random.default_rng(seed)
    half = (torch.bfloat16, torch.float16)[rng.integers(2)]
    case = make_case(
        seed, shape=(96, 192), base=half, factors=half, size=float(10 ** rng.uniform(-2, -0.5))
    )
    kind = str(rng.choice([*BLOCK_LAYOUTS, "nf4", "nested", "int8"]))
    if kind in BLOCK_LAYOUTS:
        base = write_gguf(folder / "base.gguf", case.base, kind)
    else:
        parts = int8_rows(case.base) if kind == "int8" else None
        parts = parts or four_bits(case.base, "nf4", nested=kind == "nested")
        base = write_coded(folder / "base", parts, "bitsandbytes")
    numbers = case.base
    if rng.integers(2):
        name = NAME if kind not in BLOCK_LAYOUTS else "blk.0.ffn_up.weight"
        numbers = torch.tensor(np.asarray(ss.open_checkpoint(base)[name]))
        numbers = numbers if rng.integers(2) else numbers.to(half)
    merge = list(MERGES.values())[rng.integers(4)] if numbers.dtype == half else added_once
    total = merge(numbers, case.donors, case.weights)
    target = (torch.bfloat16, torch.float16, torch.float32, "Q8_0", "Q4_1")[rng.integers(5)]
    if isinstance(target, str):
        return case, base, numbers, write_gguf(folder / "merged.gguf", total, target)
    return case, base, numbers, {NAME: total.to(target)}


def check_random_base(seed: int, folder: Path) -> None:
    case, base, _, merged = random_base(seed, folder)
    result = verify_against(case, merged, folder, base=base)
    assert contains(result, case.weights), (result.weights, result.rows)
    assert result.verdict != "refuted"
    wrong = verify_against(case, merged, folder, claim=1.01, base=base)
    assert wrong.verdict != "confirmed"


@pytest.mark.parametrize("seed", [0])
def test_random_merges_onto_bases_in_codes(seed: int, tmp_path: Path) -> None:
    check_random_base(seed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 400))
def test_more_random_merges_onto_bases_in_codes(seed: int, tmp_path: Path) -> None:
    check_random_base(seed, tmp_path)


def test_a_tool_may_multiply_in_another_order_to_decode(tmp_path: Path) -> None:
    """In bfloat16, one number in 2^14 is so near a tie that the last digit of float32 counts."""
    weight = torch.randn(512, 512, generator=torch.Generator().manual_seed(7))
    parts = int8_rows(weight)
    path = write_coded(tmp_path / "base", parts, "bitsandbytes")
    codes, scales = parts[NAME].float(), parts[f"{NAME.removesuffix('.weight')}.SCB"][:, None]
    one = (codes * scales * np.float32(1 / 127)).bfloat16()
    other = (codes * (scales * np.float32(1 / 127))).bfloat16()
    assert not torch.equal(one, other)
    checkpoint = ss.open_checkpoint(path)
    member = next(each for each in members(checkpoint) if each.name == NAME)
    bf16 = FORMATS["bf16"]
    matrix = checkpoint[NAME]
    reader = cell_reader(checkpoint, member)
    source = CodedSource(matrix, matrix, (), Formats(bf16, bf16, bf16), 512, None, reader)
    block = join([block for _, block in source.blocks()])
    for each in (one, other):
        assert (np.abs(each.double().numpy().ravel() - block.base) <= block.reach).all()
    assert (block.reach > 0).mean() < 0.001


def test_factors_that_were_rounded_to_the_decoded_base(tmp_path: Path) -> None:
    case = make_case(3, shape=SHAPE, size=0.1)
    base = write_gguf(tmp_path / "base.gguf", case.base, "Q8_0")
    numbers = decoded(case.base, "Q8_0").bfloat16()
    (a, b, scale) = case.donors[0]
    merged = added_once(numbers, [(a.bfloat16(), b.bfloat16(), scale)], case.weights).bfloat16()
    result = verify_against(case, {NAME: merged}, tmp_path, base=base)
    assert result.verdict == "confirmed"
    assert any(", from factors rounded to bfloat16" in order for order in result.orders)


def test_a_model_cannot_be_verified_against_codes_of_the_base(tmp_path: Path) -> None:
    """The change of the model is not known, and neither is an error that is independent of it."""
    case = make_case(3, shape=SHAPE, size=0.1)
    base = write_gguf(tmp_path / "base.gguf", case.base, "Q8_0")
    model = added_once(case.base, case.donors, [1.0])
    merged = added_once(case.base, case.donors, [0.5])
    result = verify(base, {NAME: merged}, {NAME: model}, expect="weights=.5")
    assert result.verdict == "undetermined"
    assert result.rows[0]["status"] == "not verified"
    assert "the base holds codes" in result.rows[0]["reason"]


def test_numbers_before_they_were_quantised_confirm_no_other_tensor(tmp_path: Path) -> None:
    """A tensor that no donor changes is not that of the base, though its codes may be its."""
    case = make_case(3, shape=SHAPE, factors=torch.bfloat16)
    base = write_gguf(tmp_path / "base.gguf", case.base, "Q8_0")
    assert verify(base, {NAME: case.base}, expect="rounding").verdict == "refuted"
    evidence = verify(base, {NAME: case.base})
    assert evidence.rows[0]["status"] == "identical"
    assert evidence.rows[0]["changed"] > 0


def test_a_base_in_4_bits_that_was_decoded_to_bfloat16(tmp_path: Path) -> None:
    case = make_case(3, shape=SHAPE, factors=torch.bfloat16, size=0.03)
    base = write_coded(tmp_path / "base", four_bits(case.base, "nf4"), "bitsandbytes")
    with np.errstate(all="raise"):
        numbers = verify({NAME: case.base}, base).rows[0]
    assert numbers["status"] == "identical"
    half = torch.from_numpy(np.asarray(ss.open_checkpoint(base)[NAME]).copy()).bfloat16()
    merged = added_once(half, case.donors, case.weights).bfloat16()
    result = verify_against(case, {NAME: merged}, tmp_path, base=base)
    assert result.verdict == "confirmed"
    assert any("onto the base decoded to bfloat16" in order for order in result.orders)


def test_the_same_codes_are_identical_and_others_are_not(tmp_path: Path) -> None:
    case = make_case(3, shape=SHAPE, factors=torch.bfloat16)
    first = write_gguf(tmp_path / "first.gguf", case.base, "Q8_0")
    same = write_gguf(tmp_path / "same.gguf", case.base, "Q8_0")
    assert verify(first, same, expect="identical").verdict == "confirmed"
    again = verify_against(case, same, tmp_path, base=first)
    assert again.verdict == "refuted"
    assert again.sentences[0].startswith("adapter was not applied")
    raw = bytearray(first.read_bytes())
    kind = gguf.GGMLQuantizationType.Q8_0
    start = bytes(raw).index(gguf.quantize(case.base.float().numpy(), kind).tobytes())
    raw[start + 34] ^= 1  # the last digit of a scale: every number is still in its cell
    same.write_bytes(bytes(raw))
    result = verify(first, same, expect="identical")
    assert result.verdict == "refuted", result.rows


def test_a_merge_onto_a_copy_in_8_bits_is_named(tmp_path: Path) -> None:
    case = make_case(3, shape=SHAPE, factors=torch.bfloat16, size=0.03)
    parts = int8_rows(case.base)
    codes, scales = parts[NAME], parts[f"{NAME.removesuffix('.weight')}.SCB"]
    copy = (codes.float() * scales[:, None] * np.float32(1 / 127)).bfloat16()
    merged = added_once(copy, case.donors, case.weights).bfloat16()
    result = verify_against(case, {NAME: merged}, tmp_path)
    assert result.verdict == "refuted"
    assert result.rows[0]["explanation"]["words"] == (
        "merged into an 8-bit copy of the base (int8, a scale for each row)"
    )
