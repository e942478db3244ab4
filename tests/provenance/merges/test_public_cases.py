# SPDX-License-Identifier: BSD-3-Clause
"""Mistakes of mergers that were reported in public, each with the sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.support.mergers import added_once, generator
from tests.support.public_cases import (
    GATE,
    QUERY,
    UP,
    Files,
    exchanged,
    into_four_bits,
    transposed,
    with_rows_of_queries_in_another_order,
)


def test_a_merger_that_wrote_the_base(tmp_path: Path) -> None:
    files = Files(tmp_path)
    result = files.verify(files.base)
    assert result.verdict == "refuted"
    assert "adapter was not applied: the file is the base" in result.sentences[0]


def test_a_merge_into_a_four_bit_copy_of_the_base(tmp_path: Path) -> None:
    """QLoRA's base was decoded, changed, and saved."""
    files = Files(tmp_path)
    result = files.verify(into_four_bits(files))
    assert result.verdict == "refuted"
    assert (
        "A mistake explains 2 tensors: merged into a 4-bit copy of the base (NF4, blocks of 64)."
        in result.sentences
    )
    low, high = result.rows[0]["explanation"]["weights"][0]
    assert low <= 1 <= high


@pytest.mark.parametrize(("factor", "name"), [(0.5, "alpha / r is missing"), (2.0, "twice")])
def test_another_scale(factor: float, name: str, tmp_path: Path) -> None:
    """The factor alpha / r was left out, or applied twice."""
    files = Files(tmp_path)
    result = files.verify(files.merged(factor))
    assert result.verdict == "refuted", name
    assert result.weights is not None
    assert result.weights[0].low <= factor <= result.weights[0].high


def test_gate_and_up_exchanged(tmp_path: Path) -> None:
    files = Files(tmp_path)
    result = files.verify(exchanged(files))
    assert result.verdict == "refuted"
    assert result.rows[0]["explanation"]["words"] == f"the change of {UP}.weight was added instead"
    assert result.sentences[1].startswith("A mistake explains 2 tensors")


def test_a_change_that_was_added_transposed(tmp_path: Path) -> None:
    files = Files(tmp_path, QUERY)
    result = files.verify(transposed(files))
    assert result.verdict == "refuted"
    assert "A mistake explains 1 tensor: the change was added transposed." in result.sentences


def test_rows_of_queries_in_another_order(tmp_path: Path) -> None:
    """Two layouts of rotary embeddings: no weights explain the rows of another order."""
    files = Files(tmp_path)
    name = f"{QUERY}.weight"
    result = files.verify(with_rows_of_queries_in_another_order(files))
    assert result.verdict == "refuted"
    assert f"No donor changes {name}, but the merged file differs there." in result.sentences


def test_an_adapter_that_was_applied_to_half_of_the_layers(tmp_path: Path) -> None:
    files = Files(tmp_path)
    merged = files.merged() | {f"{UP}.weight": files.base[f"{UP}.weight"]}
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert result.sentences[0] == (
        "adapter was applied in part: to gate_proj of layer 0, but not to up_proj of layer 0."
    )
    assert result.verdict == files.verify(merged, "linear").verdict


def test_factors_that_were_rounded_before_the_product(tmp_path: Path) -> None:
    """Factors in float32 that a merger casts to the base's format are a right merge."""
    files = Files(tmp_path)
    merged = dict(files.base)
    for module, (a, b, scale) in files.donors.items():
        name = f"{module}.weight"
        rounded = a.bfloat16(), b.bfloat16(), scale
        merged[name] = added_once(files.base[name], [rounded], [1.0]).to(torch.bfloat16)
    result = files.verify(merged)
    assert result.verdict == "confirmed"
    first = ", from factors rounded to bfloat16"
    assert all(fit["order"].endswith(first) for row in result.rows[:2] for fit in row["orders"])


def test_noise_is_named_by_numbers(tmp_path: Path) -> None:
    files = Files(tmp_path)
    merged = files.merged()
    name = f"{GATE}.weight"
    noise = 1e-3 * torch.randn(128, 128, generator=generator(3))
    merged[name] = (merged[name].float() + noise).bfloat16()
    result = files.verify(merged)
    assert result.verdict == "refuted"
    assert result.witness is not None
    assert result.witness["tensor"] == name
