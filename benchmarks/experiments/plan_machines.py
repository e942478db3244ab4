# SPDX-License-Identifier: BSD-3-Clause
"""Plans of scans that several machines share, and a scan by two workers of Dask beside its plan.

    python benchmarks/experiments/plan_machines.py plan FOLDER
    python benchmarks/experiments/plan_machines.py experts FOLDER    # 256 of them, with numbers
    python benchmarks/experiments/plan_machines.py measure CHECKPOINT... --include 'model.layers.*'

The plans are of checkpoints that consist of headers and holes, which take no disk: the shapes of
Llama 3.1 405B in bf16, of DeepSeek V3 (671B) in fp8, and 44,032 experts of 2048 x 768 in stacks.
Every machine is taken to be this one: a worker of one thread for each core, and 8 GiB for all of
them. The rate of files is that of one that the system has cached, so that a plan tells of
processors, not of disks. `measure` scans in two threads of this process, then by a Dask cluster of
two workers of one thread each, and prints the plan of each beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_checkpoints import SHARD_BYTES, Family, planted, write_shard

import sigmascope as ss
from sigmascope.bench.machine import chosen_cores, describe

EACH = 8 << 30
"""Memory of every machine that takes part."""

MACHINES = (1, 8, 64)
EXPERT = (2048, 768)
NBYTES = {"BF16": 2, "F8_E4M3": 1, "F32": 4}

Tensor = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape."""


def llama_405b() -> Iterator[Tensor]:
    family = Family(16384, 53248, 126, 1024, 128256)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        yield name, "BF16", (family.vocab, family.hidden)
    for layer in range(family.layers):
        for kind, shape in family.kinds().items():
            yield f"model.layers.{layer}.{kind}.weight", "BF16", shape


def deepseek_671b() -> Iterator[Tensor]:
    h = 7168
    attention = {"q_a": (1536, h), "q_b": (24576, 1536), "kv_a": (576, h), "kv_b": (32768, 512)}
    matrices = {f"self_attn.{name}_proj": shape for name, shape in attention.items()}
    matrices["self_attn.o_proj"] = (h, 16384)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        yield name, "BF16", (129280, h)
    for layer in range(61):
        wide = 18432 if layer < 3 else 2048
        experts = [f"experts.{i}." for i in range(256)] + ["shared_experts."]
        of_layer = dict(matrices)
        for expert in [""] if layer < 3 else experts:
            for name, shape in {"gate": (wide, h), "up": (wide, h), "down": (h, wide)}.items():
                of_layer[f"mlp.{expert}{name}_proj"] = shape
        for name, shape in of_layer.items():
            key = f"model.layers.{layer}.{name}.weight"
            yield key, "F8_E4M3", shape
            yield f"{key}_scale_inv", "F32", tuple(-(-side // 128) for side in shape)


def experts() -> Iterator[Tensor]:
    for stack in range(344):
        yield f"model.layers.{stack // 3}.mlp.experts.w{stack % 3}", "BF16", (128, *EXPERT)


MODELS = {"405B, bf16": llama_405b, "671B, fp8": deepseek_671b, "experts, bf16": experts}


def write_headers(folder: Path, tensors: Iterator[Tensor]) -> None:
    """Write a checkpoint whose data are holes."""
    folder.mkdir(parents=True)
    shards: list[dict[str, Any]] = [{}]
    places, end = {}, 0
    for name, dtype, shape in tensors:
        if end > SHARD_BYTES:
            shards.append({})
            end = 0
        begin, end = end, end + NBYTES[dtype] * math.prod(shape)
        shards[-1][name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        places[name] = f"model-{len(shards):05d}.safetensors"
    for number, shard in enumerate(shards, 1):
        text = json.dumps(shard).encode()
        with open(folder / f"model-{number:05d}.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            last = max(entry["data_offsets"][1] for entry in shard.values())
            file.truncate(8 + len(text) + last)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_experts(folder: Path) -> None:
    """Write two stacks of 128 experts with noise and planted values, all of one matrix."""
    folder.mkdir(parents=True)
    one, stack = folder / ".one", folder / ".stack"
    planted(one, EXPERT, seed=0)
    stack.write_bytes(128 * one.read_bytes())
    names = (f"model.layers.0.mlp.experts.w{i}" for i in range(2))
    write_shard(folder / "model.safetensors", dict.fromkeys(names, ((128, *EXPERT), stack)))
    one.unlink()
    stack.unlink()


def plan(folder: Path) -> None:
    """Print the plan of every model for every number of machines."""
    threads = len(chosen_cores(None))
    print(f"{describe(threads)['processor']}, {threads} cores and {EACH >> 30} GiB a machine")
    header = ("model", "matrices", "machines", "GB read", "minutes", "GiB each", "refused")
    print(" | ".join(header))
    for name, tensors in MODELS.items():
        path = folder / name.partition(",")[0]
        if not path.exists():
            write_headers(path, tensors())
        checkpoint = ss.open_checkpoint(path)
        for machines in MACHINES:
            result = ss.scan(
                checkpoint,
                plan=True,
                workers=threads * machines,
                num_threads=threads * machines,
                memory_limit=EACH * machines,
            )
            figures = [
                f"{result.read_bytes / 1e9:.0f}",
                f"{result.seconds / 60:.1f}",
                f"{result.peak_bytes / machines / 2**30:.1f}",
                len(result.refused),
            ]
            print(" | ".join(map(str, [name, len(result.accepted), machines, *figures])))


def measure(paths: list[Path], include: list[str] | None) -> None:
    """Print planned and measured seconds of scans, in threads and by a Dask cluster."""
    from dask.distributed import Client, LocalCluster

    options: dict[str, Any] = {"num_threads": 2, "memory_limit": 2 * EACH, "include": include}
    for path in paths:
        print_times(f"{path.name}, threads", path, **options)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for path in paths:
            executor = client.get_executor()
            print_times(f"{path.name}, Dask", path, executor=executor, workers=2, **options)


def print_times(title: str, path: Path, **options: Any) -> None:
    expected = ss.scan(path, plan=True, **options)
    began = time.perf_counter()
    table = ss.scan(path, **options)
    seconds = time.perf_counter() - began
    count = len(table.analysed)
    assert count == len(expected.accepted), table.failed
    print(
        f"{title}: {count} matrices, planned {expected.seconds:.1f} s, measured {seconds:.1f} s: "
        f"{count / seconds:.1f} a second, {expected.nbytes / 1e9 / seconds * 60:.1f} GB a minute"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description="Plans for several machines.")
    arguments.add_argument("what", choices=["plan", "experts", "measure"])
    arguments.add_argument("paths", type=Path, nargs="+", help="new folder, or checkpoints")
    arguments.add_argument("--include", nargs="+", help="shell patterns of tensors to measure")
    given = arguments.parse_args()
    if given.what == "plan":
        plan(given.paths[0])
    elif given.what == "experts":
        write_experts(given.paths[0])
    else:
        measure(given.paths, given.include)


if __name__ == "__main__":
    main()
