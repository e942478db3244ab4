# SPDX-License-Identifier: BSD-3-Clause
"""Merges whose numbers are stored as codes with scales, for `sigmascope.provenance.verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from sigmascope.provenance import Verification, verify

from .mergers import Case
from .verified_merges import write_product

MODULE = "model.layers.0.mlp.up_proj"
NAME = f"{MODULE}.weight"

BLOCK_LAYOUTS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")


def write_gguf(path: Path, weight: Tensor, layout: str) -> Path:
    """Quantise a weight by the `gguf` package, and write it as that of a layer of LLaMA."""
    kind = gguf.GGMLQuantizationType[layout]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    codes = gguf.quantize(weight.float().numpy(), kind)
    writer.add_tensor("blk.0.ffn_up.weight", codes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def verify_against(
    case: Case, merged: Any, folder: Path, claim: float = 1.0, base: Any = None
) -> Verification:
    """Verify a file against the claim that the case's adapter has a weight."""
    adapter = write_product(folder / "adapter", case.donors[0], MODULE)
    base = {NAME: case.base} if base is None else base
    return verify(base, merged, adapter, expect=f"weights={claim!r}")


def intervals(result: Verification) -> dict[str, tuple[float, float]]:
    """Return the interval of the first weight in each order that explains the first tensor."""
    return {fit["order"]: tuple(fit["weights"][0]) for fit in result.rows[0].get("orders", ())}


HALVES = {None: None, "bf16": torch.bfloat16, "f16": torch.float16}
"""Formats to which a merge is rounded before it is quantised."""
