# SPDX-License-Identifier: BSD-3-Clause
r"""Time and memory of a scan of all circuits of a model with the shape of Llama 7B.

    cd benchmarks/experiments
    python circuits_7b.py ../../models/circuits-7b
    python circuits_7b.py ../../models/circuits-7b-hard --condition 1000

The folder gets 32 layers of q, k, v and o, 4096 x 4096 in bf16, unless it has them already: 4.3 GB,
or less where the file system shares extents. The layers are the heads of one layer in other orders.
The scan runs in a process of its own, with one thread of BLAS for each of its threads. Some
circuits are then compared with a dense decomposition of the product, formed in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from whole_processes import timed

import sigmascope as ss
from sigmascope.adapters import circuits_of
from sigmascope.bench.machine import chosen_cores, describe
from sigmascope.results import Scan

LAYERS, HEADS, WIDTH = 32, 32, 4096
PARTS = ("q", "k", "v", "o")
HEAD = WIDTH // HEADS
SCAN = """
import os, sys

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
import sigmascope as ss

checkpoint = ss.open_checkpoint(sys.argv[1], circuits=True)
ss.scan(checkpoint, num_threads=int(sys.argv[3])).save(sys.argv[2])
"""

TOLERANCE = 1e-12
"""Largest distance from a dense decomposition, as a share of the largest value."""


def bf16(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to bf16, half up."""
    return ((x.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def heads_of(part: str, condition: float, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield the rows of each head, whose singular values fall from 1 to 1 / condition."""
    for _ in range(HEADS):
        rows = rng.standard_normal((HEAD, WIDTH), dtype=np.float32) / np.float32(np.sqrt(WIDTH))
        if condition > 1:
            mixed = np.linalg.qr(rng.standard_normal((HEAD, HEAD)))[0]
            rows = (mixed * np.geomspace(1, 1 / condition, HEAD) @ rows).astype(np.float32)
        yield bf16(rows).tobytes()


def write_layer(path: Path, layer: int, parts: dict[str, list[bytes]]) -> None:
    """Write the shard of one layer: heads in an order of their own, and gains of a norm."""
    stem, size = f"model.layers.{layer}", WIDTH * WIDTH * 2
    header: dict[str, Any] = {}
    for i, part in enumerate(PARTS):
        header[f"{stem}.self_attn.{part}_proj.weight"] = {
            "dtype": "BF16",
            "shape": [WIDTH, WIDTH],
            "data_offsets": [i * size, (i + 1) * size],
        }
    header[f"{stem}.input_layernorm.weight"] = {
        "dtype": "BF16",
        "shape": [WIDTH],
        "data_offsets": [4 * size, 4 * size + 2 * WIDTH],
    }
    rng = np.random.default_rng(layer)
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 4096)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in PARTS:
            for head in rng.permutation(HEADS):
                file.write(parts[part][head])
        file.write(bf16(rng.uniform(0.5, 1.5, WIDTH).astype(np.float32)).tobytes())


def write_model(folder: Path, condition: float) -> None:
    """Write all layers; those of a folder with a config.json are complete."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    parts = {part: list(heads_of(part, condition, rng)) for part in "qkv"}
    columns = np.frombuffer(b"".join(heads_of("o", condition, rng)), np.uint16)
    parts["o"] = [x.tobytes() for x in np.split(columns.reshape(WIDTH, WIDTH).T, HEADS)]
    index: dict[str, str] = {}
    for layer in range(LAYERS):
        name = f"model-{layer + 1:05}-of-{LAYERS:05}.safetensors"
        write_layer(folder / name, layer, parts)
        index |= {f"model.layers.{layer}.self_attn.{part}_proj.weight": name for part in PARTS}
        index[f"model.layers.{layer}.input_layernorm.weight"] = name
    text = json.dumps({"metadata": {}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "rope_theta": 10000.0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def largest_distance(folder: Path, scan: Scan, count: int) -> float:
    """Return the largest distance of values from a dense decomposition, over the largest value."""
    circuits = circuits_of(ss.open_checkpoint(folder, circuits=True))
    rows = {row["name"]: row for row in scan.analysed}
    chosen = np.random.default_rng(0).choice(sorted(rows), count, replace=False)
    worst = 0.0
    for name in chosen:
        product = circuits[name]
        dense = np.linalg.svd(np.asarray(product.B) @ np.asarray(product.A), compute_uv=False)
        top = np.array(rows[name]["top"])
        every = product.singular_values().values
        off = max(np.abs(top - dense[: len(top)]).max(), np.abs(every - dense).max())
        worst = max(worst, float(off / dense[0]))
    return worst


def main() -> None:
    """Write the model, scan it, check some circuits, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--condition", type=float, default=1.0, help="of each head's rows")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--dense", type=int, default=3, help="circuits that are checked")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    write_model(given.folder, given.condition)
    cores = chosen_cores(given.cores)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "scan.jsonl"
        command = [sys.executable, "-c", SCAN, str(given.folder), str(out), str(len(cores))]
        figures = timed(command, cores)
        scan = Scan.load(out)
    if len(scan.analysed) != 2 * LAYERS * HEADS:
        sys.exit(f"{len(scan.analysed)} circuits were analysed, not {2 * LAYERS * HEADS}")
    worst = largest_distance(given.folder, scan, given.dense)
    print(
        f"{len(scan.analysed)} circuits: {figures['seconds']:.1f} s, "
        f"{figures['processor_seconds']:.1f} s of processors, {figures['peaks'] / 1e6:.0f} MB; "
        f"{given.dense} of them within {worst:.1e} of a dense decomposition"
    )
    if given.json is not None:
        result = {"machine": describe(len(cores)), "condition": given.condition, **figures}
        text = json.dumps(result | {"distance": worst}, indent=1)
        given.json.write_text(text + os.linesep, encoding="utf-8")
    if worst > TOLERANCE:
        sys.exit(f"the distance exceeds {TOLERANCE}")


if __name__ == "__main__":
    main()
