# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints of 307 M parameters in bf16, the second the first after a small update.

The layout is that of a Llama of hidden size 2048 (intermediate 5632, 4 key heads of 64, 32 000
words) with 4 layers: 30 matrices, two shards of 614 MB together. Every matrix is noise with spikes
3 edge i^-0.3, as trained weights have; its update has rank 16, a size that is asked for, and is
rounded to bf16 with the sum, as training leaves it.

    python benchmarks/experiments/make_pair.py FOLDER    # makes FOLDER/before and FOLDER/after
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HIDDEN, INNER, KEYS, WORDS, LAYERS = 2048, 5632, 256, 32000, 4
SPIKES, UPDATE_RANK, SIZE = 64, 16, 0.02

Shape = tuple[int, int]


def layout() -> Iterator[tuple[str, Shape]]:
    """Names and shapes of all matrices, in file order."""
    yield "model.embed_tokens.weight", (WORDS, HIDDEN)
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}."
        yield stem + "self_attn.q_proj.weight", (HIDDEN, HIDDEN)
        yield stem + "self_attn.k_proj.weight", (KEYS, HIDDEN)
        yield stem + "self_attn.v_proj.weight", (KEYS, HIDDEN)
        yield stem + "self_attn.o_proj.weight", (HIDDEN, HIDDEN)
        yield stem + "mlp.gate_proj.weight", (INNER, HIDDEN)
        yield stem + "mlp.up_proj.weight", (INNER, HIDDEN)
        yield stem + "mlp.down_proj.weight", (HIDDEN, INNER)
    yield "lm_head.weight", (WORDS, HIDDEN)


def bf16(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Codes of the nearest bf16 numbers, ties to even."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def float32(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The numbers of bf16 codes."""
    return (codes.astype(np.uint32) << 16).view(np.float32)


def low_rank(shape: Shape, values: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """A matrix whose singular values are about these."""
    rng = np.random.default_rng(seed)
    m, n = shape
    left = rng.standard_normal((m, len(values)), dtype=np.float32) / np.float32(m**0.5)
    right = rng.standard_normal((len(values), n), dtype=np.float32) / np.float32(n**0.5)
    return np.asarray((left * values.astype(np.float32)) @ right)


def weights(shape: Shape, seed: int) -> NDArray[np.float32]:
    """Noise of deviation 0.02, and spikes above its edge."""
    noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    edge = 0.02 * (shape[0] ** 0.5 + shape[1] ** 0.5)
    spikes = 3 * edge * np.arange(1, SPIKES + 1) ** -0.3
    return np.float32(0.02) * noise + low_rank(shape, spikes, seed + 1)


def pair(
    shape: Shape, seed: int, size: float = SIZE, decay: float = 0.0
) -> tuple[NDArray[np.uint16], ...]:
    """Codes of W before, and after an update U of ||U|| = size ||W||: of W + U - decay W."""
    before = bf16(weights(shape, seed))
    w = float32(before)
    update = low_rank(shape, np.linspace(1.5, 0.5, UPDATE_RANK), seed + 2)
    update *= np.float32(size * np.linalg.norm(w) / np.linalg.norm(update))
    return before, bf16(w + update - np.float32(decay) * w)


def write(
    folder: Path,
    size: float = SIZE,
    decay: float = 0.0,
    matrices: Sequence[tuple[str, Shape]] | None = None,
) -> tuple[Path, Path]:
    """Make both checkpoints, two shards each, unless they are there; a matrix at a time.

    `matrices` are names and shapes, by default those of :func:`layout`.
    """
    folders = folder / "before", folder / "after"
    names = list(layout()) if matrices is None else list(matrices)
    if all((f / "model.safetensors.index.json").is_file() for f in folders):
        return folders
    shards = names[: len(names) // 2], names[len(names) // 2 :]
    files = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for f in folders:
        f.mkdir(parents=True, exist_ok=True)
    for file, tensors in zip(files, shards, strict=True):
        header, end = {}, 0
        for name, (m, n) in tensors:
            header[name] = {
                "dtype": "BF16",
                "shape": [m, n],
                "data_offsets": [end, end + 2 * m * n],
            }
            end += 2 * m * n
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (folders[0] / file).open("wb") as one, (folders[1] / file).open("wb") as two:
            for out in (one, two):
                out.write(len(text).to_bytes(8, "little") + text)
            for name, shape in tensors:
                seed = 10 * [n for n, _ in names].index(name)
                for out, codes in zip((one, two), pair(shape, seed, size, decay), strict=True):
                    out.write(codes.tobytes())
    index = {
        "metadata": {"total_size": sum(2 * m * n for _, (m, n) in names)},
        "weight_map": {
            name: file for file, tensors in zip(files, shards, strict=True) for name, _ in tensors
        },
    }
    for f in folders:
        (f / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
        (f / "config.json").write_text('{"model_type": "llama"}\n', encoding="utf-8")
    return folders


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
