# SPDX-License-Identifier: BSD-3-Clause
"""Strange files of flax: valid ones, in which values are changed, dropped or doubled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.flax_files import Raw, array, chunked, extension, packed

Rng = np.random.Generator

DTYPES = [np.float32, np.float64, np.float16, np.uint8, np.int64, np.complex64]
KEYS = ["a", "w", "kernel", "", "a/b", "params", "0", "shape", "chunks", "x" * 999, "\ud800"]
KEYS.append("__msgpack_chunked_array__")
SIZES = [0, 1, 2, 3, 7, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63)]


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _array(rng: Rng) -> Any:
    shape = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(0, 4))))
    count = int(np.prod(shape, dtype=np.int64))
    numbers = rng.standard_normal(count).astype(pick(rng, DTYPES), casting="unsafe").reshape(shape)
    kind = int(rng.integers(5))
    if kind == 0:
        return chunked(numbers, int(rng.integers(1, count + 2)))
    if kind == 1:
        sizes = tuple(pick(rng, SIZES) if rng.random() < 0.4 else n for n in shape)
        return Raw(array(numbers, shape=sizes))
    if kind == 2:
        name = pick(rng, ["float32", "int4", "bfloat16", "", 1, None, b"float32", "F32"])
        return Raw(array(numbers, dtype=name, code=pick(rng, [1, 2, 3, -1])))
    return numbers


def _strange(rng: Rng) -> Any:
    kind = int(rng.integers(6))
    if kind == 0:
        return pick(rng, SIZES)
    if kind == 1:
        return pick(rng, [None, True, 0.5, b"", b"raw", "text", [], {}, [1, [2]]])
    if kind == 2:
        return Raw(pick(rng, [b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b""]))
    if kind == 3:
        return Raw(extension(int(rng.integers(-9, 9)), rng.bytes(int(rng.integers(0, 20)))))
    if kind == 4:
        return Raw(
            pick(rng, [b"\x91", b"\x81\xa1a"]) * int(pick(rng, [2, 99, 101, 3000])) + b"\x01"
        )
    return _array(rng)


def _changed(rng: Rng, tree: dict[str, Any]) -> dict[str, Any]:
    """The same map with one of its values replaced, dropped, doubled or renamed."""
    if not tree:
        return tree
    out, key = dict(tree), pick(rng, list(tree))
    how = int(rng.integers(5))
    if how == 0:
        del out[key]
    elif how == 1:
        out[pick(rng, KEYS)] = out.pop(key)
    elif how == 2:
        out[pick(rng, KEYS)] = _strange(rng)
    elif isinstance(tree[key], dict):
        out[key] = _changed(rng, tree[key])
    else:
        out[key] = _strange(rng)
    return out


def flax(rng: Rng, folder: Path, noise: Callable[[Rng, bytes, float], bytes]) -> Path:
    layers = {str(n): {"q_proj": {"kernel": _array(rng)}} for n in range(int(rng.integers(1, 3)))}
    tree: dict[str, Any] = {"params": {"layers": layers, "w": np.ones((2, 3), np.float32)}}
    if rng.random() < 0.3:
        tree["opt_state"] = {"0": {"mu": _array(rng)}}
    for _ in range(int(pick(rng, [0, 1, 1, 2, 3]))):
        tree = _changed(rng, tree)
    (folder / "x.msgpack").write_bytes(noise(rng, packed(tree), 0.3))
    return folder / "x.msgpack"
