# SPDX-License-Identifier: BSD-3-Clause
"""Strange GGUF files: valid ones, in which fields of the header are changed, dropped or doubled."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.gguf_files import NUMBERS, text, u32, u64

from sigmascope.checkpoint.formats.ggml import BLOCK_DTYPES, TYPES

Rng = np.random.Generator
Field = tuple[str, Any]
"""Name of the function that writes a field, and its value."""

SIZES = [0, 1, 2, 3, 4, 5, 31, 32, 33, 255, 256, 1000, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1]
TEXTS = [b"", b"a", b"\0", b"\xff", "é".encode(), b"x" * 999, b"x" * 1001, b"general.alignment"]
TEXTS += [b"split.count", b"general.architecture", b"llama.attention.head_count"]
WRITERS: dict[str, Callable[[Any], bytes]] = {
    "u32": lambda value: u32(value % 2**32),
    "u64": lambda value: u64(value % 2**64),
    "text": text,
    "raw": bytes,
}


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _pairs(rng: Rng) -> list[list[Field]]:
    """Metadata of a model, and values of other types."""
    layers = int(rng.integers(1, 3))
    pairs: list[list[Field]] = [
        [("text", b"general.architecture"), ("u32", 8), ("text", pick(rng, [b"llama", b"qwen2"]))],
        [("text", b"llama.attention.head_count"), ("u32", 4), ("u32", 2)],
        [("text", b"llama.block_count"), ("u32", 10), ("u64", layers)],
        [
            *(("text", b"tokenizer.ggml.tokens"), ("u32", 9), ("u32", 8), ("u64", 3)),
            *(("text", word) for word in (b"a", b"bc", b"")),
        ],
        [
            *(("text", b"llama.attention.head_count_kv"), ("u32", 9), ("u32", 5)),
            *(("u64", layers), ("raw", struct.pack(f"<{layers}i", *[2] * layers))),
        ],
        [("text", b"a.number"), ("u32", 12), ("raw", struct.pack("<d", 0.5))],
        [("text", b"a.boolean"), ("u32", 7), ("raw", b"\1")],
    ]
    if rng.random() < 0.5:
        pairs.append([("text", b"general.alignment"), ("u32", 4), ("u32", 32)])
    return pairs


def _tensors(rng: Rng) -> tuple[list[list[Field]], bytes]:
    """Records of tensors, and their data."""
    kinds = ["F32", "F16", "BF16", "F64", "I32", *BLOCK_DTYPES]
    names = [b"blk.0.attn_q.weight", b"blk.0.attn_q.bias", b"blk.0.ffn_up_exps.weight", b"b", b"c"]
    infos: list[list[Field]] = []
    data = b""
    for name in names[: int(rng.integers(1, len(names) + 1))]:
        number = NUMBERS[pick(rng, kinds)]
        values = TYPES[number]
        dims = [values.elements * int(rng.integers(1, 3))]
        dims += [int(n) for n in rng.integers(1, 5, int(rng.integers(0, 3)))]
        sizes: list[Field] = [("u64", size) for size in dims]
        infos.append(
            [("text", name), ("u32", len(dims)), *sizes, ("u32", number), ("u64", len(data))]
        )
        data += rng.bytes(int(np.prod(dims)) // values.elements * values.nbytes)
        data += bytes(-len(data) % 32)
    return infos, data


def _changed(rng: Rng, records: list[list[Field]]) -> None:
    """Replace a field of a record, drop or double the record, or a field."""
    at = int(rng.integers(len(records)))
    how = int(rng.integers(8))
    if how == 0:
        records.insert(at, list(records[at]))
    elif how == 1 and len(records) > 1:
        del records[at]
    else:
        record = list(records[at])
        place = int(rng.integers(len(record)))
        kind, value = record[place]
        if how == 2:
            record[place : place + 1] = [] if rng.random() < 0.5 else [record[place]] * 2
        elif kind == "text":
            record[place] = (kind, pick(rng, TEXTS))
        elif kind == "raw":
            record[place] = (kind, rng.bytes(len(value)))
        elif rng.random() < 0.5:
            record[place] = (kind, value + int(rng.integers(-2, 3)))
        else:
            record[place] = (kind, int(pick(rng, SIZES)))
        records[at] = record


def gguf(rng: Rng, folder: Path, noise: Callable[[Rng, bytes, float], bytes]) -> Path:
    """Make a file of random tensors; `noise` changes its bytes at last."""
    pairs, (infos, data) = _pairs(rng), _tensors(rng)
    counts = [len(infos), len(pairs)]
    for _ in range(int(pick(rng, [0, 1, 1, 1, 2, 3]))):
        _changed(rng, pick(rng, [pairs, infos, infos]))
    if rng.random() < 0.7:
        counts = [len(infos), len(pairs)]
    if rng.random() < 0.1:
        counts[int(rng.integers(2))] = int(pick(rng, SIZES))
    version = int(pick(rng, [3] * 12 + [2] * 4 + [0, 1, 4, 3 << 24]))
    head = b"GGUF" + u32(version) + b"".join(map(u64, counts))
    head += b"".join(WRITERS[kind](value) for record in pairs + infos for kind, value in record)
    raw = head + bytes(-len(head) % 32) + data
    if rng.random() < 0.1:
        raw = raw[: int(rng.integers(len(raw)))]
    (folder / "x.gguf").write_bytes(noise(rng, raw, 0.15))
    return folder / "x.gguf"
