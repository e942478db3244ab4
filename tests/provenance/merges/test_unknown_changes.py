# SPDX-License-Identifier: BSD-3-Clause
"""Changes that nobody named: their power above that of rounding, and their rank and size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from tests.support.mergers import Case, added_once, generator, make_case, tasks32
from tests.support.verified_merges import MODULE, NAME, verify_case, write_product
from torch import Tensor

import sigmascope as ss
from sigmascope.provenance import verify
from sigmascope.provenance.merges.blocks import Formats
from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.sources import AdapterDonor, MatrixSource
from sigmascope.provenance.merges.sums import Sums
from sigmascope.provenance.merges.unknown import find_rest

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "verification.schema.json"


def low_rank_change(case: Case, rank: int, share: float, seed: int = 3) -> Tensor:
    """Return a change of some rank whose norm is a share of the base's."""
    g = generator(seed)
    m, n = case.base.shape
    change = torch.randn(m, rank, generator=g) @ torch.randn(rank, n, generator=g)
    return change * share * case.base.float().norm() / change.norm()


def merged_with(case: Case, change: Tensor) -> Tensor:
    merge = added_once if case.adapters else tasks32
    return merge(case.base, case.donors, case.weights) + change


@pytest.mark.parametrize("adapters", [True, False])
@pytest.mark.parametrize("share", [1e-3, 3e-3, 3e-2])
def test_a_change_beside_a_donor(share: float, adapters: bool, tmp_path: Path) -> None:
    case = make_case(9, shape=(192, 256), size=0.01, adapters=adapters)
    result = verify_case(case, merged_with(case, low_rank_change(case, 4, share)), tmp_path)
    record = result.rows[0]["explanation"]
    assert (record["kind"], record["rank"]) == ("rest", 4)
    assert record["share"] == pytest.approx(share, rel=0.06)
    assert record["z"] > 6
    assert abs(record["weights"][0] - case.weights[0]) < min(record["error"][0], 0.005)
    sentence = next(each for each in result.sentences if "An estimate" in each)
    assert "there is a change of rank 4 of " in sentence
    assert "% of the weight in q_proj" in sentence or "in layer 0" in sentence
    assert result.verdict == "refuted"


def test_a_change_of_a_tensor_that_no_donor_changes(tmp_path: Path) -> None:
    case = make_case(8, shape=(128, 192), size=0.02)
    other = f"{MODULE.replace('q_proj', 'k_proj')}.weight"
    base = {NAME: case.base, other: case.base}
    changed = (case.base.float() + low_rank_change(case, 2, 0.01)).bfloat16()
    merged = {NAME: merged_with(case, torch.zeros(1)).bfloat16(), other: changed}
    donor = write_product(tmp_path / "adapter", case.donors[0])
    result = verify(base, merged, donor, expect="adapter")
    jsonschema.validate(json.loads(json.dumps(result.to_dict())), json.loads(SCHEMA.read_text()))
    assert result.rows[1]["status"] == "changed"
    assert result.rows[1]["explanation"]["rank"] == 2
    assert result.sentences[-1] == (
        "An estimate: a change of rank 2 of 1 % of the weight in k_proj of layer 0 explains most "
        "of that."
    )


@pytest.mark.parametrize("kind", ["noise", "mostly noise", "one number", "sparse"])
def test_other_changes_have_no_rank(kind: str, tmp_path: Path) -> None:
    case = make_case(9, shape=(128, 192), size=0.01)
    g = generator(4)
    change = 0.002 * torch.randn(128, 192, generator=g)
    if kind == "mostly noise":
        change += 0.1 * torch.outer(torch.ones(128) / 128**0.5, torch.ones(192) / 192**0.5)
    if kind == "sparse":
        change *= 10 * (torch.rand(128, 192, generator=g) < 0.01)
    if kind == "one number":
        change = torch.zeros(128, 192)
        change[5, 7] = 0.5
    result = verify_case(case, merged_with(case, change), tmp_path)
    assert result.rows[0]["explanation"] is None
    assert result.rows[0]["rest"]["rank"] == 0
    assert result.rows[0]["rest"]["z"] > 6
    assert not any("An estimate" in each for each in result.sentences)


def rest_of(case: Case, merged: Tensor) -> dict[str, Any]:
    """Estimate the rest of a tensor that a merge explains, which verify() never does."""
    formats = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}
    donors = [
        AdapterDonor(ss.LowRank(ss.matrix(b), ss.matrix(a), scale)) for a, b, scale in case.donors
    ]
    base, stored = FORMATS[formats[case.base.dtype]], FORMATS[formats[case.merged]]
    source = MatrixSource(
        ss.matrix(case.base),
        ss.matrix(merged.to(case.merged)),
        donors,
        Formats(base, stored, FORMATS["f32"]),
        case.base.shape[0],
    )
    sums = Sums.start(np.zeros(len(donors)), 0)
    for _, block in source.blocks():
        sums.add(block, ())
    record = find_rest(source, sums)
    assert record is not None
    return record


@pytest.mark.parametrize("size", [0.003, 0.05])
def test_the_power_of_rounding_is_known(size: float) -> None:
    """Right merges of a base in float32 to bfloat16: z has mean 0 and variance 1."""
    z = []
    for seed in range(120):
        case = make_case(
            7 * seed + 1, base=torch.float32, merged=torch.bfloat16, size=size, shape=(48, 64)
        )
        record = rest_of(case, merged_with(case, torch.zeros(1)))
        assert record["rank"] == 0
        z.append(record["z"])
    assert abs(np.mean(z)) < 4 / 120**0.5
    assert 0.75 < np.std(z) < 1.25
    assert max(z) < 5


@pytest.mark.parametrize("size", [0.001, 0.003, 0.01])
def test_small_changes_on_the_grid_of_the_base_raise_no_alarm(size: float) -> None:
    """The rounding of a change below the spacing is not uniform, and is not taken for it."""
    for seed in range(30):
        case = make_case(7 * seed + 1, size=size)
        assert rest_of(case, merged_with(case, torch.zeros(1)))["z"] < 6
