# SPDX-License-Identifier: BSD-3-Clause
"""Strange folders of torch.distributed.checkpoint: valid ones whose parts are changed."""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.distributed_files import Call, Folder, Named, cuts, pickled, size

Rng = np.random.Generator

VALUES: list[Any] = [0, 1, 2, 7, -1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64, None, True, 0.5, "w"]
VALUES += ["", "../x", "a/b", "__1_0.distcp", ".metadata", b"w", [], {}, (), "x" * 1001, "model"]


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _folder(rng: Rng) -> Folder:
    made = Folder()
    for name in ("layers.0.q_proj.weight", "model.b", "c", "d")[: int(rng.integers(1, 5))]:
        shape = [int(n) for n in rng.integers(1, 6, int(rng.integers(0, 4)))]
        dtype = pick(rng, ["F32", "F64", "BF16", "I64", "U8"])
        itemsize = {"F32": 4, "F64": 8, "BF16": 2, "I64": 8, "U8": 1}[dtype]
        array = rng.integers(0, 100, shape).astype(f"u{itemsize}")
        axes = []
        for extent in shape:
            inner = rng.integers(0, extent + 1, int(rng.integers(0, 3)))
            axes.append(cuts(extent, *sorted(int(place) for place in inner)))
        made.add(name, np.asarray(array), *axes, dtype=dtype, transposed=rng.random() < 0.1)
        if rng.random() < 0.3:
            made.keys[name] = tuple(name.split("."))
    return made


def _value(rng: Rng) -> Any:
    if rng.random() < 0.3:
        numbers = [pick(rng, VALUES[:10]) for _ in range(int(rng.integers(0, 4)))]
        return size(numbers)
    return Call("torch.load", "x") if rng.random() < 0.05 else pick(rng, VALUES)


def _change(rng: Rng, made: Folder) -> None:
    """Change an attribute of a part of the metadata, or the content of a file."""
    kind = int(rng.integers(5))
    if kind == 0:
        name = pick(rng, list(made.files))
        at = int(rng.integers(len(made.files[name])))
        raw = bytearray(made.files[name])
        raw[at] = int(rng.integers(256))
        made.files[name] = bytes(raw)
        return
    entry = made.entries[pick(rng, list(made.entries))]
    chunks = entry.chunks if isinstance(entry.chunks, list) else []
    parts = [entry, entry.properties, *chunks, *made.places, *made.places.values()]
    part = pick(rng, [each for each in parts if isinstance(each, Named)])
    names = [name for name in part.__dict__ if name != "state"] or ["state"]
    name = pick(rng, names)
    old = getattr(part, name)
    if name == "state":
        part.state = pick(rng, [(), ("float32",), (None,) * 5])
    elif isinstance(old, int) and rng.random() < 0.6:
        setattr(part, name, old + int(rng.integers(-2, 3)))
    elif isinstance(old, list) and old and rng.random() < 0.7:
        setattr(part, name, old[1:] if rng.random() < 0.5 else [*old, old[0]])
    else:
        setattr(part, name, _value(rng))


def _changed_program(rng: Rng, raw: bytes) -> bytes:
    """Drop, double or move an instruction of a pickle."""
    places = [place for *_, place in pickletools.genops(raw) if place is not None]
    program = [raw[a:b] for a, b in zip(places, [*places[1:], len(raw)], strict=True)]
    at, other = (int(n) for n in rng.integers(len(program), size=2))
    how = int(rng.integers(3))
    if how == 0:
        del program[at]
    else:
        program[at : at + how - 1] = [program[other]]
    return b"".join(program)


def distributed(rng: Rng, folder: Path, noise: Callable[[Rng, bytes, float], bytes]) -> Path:
    """Make a folder of random tensors; `noise` changes bytes of the metadata at last."""
    made = _folder(rng)
    for _ in range(int(pick(rng, [0, 1, 1, 1, 2]))):
        if any(made.files.values()):
            _change(rng, made)
    raw = pickled(made.metadata())
    if rng.random() < 0.3:
        raw = _changed_program(rng, raw)
    return made.write(folder, noise(rng, raw, 0.1))
