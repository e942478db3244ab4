# SPDX-License-Identifier: BSD-3-Clause
"""Adapters of stacked experts that PEFT writes and reads, before and after resize."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import dense
from tests.support.loaded_adapters import (
    FAMILIES,
    best,
    experts_of,
    loaded,
    numbers,
    strict,
    tuned_of,
)

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.adapters.pairing import changes

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")

STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
SQUARE = {"intermediate_size": 16, "moe_intermediate_size": 16}


def by_peft(base: Any, folder: Path, **settings: Any) -> dict[str, Any]:
    """An adapter of random factors that PEFT saves; the weights that it merges."""
    config = peft.LoraConfig(
        target_parameters=STACKS, target_modules=[], **{"r": 3, "lora_alpha": 5, **settings}
    )
    with strict():
        model = peft.get_peft_model(copy.deepcopy(base), config)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    merged: dict[str, Any] = numbers(model.merge_and_unload())
    return merged


@pytest.mark.parametrize("sizes", [{}, SQUARE], ids=["", "square"])
@pytest.mark.parametrize("family", FAMILIES)
def test_changes_are_those_that_peft_merges(
    family: str, sizes: dict[str, int], tmp_path: Path
) -> None:
    """The class of the model tells how square matrices lie."""
    base = experts_of(family, **sizes)
    before, merged = numbers(base), by_peft(base, tmp_path)
    checkpoint, adapter = ss.open_checkpoint(base, split_fused=False), open_adapter(tmp_path)
    result = list(changes(checkpoint, adapter))
    assert len(result) == len(adapter) == 2 * 2 * 3
    for each in result:
        name, index = each.name.removesuffix("]").rsplit("[", 1)
        truth = (merged[name] - before[name])[int(index)]
        assert np.linalg.norm(truth) > 0.01
        np.testing.assert_allclose(dense(each.delta), truth, atol=1e-6, err_msg=each.name)


def test_settings_of_peft(tmp_path: Path) -> None:
    """Ranks and alphas by patterns, rsLoRA."""
    base = experts_of("qwen3_moe")
    patterns = {r".*\.0\.mlp\.experts\.down_proj": 2, "gate_up_proj": 4}
    options = {"use_rslora": True, "rank_pattern": patterns, "alpha_pattern": {"down_proj": 7}}
    before, merged = numbers(base), by_peft(base, tmp_path, **options)
    adapter = open_adapter(tmp_path)
    assert {adapter[name].rank for name in adapter} == {2, 3, 4}
    for each in changes(ss.open_checkpoint(base, split_fused=False), adapter):
        name, index = each.name.removesuffix("]").rsplit("[", 1)
        truth = (merged[name] - before[name])[int(index)]
        np.testing.assert_allclose(dense(each.delta), truth, atol=1e-6, err_msg=each.name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_resized_adapter_has_the_nearest_changes(family: str, tmp_path: Path) -> None:
    """PEFT merges the truncation of what it merged; at full rank the same weights."""
    base = experts_of(family)
    before, merged = numbers(base), by_peft(base, tmp_path / "old")
    for rank in (2, 3):
        resized = ss.adapters.resize(tmp_path / "old", tmp_path / f"{rank}", rank=rank)
        assert {each.rank for each in resized} == {rank}
        after = numbers(loaded(base, tmp_path / f"{rank}").merge_and_unload())
        assert after.keys() == before.keys()
        for name, x in after.items():
            change = merged[name] - before[name]
            if np.any(change):
                change = best(name, before[name], merged[name], rank)
            np.testing.assert_allclose(x, before[name] + change, atol=1e-6, err_msg=name)


def test_an_extracted_adapter_is_resized_and_compared(tmp_path: Path) -> None:
    """Every change of extract is read back; what remains of it is what compare measures."""
    base = experts_of("gpt_oss", **SQUARE)
    tuned = tuned_of(base)
    extraction = ss.extract(base, tuned, tmp_path / "a", error=0.4)
    adapter = open_adapter(tmp_path / "a")
    assert {*adapter} == {row["name"] for row in extraction.analysed}
    after = numbers(tuned)
    before = numbers(base)
    rows = {row["name"]: row for row in extraction.analysed}
    for each in changes(ss.open_checkpoint(base, split_fused=False), adapter):
        name, _, index = each.name.removesuffix("]").partition("[")
        truth = after[name] - before[name]
        rest = np.linalg.norm((truth[int(index)] if index else truth) - dense(each.delta))
        row = rows[each.name]
        assert abs(rest - row["remaining"]) <= row["remaining_error"] + 1e-6
        assert rest <= 0.4 * row["delta_fro_norm"] * (1 + 1e-6)
    ss.adapters.resize(adapter, tmp_path / "small", rank=2)
    merged = numbers(loaded(base, tmp_path / "small").merge_and_unload())
    whole = ss.open_checkpoint(base, split_fused=False)
    compared = ss.compare(whole, tmp_path / "small").analysed
    assert len(compared) == len(adapter)
    for row in compared:
        name, _, index = row["name"].removesuffix("]").partition("[")
        change = merged[name] - before[name]
        change = change[int(index)] if index else change
        assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(change), rel=1e-4)
