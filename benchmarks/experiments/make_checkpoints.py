# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints of the shapes of real models, with planted singular values, in little disk.

    truncate -s 40G image && mkfs.xfs -q image && mkdir -p models && mount -o loop image models
    losetup --direct-io=on /dev/loopN     # losetup -l names it; a buffered loop times the cache
    python benchmarks/experiments/make_checkpoints.py models llama-70b

Each tensor is sigma G + sum_i s_i u_i v_i^T: Gaussian noise and SPIKES values at 1.5 to 6 times its
edge. Layers share the bytes of VARIANTS tensors of each kind, cloned where the file system can
(XFS, btrfs), copied where not: every reader still sees ordinary files of the full size.
truth.json says what was planted, and what the theory expects of it: for a spike s in m x n noise of
deviation sigma, n >= m, the observed value tends to sigma sqrt(n (1 + t^2) (m/n + t^2)) / t with
t = s / (sigma sqrt n) (Benaych-Georges & Nadakuditi 2012), with fluctuations of the order of sigma.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

SIGMA = 0.02
SPIKES = 8
VARIANTS = 2
PAGE = 4096
FICLONERANGE = 0x4020940D
SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Family:
    """The shape of a model: hidden size, MLP, layers, keys and values, vocabulary."""

    hidden: int
    inter: int
    layers: int
    kv: int
    vocab: int
    tied: bool = False

    def kinds(self) -> dict[str, tuple[int, int]]:
        """Name to shape, of the matrices of one layer."""
        h, i = self.hidden, self.inter
        attention = {"q": (h, h), "k": (self.kv, h), "v": (self.kv, h), "o": (h, h)}
        mlp = {"gate": (i, h), "up": (i, h), "down": (h, i)}
        return {f"self_attn.{name}_proj": shape for name, shape in attention.items()} | {
            f"mlp.{name}_proj": shape for name, shape in mlp.items()
        }


FAMILIES = {
    "qwen-0.5b": Family(896, 4864, 24, 128, 151936, tied=True),  # 1 GB
    "llama-3b": Family(3072, 8192, 28, 1024, 128256, tied=True),  # 6.4 GB
    "llama-7b": Family(4096, 11008, 32, 4096, 32000),  # 13.5 GB
    "llama-34b": Family(8192, 22016, 48, 1024, 32000),  # 67 GB
    "llama-70b": Family(8192, 28672, 80, 1024, 128256),  # 141 GB
    "tiny": Family(128, 384, 4, 64, 512),
}


def planted(path: Path, shape: tuple[int, int], seed: int) -> dict[str, Any]:
    """Write one tensor in bf16, some rows at a time; return what is in it."""
    m, n = shape
    random = np.random.default_rng(seed)
    edge = SIGMA * (math.sqrt(m) + math.sqrt(n))
    spikes = edge * np.geomspace(6.0, 1.5, SPIKES)
    left, right = (np.linalg.qr(random.standard_normal((size, SPIKES)))[0] for size in shape)
    weighted = (right * spikes).T.astype(np.float32)
    rows = max(1, (1 << 23) // n)
    with open(path, "wb") as file:
        for start in range(0, m, rows):
            part = left[start : start + rows].astype(np.float32)
            noise = random.standard_normal((len(part), n), dtype=np.float32)
            file.write((SIGMA * noise + part @ weighted).astype(ml_dtypes.bfloat16).tobytes())
    t = spikes / (SIGMA * math.sqrt(max(m, n)))
    ratio = min(m, n) / max(m, n)
    observed = SIGMA * np.sqrt(max(m, n) * (1 + t**2) * (ratio + t**2)) / t
    return {"shape": shape, "sigma": SIGMA, "edge": edge, "observed": observed.tolist()}


def clone(target: int, offset: int, source: Path) -> None:
    """Put the bytes of a file into another: the same extents if possible, else a copy."""
    with open(source, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            request = struct.pack("qQQQ", file.fileno(), 0, size, offset)
            fcntl.ioctl(target, FICLONERANGE, request)
        except OSError:
            while block := file.read(1 << 24):
                offset += os.pwrite(target, block, offset)


def write_shard(path: Path, tensors: dict[str, tuple[tuple[int, ...], Path | None]]) -> int:
    """Write a safetensors file of tensors by name: shape, and whose bytes (None: ones)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (shape, _) in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % PAGE)  # data begin at a page, or nothing can be cloned
    base = 8 + len(text)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.pwrite(descriptor, struct.pack("<Q", len(text)) + text, 0)
    for name, (shape, source) in tensors.items():
        offset = base + header[name]["data_offsets"][0]
        if source is None:
            os.pwrite(descriptor, np.ones(shape, ml_dtypes.bfloat16).tobytes(), offset)
        else:
            clone(descriptor, offset, source)
    os.ftruncate(descriptor, base + end)
    os.close(descriptor)
    return end


def make(folder: Path, family: Family) -> int:
    """Write a checkpoint, its index, config and truth; return the bytes of its tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {f"{kind}.{v}": s for kind, s in family.kinds().items() for v in range(VARIANTS)}
    shapes["vocab"] = (family.vocab, family.hidden)
    pool = {kind: folder / f".{kind}" for kind in shapes}
    truth = {}
    for seed, (kind, shape) in enumerate(shapes.items()):
        truth[kind] = planted(pool[kind], shape, seed)
    uses = {"model.embed_tokens.weight": "vocab"}
    for layer in range(family.layers):
        uses |= {
            f"model.layers.{layer}.{kind}.weight": f"{kind}.{layer % VARIANTS}"
            for kind in family.kinds()
        }
    if not family.tied:
        uses["lm_head.weight"] = "vocab"
    norms = [
        f"model.layers.{layer}.{norm}.weight"
        for layer in range(family.layers)
        for norm in ("input_layernorm", "post_attention_layernorm")
    ] + ["model.norm.weight"]
    shards: list[dict[str, tuple[tuple[int, ...], Path | None]]] = [{}]
    size = 0
    for name, kind in uses.items():
        if size > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = (shapes[kind], pool[kind])
        size += pool[kind].stat().st_size
    shards[-1] |= dict.fromkeys(norms, ((family.hidden,), None))  # last: not whole pages
    total, places = 0, {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        total += write_shard(folder / file, shard)
        places |= dict.fromkeys(shard, file)
    for path in pool.values():
        path.unlink()
    index = {"metadata": {"total_size": total}, "weight_map": places}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": family.hidden,
        "intermediate_size": family.inter,
        "num_hidden_layers": family.layers,
        "num_attention_heads": family.hidden // 128,
        "num_key_value_heads": max(family.kv // 128, 1),
        "vocab_size": family.vocab,
        "tie_word_embeddings": family.tied,
    }
    files = {"model.safetensors.index.json": index, "config.json": config}
    files["truth.json"] = {"kinds": truth, "uses": uses}
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return total


def main() -> None:
    arguments = argparse.ArgumentParser(description="Make checkpoints with planted values.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("families", nargs="+", choices=list(FAMILIES))
    given = arguments.parse_args()
    for name in given.families:
        size = make(given.folder / name, FAMILIES[name])
        print(f"{name}: {size / 1e9:.1f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
