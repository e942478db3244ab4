# SPDX-License-Identifier: BSD-3-Clause
"""Names of strengths: what a wrong weight means, and when nothing may be said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.support.mergers import Product, added_once, make_case, tasks32
from tests.support.verified_merges import NAME, verify_case, write_product

from sigmascope.adapters import open_adapter
from sigmascope.provenance import verify
from sigmascope.provenance.merges.strengths import names_of

BY_RANK, BY_ROOT = (16.0, 48.0, 3.0), (16.0, 24.0, 6.0)
"""Rank, alpha and scale of adapters, by alpha / r and by alpha / sqrt(r)."""


@pytest.mark.parametrize(
    ("weight", "claim", "terms", "name"),
    [
        (0.0, 1.0, BY_RANK, "not at all"),
        (2.0, 1.0, BY_RANK, "twice"),
        (3.0, 1.0, None, "three times"),
        (-1.0, 1.0, BY_RANK, "with the opposite sign"),
        (0.5, 1.0, BY_RANK, "half"),
        (1.0, 0.3, BY_RANK, "in full"),
        (0.6, 0.3, None, "twice"),
        (48.0, 1.0, BY_RANK, "multiplied by alpha once more"),
        (1 / 3, 1.0, BY_RANK, "without the scale alpha / r"),
        (1 / 6, 1.0, BY_ROOT, "without the scale alpha / sqrt(r)"),
        (16.0, 1.0, BY_RANK, "alpha where the file says alpha / r"),
        (0.25, 1.0, BY_RANK, "divided by sqrt(r) once more"),
        (0.25, 1.0, BY_ROOT, "alpha / r where the file says alpha / sqrt(r)"),
        (2 / 3, 1.0, BY_ROOT, "multiplied by r / alpha"),
        (5**0.5, 1.0, (5.0, 15.0, 3.0), "alpha / sqrt(r) where the file says alpha / r"),
        (0.30078125, 0.3, None, "0.3 rounded to bfloat16"),
        (1.5, 0.5, (9.0, 27.0, 3.0), None),  # three times, and by the root of the rank
        (4.0, 1.0, BY_RANK, None),  # four times, and by the root of the rank
        (0.5, 1.0, (16.0, 32.0, 2.0), None),  # half, and without the scale
        (1.0, 0.5, None, None),  # in full, and twice
        (2.01, 1.0, BY_RANK, None),
        (1.0, 1.0, BY_RANK, None),
    ],
)
def test_a_strength_has_a_name_if_it_is_the_only_one(
    weight: float, claim: float, terms: Any, name: str | None
) -> None:
    width = 1e-4 * max(abs(weight), 0.5)
    names = names_of(weight - width / 3, weight + width / 2, claim, terms)
    assert names == {name} if name else len(names) != 1


def test_a_wide_interval_has_no_name() -> None:
    assert names_of(1.999, 2.001, 1.0, None) == {"twice"}
    assert names_of(1.9, 2.1, 1.0, None) == set()


def merged_with(folder: Path, donor: Product, factor: float, **settings: Any) -> tuple[str, ...]:
    """Merge a change at `factor` times its s B A, and return the sentences about it."""
    case = make_case(8, size=0.03)
    adapter = write_product(folder / "adapter", donor, **settings)
    scale = adapter[NAME].scale
    merged = added_once(case.base, [(donor[0], donor[1], scale * factor)], [1.0]).bfloat16()
    return verify({NAME: case.base}, {NAME: merged}, adapter, expect="adapter").sentences


def product(rank: int) -> Product:
    g = torch.Generator().manual_seed(rank)
    a, b = torch.randn(rank, 128, generator=g) / 11, torch.randn(96, rank, generator=g)
    return a, 0.001 * b / rank**0.5, 3.0


@pytest.mark.parametrize(
    ("rank", "settings", "factor", "end"),
    [
        (5, {}, 2.0, " instead of 1: twice."),
        (16, {"use_rslora": True, "lora_alpha": 24}, 0.25,
         " = 1 / 4 instead of 1: alpha / r where the file says alpha / sqrt(r)."),
        (5, {}, 5**0.5, " instead of 1: alpha / sqrt(r) where the file says alpha / r."),
        (5, {}, 1 / 3, " = 1 / 3 instead of 1: without the scale alpha / r."),
        (5, {}, 1.37, " instead of 1."),
        (16, {}, 4.0, " instead of 1."),  # four times, or by the root of the rank
    ],
)  # fmt: skip
def test_the_sentence_says_weight_interval_claim_and_name(
    rank: int, settings: dict[str, Any], factor: float, end: str, tmp_path: Path
) -> None:
    sentence = merged_with(tmp_path, product(rank), factor, **settings)[1]
    start = "adapter was applied with "
    assert sentence.startswith(start)
    assert float(sentence.removeprefix(start).split()[0]) == pytest.approx(factor, rel=1e-3)
    assert sentence.endswith(f"]){end}")


def test_a_right_merge_has_no_such_sentence(tmp_path: Path) -> None:
    assert not any("instead of" in each for each in merged_with(tmp_path, product(5), 1.0))


def test_weights_of_models_are_named_too(tmp_path: Path) -> None:
    case = make_case(3, shape=(192, 256), adapters=False, size=0.2)
    for weight, name in ((0.6, "twice"), (0.30078125, "0.3 rounded to bfloat16")):
        sentences = verify_case(case, tasks32(case.base, case.donors, [weight]), tmp_path, [0.3])
        assert f" was merged with {weight:.3f}"[:-1] in sentences.sentences[1]
        assert sentences.sentences[1].endswith(f" instead of 0.3: {name}.")


def test_one_reason_of_tensors_with_several_ranks(tmp_path: Path) -> None:
    """alpha / sqrt(r) instead of alpha / r changes each rank by another factor."""
    modules = [f"model.layers.{i}.self_attn.q_proj" for i in range(3)]
    ranks = [4, 9, 5]
    factors, base, merged = {}, {}, {}
    for seed, (module, rank) in enumerate(zip(modules, ranks, strict=True)):
        a, b, _ = product(rank)
        base[f"{module}.weight"] = make_case(4 * seed).base
        change = (a, b, 12 / rank**0.5)
        made = added_once(base[f"{module}.weight"], [change], [1.0])
        merged[f"{module}.weight"] = made.bfloat16()
        factors[f"base_model.model.{module}.lora_A.weight"] = a
        factors[f"base_model.model.{module}.lora_B.weight"] = b.contiguous()
    save_file(factors, tmp_path / "adapter_model.safetensors")
    pattern = {f"layers.{i}.self_attn.q_proj": rank for i, rank in enumerate(ranks)}
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "rank_pattern": pattern,
                "target_modules": ["q_proj"]}  # fmt: skip
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    result = verify(base, merged, open_adapter(tmp_path), expect="adapter")
    assert result.weights is None
    reason = "alpha / sqrt(r) where the file says alpha / r"
    assert result.sentences[1] == (
        f"One reason explains the weights of {tmp_path.name} in all tensors: {reason}."
    )
    merged[f"{modules[2]}.weight"] = base[f"{modules[2]}.weight"]
    result = verify(base, merged, open_adapter(tmp_path), expect="adapter")
    assert not any(reason in sentence for sentence in result.sentences)
