# SPDX-License-Identifier: BSD-3-Clause
"""Merges whose numbers are stored as codes with scales, for `sigmascope.provenance.verify`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import save_file
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


NF4 = torch.tensor(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
        0.7229568362236023, 1.0,
    ]
)  # fmt: skip
FP4 = torch.tensor([0, 0.0625, 8, 12, 4, 6, 2, 3, -0.0, -0.0625, -8, -12, -4, -6, -2, -3]) / 12
TABLES = {"nf4": NF4, "fp4": FP4}


def nearest_codes(scaled: Tensor, table: Tensor) -> Tensor:
    """Return codes of the nearest numbers of a table, by midpoints in float32."""
    order = torch.argsort(table, stable=True)
    middles = (table[order[:-1]] + table[order[1:]]) / 2
    return order[torch.bucketize(scaled, middles)]


def four_bits(weight: Tensor, kind: str, block: int = 64, nested: bool = False) -> dict[str, Any]:
    """Return the tensors that bitsandbytes stores for a weight in 4 bits."""
    runs = weight.float().reshape(-1, block)
    scales = runs.abs().amax(dim=1)
    scaled = (runs * (1.0 / scales.clamp(min=1e-38)[:, None])).clamp(-1, 1).flatten()
    codes = nearest_codes(scaled, TABLES[kind]).to(torch.uint8)
    state: dict[str, Any] = {
        "quant_type": kind,
        "blocksize": block,
        "dtype": "bfloat16",
        "shape": list(weight.shape),
    }
    named = {"": ((codes[::2] << 4) | codes[1::2])[:, None], ".quant_map": TABLES[kind]}
    if nested:
        table = dynamic_table()
        offset = scales.mean()
        rest = scales - offset
        padded = torch.nn.functional.pad(rest, (0, -len(rest) % 256)).reshape(-1, 256)
        outer = padded.abs().amax(dim=1)
        inner = nearest_codes((padded / outer[:, None]).flatten(), table)[: len(rest)]
        state |= {"nested_blocksize": 256, "nested_dtype": "float32"}
        state |= {"nested_offset": offset.item()}
        named |= {".absmax": inner.to(torch.uint8), ".nested_absmax": outer}
        named |= {".nested_quant_map": table}
    else:
        named[".absmax"] = scales
    text = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    named[f".quant_state.bitsandbytes__{kind}"] = text
    return {f"{NAME}{ending}": each for ending, each in named.items()}


def dynamic_table() -> Tensor:
    """Return 256 numbers whose exponent and fraction share 7 bits (Dettmers, 2016)."""
    numbers = [0.0, 1.0]
    for exponent in range(7):
        ends = torch.linspace(0.1, 1, 2**exponent + 1, dtype=torch.float64)
        middles = (ends[1:] + ends[:-1]) / 2 * 10.0 ** (exponent - 6)
        numbers += [*middles.tolist(), *(-middles).tolist()]
    return torch.tensor(sorted(numbers), dtype=torch.float32)


def int8_rows(weight: Tensor) -> dict[str, Tensor]:
    """Return the tensors that bitsandbytes stores for a weight in int8."""
    scales = weight.abs().amax(dim=1).float()
    codes = torch.round(weight.float() * (127.0 / scales[:, None])).to(torch.int8)
    return {NAME: codes, f"{MODULE}.SCB": scales}


def float8(
    weight: Tensor, block: tuple[int, int] | None, dtype: torch.dtype = torch.float8_e4m3fn
) -> dict[str, Tensor]:
    """Return codes and scales of float8, for the tensor, for each row, or for blocks."""
    x = weight.float()
    rows, columns = x.shape if block is None else block
    grid = x.reshape(len(x) // rows, rows, -1, columns).abs().amax(dim=(1, 3))
    scales = grid.clamp(min=1e-12) / torch.finfo(dtype).max
    wide = scales.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    codes = (x / wide).clamp(-torch.finfo(dtype).max, torch.finfo(dtype).max).to(dtype)
    return {NAME: codes, f"{NAME}_scale_inv": scales if block else scales.reshape(())}


def write_coded(folder: Path, named: Mapping[str, Tensor], method: str = "") -> Path:
    """Write tensors with the configuration of a quantisation method."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(named), folder / "model.safetensors")
    config: dict[str, Any] = {"model_type": "llama"}
    if method == "bitsandbytes":
        int8 = any(name.endswith("SCB") for name in named)
        settings = {"load_in_8bit": int8, "load_in_4bit": not int8, "quant_method": method}
        config["quantization_config"] = settings
    elif method:
        block = {"weight_block_size": [32, 32]} if method == "blocks" else {}
        config["quantization_config"] = {"quant_method": "fp8", **block}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
