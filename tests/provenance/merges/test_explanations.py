# SPDX-License-Identifier: BSD-3-Clause
"""Merges that are not linear in their donors: on a sphere, trimmed, dropped, with other sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.faulty_merges import OF_MODELS, another_donor
from tests.support.mergers import MODEL_MERGERS, Case, make_case
from tests.support.verified_merges import verify_case


def explanation_of(
    case: Case, merged: torch.Tensor, folder: Path
) -> tuple[dict[str, Any] | None, str]:
    result = verify_case(case, merged, folder)
    assert result.verdict == "refuted"
    assert result.rows[0]["status"] == "unexplained"
    return result.rows[0]["explanation"], " ".join(result.sentences)


@pytest.mark.parametrize("size", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_position_on_a_sphere(size: float, dtype: torch.dtype, tmp_path: Path) -> None:
    case = make_case(3, shape=(128, 192), base=dtype, adapters=False, size=size)
    merged = OF_MODELS["slerp"](case, MODEL_MERGERS["tasks32"], 3)
    record, sentences = explanation_of(case, merged, tmp_path)
    assert record is not None
    assert record["kind"] == "slerp"
    low, high = record["position"]
    assert low - 2e-6 <= case.weights[0] <= high + 2e-6
    assert high - low < 1e-4
    assert "on a sphere" in sentences


@pytest.mark.parametrize("donors", [1, 2])
def test_weights_that_do_not_sum_to_one(donors: int, tmp_path: Path) -> None:
    case = make_case(5, shape=(128, 192), adapters=False, size=0.1, donors=donors)
    weights = [0.3, 0.2][:donors]
    merged = 0.4 * case.base.float()
    for weight, model in zip(weights, case.donors, strict=True):
        merged = merged + weight * model.float()
    record, sentences = explanation_of(case, merged, tmp_path)
    assert record is not None
    assert record["kind"] == "sum"
    for (low, high), weight in zip(record["weights"], weights, strict=True):
        assert low <= weight <= high
    low, high = record["base"]
    assert low <= 0.4 + sum(weights) <= high
    assert "do not sum to 1" in sentences


@pytest.mark.parametrize("size", [0.01, 0.1])
def test_small_changes_that_were_left_out(size: float, tmp_path: Path) -> None:
    case = make_case(3, shape=(128, 192), adapters=False, size=size)
    record, sentences = explanation_of(case, OF_MODELS["trimmed"](case, None, 3), tmp_path)
    assert record is not None
    assert record["kind"] == "trimmed"
    assert record["larger"] < 0.01
    low, high = record["weights"][0]  # one donor's changes are divided by its own weight
    assert low <= 1 <= high
    assert "TIES" in sentences


def test_changes_that_were_dropped_at_random(tmp_path: Path) -> None:
    case = make_case(3, shape=(128, 192), adapters=False, size=0.1)
    record, sentences = explanation_of(case, OF_MODELS["dropped"](case, None, 3), tmp_path)
    assert record is not None
    assert record["kind"] == "dropped at random"
    assert record["left_out"] == pytest.approx(0.5, abs=0.02)
    low, high = record["weights"][0]
    assert low <= 2 * case.weights[0] <= high
    assert "DARE" in sentences


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["trimmed", "dropped at random"])
def test_changes_that_were_left_out_in_half_precision(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """mergekit rounds the change, its product and the sum to the models' format."""
    case = make_case(3, shape=(128, 192), base=dtype, adapters=False, size=0.1)
    change = case.donors[0] - case.base
    size = change.abs().float()
    kept = size > size.median() if kind == "trimmed" else torch.rand(size.shape) < 0.5
    product = change * torch.tensor(0.7, dtype=dtype)
    record, _ = explanation_of(case, case.base + product * kept, tmp_path)
    assert record is not None
    assert record["kind"] == kind
    low, high = record["weights"][0]
    assert low <= 0.7 <= high
    assert high - low < 32 * torch.finfo(dtype).eps


def test_a_foreign_change_is_not_explained(tmp_path: Path) -> None:
    """Numbers that stayed by accident are not taken for numbers that were dropped."""
    case = make_case(6, shape=(128, 192), adapters=False, size=0.02)
    record, sentences = explanation_of(
        case, another_donor(case, MODEL_MERGERS["tasks32"], 6), tmp_path
    )
    assert record is None
    assert "DARE" not in sentences
    assert "together with" in sentences
