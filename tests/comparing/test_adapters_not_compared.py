# SPDX-License-Identifier: BSD-3-Clause
"""Adapters against their base: what is not compared, and the reason that a row gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.support.adapted_model import LAYER, OPTIONS, UP, Q, adapter, change, llama
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import written

import sigmascope as ss


def test_all_that_is_not_compared_is_listed_with_the_reason(tmp_path: Path) -> None:
    base = llama() | {"lm_head.weight": np.ones((64, 40))}
    tensors = (
        lora(Q, *change(Q))
        | lora(LAYER.format(9) + "mlp.up_proj", *change(UP))
        | lora(UP, *factors(90, 40))
        | lora(LAYER.format(1) + "self_attn.q_proj", *factors(48, 40))
        | {
            "lm_head.weight": np.full((64, 40), 1.5, np.float32),
            LAYER.format(1) + "self_attn.q_proj.lora_magnitude_vector": np.ones(47, np.float32),
        }
    )
    folder = write_adapter(tmp_path / "a", tensors, modules_to_save=["lm_head"])
    comparison = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS)
    assert [row["name"] for row in comparison.analysed] == [f"{Q}.weight"]
    assert not comparison.failed
    assert len({row["name"] for row in comparison.rows}) == len(comparison.rows)

    rest = {row["name"]: row for row in comparison.rows if row["reason"] != "not adapted"}
    alone = rest.pop(LAYER.format(9) + "mlp.up_proj.weight")
    assert (alone["status"], alone["before"], alone["after"]) == ("unpaired", None, alone["name"])
    assert alone["reason"].endswith(
        f"has neither {alone['name']} nor exactly one weight of its role"
    )
    misfit = rest.pop(f"{UP}.weight")
    assert misfit["status"] == "unpaired"
    assert misfit["reason"] == (
        f"{UP}.weight of model.safetensors is [96, 40], "
        "the change in adapter_model.safetensors [90, 40]"
    )
    assert (misfit["before_shape"], misfit["after_shape"]) == ([96, 40], [90, 40])
    head = rest.pop("lm_head.weight")
    assert (head["status"], head["after"]) == ("entrywise", "lm_head.weight")
    assert (head["relative_change"], head["changed_entries"]) == (0.5, 64 * 40)
    assert str(comparison.verdict).endswith("not compared: 1 cannot be read, 2 without a partner.")
    assert head["reason"].startswith("saved whole, not as a product")
    dora = rest.pop(LAYER.format(1) + "self_attn.q_proj.weight")
    assert (dora["status"], dora["kind"]) == ("not analysed", "unreadable")
    assert dora["reason"].startswith("DoRA")
    assert list(rest) == [f"{Q}.weight"]

    others = [row for row in comparison.rows if row["reason"] == "not adapted"]
    assert {row["name"] for row in others} == set(base) - {
        f"{Q}.weight",
        f"{UP}.weight",
        "lm_head.weight",
        LAYER.format(1) + "self_attn.q_proj.weight",
    }
    assert all((row["status"], row["after"]) == ("not analysed", None) for row in others)


def test_two_changes_of_one_place_are_not_guessed(tmp_path: Path) -> None:
    base = {name.replace("model.", "", 1): x for name, x in llama().items()}
    tensors = lora(f"x.{Q}", *change(Q)) | lora(f"y.{Q}", *change(Q))
    folder = write_adapter(tmp_path / "a", tensors)
    comparison = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS)
    assert comparison.analysed == []
    assert [row["name"] for row in comparison.unpaired] == [f"x.{Q}.weight", f"y.{Q}.weight"]


@pytest.mark.parametrize("side", ["A", "B"])
def test_nan_in_a_factor_is_named(tmp_path: Path, side: str) -> None:
    B, A = change(Q)
    (A if side == "A" else B)[3, 2] = np.nan
    tensors = lora(Q, B, A) | lora(UP, *change(UP))
    comparison = ss.compare(
        written(tmp_path / "base", llama()), write_adapter(tmp_path / "a", tensors), **OPTIONS
    )
    row = comparison[f"{Q}.weight"]
    assert (row["status"], row["failure"]) == ("failed", "data")
    assert row["reason"] == (
        f"factor {side} of a product holds 1 NaN or infinite entries, the first at (3, 2)"
    )
    assert comparison[f"{UP}.weight"]["status"] == "analysed"


def test_nan_in_the_base_is_named(tmp_path: Path) -> None:
    base = llama()
    base[f"{Q}.weight"][1, 2] = np.nan
    comparison = ss.compare(
        written(tmp_path / "base", base, "F32"), adapter(tmp_path / "a"), **OPTIONS
    )
    assert comparison[f"{Q}.weight"]["reason"] == (
        "the matrix before holds 1 NaN and 0 infinite entries, the first at (1, 2)"
    )
    assert len(comparison.failed) == 1


def test_the_base_comes_first(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"a is an adapter and .*base a checkpoint: the base comes"
    ):
        ss.compare(folder, base)


def test_too_little_memory_fails_a_row_with_both_numbers(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a", Q, UP)
    comparison = ss.compare(base, folder, **OPTIONS | {"memory_limit": 20_000})
    for row in comparison.failed:
        assert row["failure"] == "environment"
        assert re.search(r"needs \d.* kiB, memory_limit is 19.6 kiB", row["reason"])
    assert len(comparison.failed) == 2
