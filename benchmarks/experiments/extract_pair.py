# SPDX-License-Identifier: BSD-3-Clause
r"""Time to extract an adapter: `sigmascope extract --edge` and a full SVD of every change.

    python benchmarks/experiments/extract_pair.py --threads 1 --json FILE

The checkpoints are decoder layers of the shapes of Llama 7B (hidden size 4096, intermediate 11008)
in bf16, one by default, made as those of make_pair.py: the change is an update of rank 16, whose
norm is 0.01 of that of the weight, and the rounding of the sum to bf16. extract_by_full_svd.py has
the algorithm of mergekit's extraction, and is told the rank. The tools run one after the other,
each in a process of its own, every other turn backwards. The time is that of the whole process.

    python benchmarks/experiments/extract_pair.py --layers 32 --words 32000 --peer-layers 1

The whole model, 27 GB on disk. The other tool, which would take an hour or two, has the first layer
alone: times are compared by layer, and errors are checked in the matrices that both have.

Ends with an error, and writes the file all the same, if a rank is off by more than one in more than
5 % of the matrices, or an error that `sigmascope extract` states is not that of its factors.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from make_pair import UPDATE_RANK, Shape, write
from numpy.typing import NDArray
from whole_processes import print_medians, timed_in_turns

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.bench.machine import chosen_cores, describe

SIZE = 0.01
OURS, PEER = "sigmascope extract --edge", "torch.linalg.svd of every change"
HERE = Path(__file__).parent

_STEPS = 20
"""Steps of the power iteration that bounds a 2-norm from below."""


def layout(layers: int, hidden: int, inner: int, words: int) -> list[tuple[str, Shape]]:
    """Names and shapes of the matrices of Llama's decoder layers, then of what both ends have."""
    shapes = {f"self_attn.{letter}_proj": (hidden, hidden) for letter in "qkvo"}
    shapes |= {f"mlp.{name}_proj": (inner, hidden) for name in ("gate", "up")}
    shapes["mlp.down_proj"] = hidden, inner
    ends = ("model.embed_tokens.weight", "lm_head.weight") if words else ()
    return [
        (f"model.layers.{layer}.{name}.weight", shape)
        for layer in range(layers)
        for name, shape in shapes.items()
    ] + [(name, (words, hidden)) for name in ends]


def remains(change: NDArray[np.float64], product: ss.LowRank) -> NDArray[np.float64]:
    """Return the rest of a change that a product leaves."""
    B, A = (np.asarray(factor, dtype=np.float64) for factor in (product.B, product.A))
    return np.asarray(change - product.scale * (B @ A))


def least_norm(rest: NDArray[np.float64]) -> float:
    """A lower bound of the 2-norm, by a power iteration."""
    x = np.random.default_rng(0).standard_normal(rest.shape[1])
    for _ in range(_STEPS):
        x /= np.linalg.norm(x)
        y = rest @ x
        x = rest.T @ y
    return float(np.linalg.norm(y))


def checked(folder: Path, before: Path, after: Path) -> list[dict[str, Any]]:
    """Compare the rows of an extraction with their factors, and with those of full SVDs.

    Where there is no full SVD, a row has its rank alone.
    """
    base, tuned = ss.open_checkpoint(before), ss.open_checkpoint(after)
    ours, peer = (open_adapter(folder / name) for name in ("ours", "peer"))
    results = []
    for line in (folder / "ours" / "extraction.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.get("status") != "extracted":
            continue
        name = row["name"]
        if name not in peer:
            results.append({"name": name, "rank": row["rank"]})
            continue
        change = np.asarray(tuned[name], float) - np.asarray(base[name], float)
        rest = remains(change, ours[name])
        norm, size = float(np.linalg.norm(rest)), float(np.linalg.norm(change))
        by_svd = float(np.linalg.norm(remains(change, peer[name])))
        stated = abs(norm - row["remaining"]) <= row["remaining_error"] + 1e-12 * norm
        results.append(
            {
                "name": name,
                "shape": list(change.shape),
                "rank": row["rank"],
                "relative_error": norm / size,
                "peer_error": by_svd / size,
                "stated": stated and least_norm(rest) <= row["spectral_bound"],
            }
        )
    return results


def wrong(matrices: list[dict[str, Any]], expected: int) -> str | None:
    """Return what is wrong with the answers, or None."""
    if len(matrices) != expected:
        return f"{len(matrices)} of {expected} matrices were extracted"
    ranks = [each["rank"] for each in matrices]
    near = sum(abs(rank - UPDATE_RANK) <= 1 for rank in ranks)
    if near < 0.95 * len(ranks):
        return f"ranks {ranks}, planted are {UPDATE_RANK}"
    untrue = [each["name"] for each in matrices if not each.get("stated", True)]
    return f"the stated error is not that of the factors: {untrue}" if untrue else None


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, since what is timed inherits the peak memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time the extraction of an adapter.")
    arguments.add_argument("--folder", type=Path, help="where the checkpoints are, or are made")
    arguments.add_argument("--layers", type=int, default=1)
    arguments.add_argument("--hidden", type=int, default=4096)
    arguments.add_argument("--inner", type=int, default=11008)
    arguments.add_argument("--words", type=int, default=0, help="rows of embeddings and head")
    arguments.add_argument("--peer-layers", type=int, help="layers that the full SVD takes")
    arguments.add_argument("--memory", default="1.5GiB", help="limit of ours")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--turns", type=int, default=1)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    matrices = layout(given.layers, given.hidden, given.inner, given.words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        before, after = alone(write, folder, SIZE, 0.0, matrices)
        results: dict[str, Any] = {
            "kind": "extraction",
            "machine": describe(len(cores), ["torch"]),
            "parameters": sum(m * n for _, (m, n) in matrices),
            "size": SIZE,
            "rank": UPDATE_RANK,
            "memory": given.memory,
            "layers": given.layers,
            "peer_layers": given.peer_layers or given.layers,
        }
        results["tools"] = timed(given, before, after, Path(scratch), cores)
        results["matrices"] = alone(checked, Path(scratch), before, after)
    print_medians(results["tools"])
    if given.peer_layers:
        times = {tool["name"]: float(np.median(tool["seconds"])) for tool in results["tools"]}
        ours, peer = times[OURS] / given.layers, times[PEER] / given.peer_layers
        print(f"a layer: {ours:.2f} s and {peer:.2f} s: {peer / ours:.1f} times")
    for each in results["matrices"]:
        print(each)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if (reason := wrong(results["matrices"], len(matrices))) is not None:
        sys.exit(reason)


def timed(
    given: argparse.Namespace, before: Path, after: Path, scratch: Path, cores: list[int]
) -> list[dict[str, Any]]:
    """Time both tools; each turn writes a new adapter."""
    threads, pair = ["--threads", str(len(cores))], [str(before), str(after)]
    tools: list[dict[str, Any]] = []
    for turn in range(given.turns):
        ours, peer = (str(scratch / f"{name}-{turn}") for name in ("ours", "peer"))
        command = [sys.executable, "-m", "sigmascope", "extract", *pair, "--out", ours, "--edge"]
        commands = {
            OURS: [*command, "--quiet", "--memory", given.memory, *threads],
            PEER: [
                *[sys.executable, str(HERE / "extract_by_full_svd.py"), *pair, peer],
                *["--rank", str(UPDATE_RANK), *threads],
                *(["--layers", str(given.peer_layers)] if given.peer_layers else []),
            ],
        }
        order = dict(list(commands.items())[:: 1 - 2 * (turn % 2)])
        once = {tool["name"]: tool for tool in timed_in_turns(order, cores, 1)}
        tools = joined(tools, [once[OURS], once[PEER]])
    for name in ("ours", "peer"):
        (scratch / f"{name}-0").rename(scratch / name)
    return tools


def joined(some: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Append the figures of a turn to those of the turns before."""
    if not some:
        return more
    return [
        {key: value if key == "name" else [*value, *two[key]] for key, value in one.items()}
        for one, two in zip(some, more, strict=True)
    ]


if __name__ == "__main__":
    main()
