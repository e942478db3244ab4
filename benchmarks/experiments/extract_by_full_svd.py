# SPDX-License-Identifier: BSD-3-Clause
"""An adapter by a full SVD of every change, which is the algorithm of mergekit's extraction.

    python benchmarks/experiments/extract_by_full_svd.py BASE TUNED OUT --rank 16

As `mergekit-extract-lora` of mergekit 0.1.5 does (its module scripts.extract_lora): the difference
of two weights in their own format, in float32 then; `torch.linalg.svd`; the first triplets, whose
values are shared evenly. The rank is given, and what remains of a change is not computed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def factors(base: Any, tuned: Any, rank: int) -> tuple[Any, Any]:
    """B (m, rank) and A (rank, n) of a change."""
    change = (tuned - base).to(torch.float32)
    U, s, Vh = torch.linalg.svd(change, full_matrices=False)
    roots = s[:rank].sqrt()
    return (U[:, :rank] * roots).contiguous(), (roots[:, None] * Vh[:rank]).contiguous()


def is_among_first(name: str, layers: int) -> bool:
    """Tell whether a tensor belongs to one of the first layers."""
    match = re.search(r"\.layers\.(\d+)\.", name)
    return match is not None and int(match[1]) < layers


def main() -> None:
    arguments = argparse.ArgumentParser(description="Extract an adapter by full SVDs.")
    arguments.add_argument("base", type=Path)
    arguments.add_argument("tuned", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--rank", type=int, default=16)
    arguments.add_argument("--layers", type=int, help="only so many, the first ones")
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    tensors: dict[str, Any] = {}
    for path in sorted(given.base.glob("*.safetensors")):
        with (
            safe_open(path, framework="pt") as before,
            safe_open(given.tuned / path.name, framework="pt") as after,
        ):
            for name in before.keys():  # noqa: SIM118 (no mapping)
                if given.layers is not None and not is_among_first(name, given.layers):
                    continue
                B, A = factors(before.get_tensor(name), after.get_tensor(name), given.rank)
                stem = "base_model.model." + name.removesuffix(".weight")
                tensors |= {f"{stem}.lora_A.weight": A, f"{stem}.lora_B.weight": B}
                print(name, tuple(B.shape), file=sys.stderr)
    given.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, given.out / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": given.rank,
        "lora_alpha": given.rank,
        "target_modules": sorted({name.split(".")[-3] for name in tensors}),
    }
    (given.out / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main()
