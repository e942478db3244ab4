# SPDX-License-Identifier: BSD-3-Clause
"""Merges of one tensor as files and mappings, for :func:`sigmascope.provenance.verify`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sigmascope.adapters import Adapter, open_adapter
from sigmascope.provenance import Verification, verify

from .mergers import Case, Product

MODULE = "model.layers.0.self_attn.q_proj"
NAME = f"{MODULE}.weight"


def write_product(folder: Path, donor: Product, module: str = MODULE, **settings: Any) -> Adapter:
    """Write an adapter of one product in PEFT's layout."""
    a, b, scale = donor
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        f"base_model.model.{module}.lora_A.weight": a,
        f"base_model.model.{module}.lora_B.weight": b,
    }
    save_file(
        {name: each.contiguous() for name, each in names.items()},
        folder / "adapter_model.safetensors",
    )
    record = {
        "peft_type": "LORA",
        "r": len(a),
        "lora_alpha": scale * len(a),
        "target_modules": [module.rsplit(".", 1)[1]],
    }
    (folder / "adapter_config.json").write_text(json.dumps(record | settings))
    return open_adapter(folder)


def donors_of(case: Case, folder: Path) -> list[Any]:
    """Return the donors of a case as verify() takes them."""
    if case.adapters:
        return [write_product(folder / f"adapter{i}", donor) for i, donor in enumerate(case.donors)]
    return [{NAME: model} for model in case.donors]


def verify_case(
    case: Case, merged: Tensor, folder: Path, weights: Sequence[float] | None = None
) -> Verification:
    """Verify a merge against claimed weights, by default those of the case."""
    claim = case.weights if weights is None else weights
    expect = "weights=" + ",".join(repr(float(weight)) for weight in claim)
    stored = {NAME: merged.to(case.merged)}
    return verify({NAME: case.base}, stored, donors_of(case, folder), expect=expect)


def contains(result: Verification, weights: Sequence[float]) -> bool:
    """Return whether the interval of each donor holds its weight."""
    intervals = result.weights
    return intervals is not None and all(
        each.low <= weight <= each.high for each, weight in zip(intervals, weights, strict=True)
    )


HALF = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
