# SPDX-License-Identifier: BSD-3-Clause
"""Merges that were quantised afterwards: right ones are confirmed, faults are refuted."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tests.support.faulty_merges import FAULTS, OF_ADAPTERS
from tests.support.mergers import Case, added_once, make_case, peft_on_cpu
from tests.support.quantised_merges import (
    BLOCK_LAYOUTS,
    HALVES,
    intervals,
    verify_against,
    write_gguf,
)
from tests.support.verified_merges import contains

ONCE = "added in float32, rounded once"
OF_HALVES = {
    "bf16": "added in float32, rounded to bfloat16 and then converted",
    "f16": "added in float32, rounded to float16 and then converted",
}
REFUTED = ("missing", "twice", "sign", "x 1.01", "half of the rows", "transposed")


def random_merge(seed: int) -> tuple[Case, str | None]:
    """Return a case, and the format to which it is rounded before it is quantised."""
    rng = np.random.default_rng(seed)
    base = (torch.bfloat16, torch.float16, torch.float32)[rng.integers(3)]
    shape = int(rng.choice([64, 96, 160])), int(rng.choice([64, 128, 192]))
    case = make_case(seed, shape=shape, base=base, size=float(10 ** rng.uniform(-2.3, -0.7)))
    return case, (None, "bf16", "f16")[rng.integers(3)]


def check(seed: int, layout: str, folder: Path) -> None:
    case, half = random_merge(seed)
    merged = added_once(case.base, case.donors, case.weights)
    if half is not None:
        merged = merged.to(HALVES[half])
    result = verify_against(case, write_gguf(folder / "merged.gguf", merged, layout), folder)
    assert contains(result, case.weights), (half, result.weights, result.rows)
    assert result.verdict == "confirmed", (half, result)
    low, high = intervals(result)[ONCE if half is None else OF_HALVES[half]]
    assert low <= 1 <= high


@pytest.mark.parametrize("layout", BLOCK_LAYOUTS)
@pytest.mark.parametrize("seed", range(2))
def test_true_weights_are_inside_and_confirmed(layout: str, seed: int, tmp_path: Path) -> None:
    check(seed, layout, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("layout", BLOCK_LAYOUTS)
@pytest.mark.parametrize("seed", range(100, 180))
def test_more_true_weights_are_inside(layout: str, seed: int, tmp_path: Path) -> None:
    check(seed, layout, tmp_path)


@pytest.mark.parametrize("layout", ["Q8_0", "Q4_0"])
def test_a_change_that_was_rounded_before_it_was_added(layout: str, tmp_path: Path) -> None:
    case = make_case(3, shape=(128, 128), factors=torch.bfloat16)
    merged = peft_on_cpu(case.base, case.donors, case.weights)
    result = verify_against(case, write_gguf(tmp_path / "merged.gguf", merged, layout), tmp_path)
    assert result.verdict == "confirmed"
    assert "the change rounded to bfloat16, added, rounded again" in result.orders


@pytest.mark.parametrize("layout", ["Q8_0", "Q4_0"])
@pytest.mark.parametrize("fault", REFUTED)
def test_faults_are_refuted(layout: str, fault: str, tmp_path: Path) -> None:
    case = make_case(11, shape=(128, 128), size=0.03)
    merged = (FAULTS | OF_ADAPTERS)[fault](case, added_once, 5)
    result = verify_against(case, write_gguf(tmp_path / "merged.gguf", merged, layout), tmp_path)
    assert result.verdict == "refuted", result


@pytest.mark.nightly
@pytest.mark.parametrize("layout", BLOCK_LAYOUTS)
@pytest.mark.parametrize("fault", FAULTS | OF_ADAPTERS)
@pytest.mark.parametrize("seed", range(4))
def test_no_fault_is_confirmed(layout: str, fault: str, seed: int, tmp_path: Path) -> None:
    case = make_case(20 + seed, shape=(256, 256), size=0.03)
    merged = (FAULTS | OF_ADAPTERS)[fault](case, added_once, seed)
    result = verify_against(case, write_gguf(tmp_path / "merged.gguf", merged, layout), tmp_path)
    assert result.verdict != "confirmed", result
    if fault != "x 1.001":
        assert result.verdict == "refuted", result


@pytest.mark.parametrize("layout", ["Q8_0", "Q4_1"])
def test_a_tensor_that_was_only_quantised_is_the_base(layout: str, tmp_path: Path) -> None:
    case = make_case(2, shape=(64, 128))
    merged = write_gguf(tmp_path / "merged.gguf", case.base, layout)
    result = verify_against(case, merged, tmp_path, claim=0.0)
    row = result.rows[0]
    assert row["changed"] == 0
    assert result.verdict == "confirmed"
    assert verify_against(case, merged, tmp_path).verdict == "refuted"
    assert row["formats"]["merged"] == layout.lower()


def test_numbers_of_a_code_that_was_edited_are_the_witness(tmp_path: Path) -> None:
    case = make_case(2, shape=(128, 128), size=0.03)
    merged = added_once(case.base, case.donors, case.weights)
    path = write_gguf(tmp_path / "merged.gguf", merged, "Q8_0")
    raw = bytearray(path.read_bytes())
    kind = gguf.GGMLQuantizationType.Q8_0
    start = bytes(raw).index(gguf.quantize(merged.numpy(), kind).tobytes())
    place = start + 5 * 34 + 2 + 7
    code = int(np.int8(np.uint8(raw[place])))
    raw[place] = int(np.uint8(np.int8(code + (3 if code < 0 else -3))))
    path.write_bytes(bytes(raw))
    result = verify_against(case, path, tmp_path)
    assert result.verdict == "refuted"
    assert result.witness is not None
    assert [1, 39] in [number["place"] for number in result.witness["numbers"]]


def test_intervals_shrink_with_the_count_of_numbers(tmp_path: Path) -> None:
    widths = []
    for side in (64, 256):
        case = make_case(4, shape=(side, side), size=0.03)
        merged = added_once(case.base, case.donors, case.weights)
        (tmp_path / str(side)).mkdir()
        path = write_gguf(tmp_path / f"{side}.gguf", merged, "Q8_0")
        low, high = intervals(verify_against(case, path, tmp_path / str(side)))[ONCE]
        widths.append(high - low)
    assert widths[1] < widths[0] / 4 < 0.01
