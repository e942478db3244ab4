# SPDX-License-Identifier: BSD-3-Clause
"""Strange files for every reader: valid ones, changed at the level of their fields.

`make(reader, seed, folder)` is one and the same file for one seed; see `fuzz` for what is done with
them. A file is built from parts (header, records, instructions of a pickle, members of JSON), some
parts are replaced by what they should not be, and bytes are changed at last, or none.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import (
    fuzzing_distributed,
    fuzzing_flax,
    fuzzing_gguf,
    fuzzing_onnx,
    fuzzing_pickles,
)
from tests.support.checkpoints import encoded, entry, framed
from tests.support.fuzzing_groups import strange_weight
from tests.support.readers import has_reader

Rng = np.random.Generator

NUMBERS: list[Any] = [0, 1, 2, 3, 7, 64, -1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**19]
NUMBERS += [0.5, 1.0, -0.0, 1e300, True, False, None]
TEXTS = [
    "",
    "a",
    "w",
    "a.b",
    "x" * 999,
    "x" * 1001,
    "\0",
    "é",
    "\u202e",
    "../x",
    "a/b",
    "F32",
    "BF16",
]
TEXTS += [
    "F64",
    "U8",
    "F8_E4M3",
    "F4",
    "weight",
    "lora_A",
    ".",
    "..",
    "a[0]",
    "__metadata__",
    "\ud800",
]
PATTERNS = [
    "(a|aa)+$",
    "(a*)*b",
    "q_proj",
    ".*",
    "(",
    "[a-",
    "(?=a)",
    "\\1",
    "a{1,9}",
    "^",
    "(?i)a",
    "|",
]


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def strange(rng: Rng) -> Any:
    kind = int(rng.integers(8))
    if kind < 3:
        return pick(rng, NUMBERS)
    if kind < 5:
        return pick(rng, TEXTS)
    if kind < 6:
        return [strange(rng) for _ in range(int(rng.integers(4)))]
    if kind < 7:
        return {pick(rng, TEXTS): strange(rng) for _ in range(int(rng.integers(3)))}
    value: Any = 1
    for _ in range(int(pick(rng, [2, 50, 99, 101, 2000]))):
        value = [value]
    return value


def changed(rng: Rng, value: Any) -> Any:
    """The same JSON value, with one of its parts replaced, dropped, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        out, key = dict(value), pick(rng, list(value))
        how = int(rng.integers(5))
        if how == 0:
            del out[key]
        elif how == 1:
            out[pick(rng, TEXTS)] = out.pop(key)
        elif how == 2:
            out[pick(rng, TEXTS + PATTERNS)] = strange(rng)
        else:
            out[key] = changed(rng, value[key])
        return out
    if isinstance(value, list) and value and rng.random() < 0.8:
        items, at = list(value), int(rng.integers(len(value)))
        items[at : at + 1] = pick(rng, [[], [changed(rng, items[at])], [items[at]] * 2])
        return items
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return value + int(rng.integers(-2, 3))
    return strange(rng)


def times(rng: Rng, change: Callable[[Any], Any], value: Any) -> Any:
    for _ in range(int(pick(rng, [0, 1, 1, 1, 2, 3]))):
        value = change(value)
    return value


def text_of(rng: Rng, value: Any) -> bytes:
    """JSON, now and then with a member twice, or not quite JSON."""
    text = dumps(value)
    if rng.random() < 0.1 and b":" in text:
        at = text.index(b"{") + 1
        text = text[:at] + b'"a":1,"a":2,' + text[at:]
    return noise(rng, text, 0.1)


def dumps(value: Any) -> bytes:
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 3000


def repr_of(value: Any) -> bytes:
    try:
        return repr(value).encode("utf-8", "backslashreplace")
    except RecursionError:
        return b"[" * 3000


def noise(rng: Rng, raw: bytes, chance: float) -> bytes:
    """Some bytes changed, cut off or put in, or none."""
    if rng.random() >= chance or not raw:
        return raw
    at, how = int(rng.integers(len(raw))), int(rng.integers(4))
    if how == 0:
        return raw[:at]
    if how == 1:
        return raw[:at] + bytes([int(rng.integers(256))]) + raw[at + 1 :]
    if how == 2:
        return raw[:at] + rng.bytes(int(rng.integers(1, 9))) + raw[at:]
    return raw + rng.bytes(int(rng.integers(1, 40)))


def header_of(rng: Rng) -> tuple[dict[str, Any], bytes]:
    fields: dict[str, Any] = {}
    at = 0
    for number in range(int(rng.integers(1, 4))):
        dtype, size = pick(rng, [("F32", 4), ("F64", 8), ("BF16", 2), ("U8", 1), ("F8_E4M3", 1)])
        shape = [int(n) for n in rng.integers(0, 5, int(rng.integers(0, 4)))]
        end = at + size * int(np.prod(shape, dtype=np.int64))
        fields[f"layers.{number}.w"] = entry(dtype, shape, [at, end])
        at = end
    return fields, rng.bytes(at)


def safetensors(rng: Rng, folder: Path, name: str = "model.safetensors") -> Path:
    fields, data = header_of(rng)
    raw = framed(text_of(rng, times(rng, lambda v: changed(rng, v), fields)), data)
    if rng.random() < 0.15:
        raw = struct.pack("<Q", int(pick(rng, [0, 1, len(raw), 2**27, 2**63, 2**64 - 1]))) + raw[8:]
    (folder / name).write_bytes(noise(rng, raw, 0.2))
    return folder / name


def npy(rng: Rng, folder: Path) -> Path:
    shape = tuple(int(n) for n in rng.integers(0, 6, int(rng.integers(0, 4))))
    dtype = pick(rng, ["<f4", "<f8", "<f2", ">f4", "|u1", "<i8", "<c8", "|b1", "|V2", "|O", "<U3"])
    size = 0 if dtype == "|O" else np.dtype(dtype).itemsize
    head = {"descr": dtype, "fortran_order": bool(rng.random() < 0.4), "shape": shape}
    count = int(np.prod(shape, dtype=np.int64))
    head = times(rng, lambda v: changed(rng, v), head)
    text = repr_of(head)
    if rng.random() < 0.1:
        text = pick(
            rng, [b"(" * 9000, b"[" * 500 + b"]" * 500, b"9" * 5000, b"-" * 9000 + b"1", b"L"]
        )
    version = pick(rng, [1, 1, 1, 2, 3, 9])
    length = struct.pack("<H" if version == 1 else "<I", min(len(text) + 1, 2**16 - 1))
    raw = b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\n" + rng.bytes(count * size)
    (folder / "x.npy").write_bytes(noise(rng, raw, 0.3))
    return folder / "x.npy"


def index(rng: Rng, folder: Path) -> Path:
    shards = {}
    for shard in ("a.safetensors", "b.safetensors"):
        fields, data = header_of(rng)
        fields = {f"{shard[0]}.{name}": value for name, value in fields.items()}
        (folder / shard).write_bytes(framed(fields, data))
        shards |= dict.fromkeys(fields, shard)
    value = {"metadata": {"total_size": 100}, "weight_map": shards}
    text = text_of(rng, times(rng, lambda v: changed(rng, v), value))
    (folder / "model.safetensors.index.json").write_bytes(text)
    return folder


def config(rng: Rng, folder: Path) -> Path:
    """A checkpoint with a config.json, which is never refused: a note says what is not used."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    fields = {}
    for number, name in enumerate(names):
        key = f"model.layers.0.self_attn.{name}.weight"
        fields[key] = entry("F32", [8, 8], [256 * number, 256 * (number + 1)])
    (folder / "model.safetensors").write_bytes(framed(fields, rng.bytes(1024)))
    value = {"model_type": pick(rng, ["llama", "gpt2", "qwen2"]), "num_attention_heads": 4}
    value |= {"num_key_value_heads": 2, "hidden_size": 8, "head_dim": 2}
    value["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [4, 4]}
    (folder / "config.json").write_bytes(text_of(rng, times(rng, lambda v: changed(rng, v), value)))
    return folder


def groups(rng: Rng, folder: Path) -> Path:
    """A weight of codes in groups, whose tensors, state or configuration may be changed."""
    tensors, value = strange_weight(rng)
    (folder / "model.safetensors").write_bytes(encoded(tensors))
    text = text_of(
        rng, times(rng, lambda v: changed(rng, v), value) if rng.random() < 0.5 else value
    )
    (folder / "config.json").write_bytes(text)
    return folder


def adapter(rng: Rng, folder: Path) -> Path:
    fields, count = {}, 0
    for wrapper in pick(rng, [[""], [""], ["", ".base_layer"], [".base_layer"]]):
        for side, shape in (("A", [2, 6]), ("B", [6, 2])):
            key = f"base_model.model.layers.0.{'a' * 40}.q_proj{wrapper}.lora_{side}.weight"
            fields[key] = entry("F32", shape, [48 * count, 48 * (count + 1)])
            count += 1
    (folder / "adapter_model.safetensors").write_bytes(framed(fields, rng.bytes(48 * count)))
    value = {
        "peft_type": "LORA",
        "r": pick(rng, [1, 2]),
        "lora_alpha": 4,
        "use_rslora": False,
        "use_dora": False,
    }
    value |= {"rank_pattern": {pick(rng, PATTERNS): 2}, "alpha_pattern": {pick(rng, PATTERNS): 3}}
    stacks = [None, ["q_proj.w"], ["w"], ["q_proj.gate_up_proj", "q_proj.down_proj"]]
    value |= {"target_parameters": pick(rng, stacks), "fan_in_fan_out": False}
    value |= {"peft_version": "0.21.2"}
    text = text_of(rng, times(rng, lambda v: changed(rng, v), value))
    (folder / "adapter_config.json").write_bytes(text)
    return folder


def rules(rng: Rng, folder: Path) -> Path:
    safe, data = header_of(rng)
    (folder / "model.safetensors").write_bytes(framed(safe, data))
    value = {"layers": ["cells"], "modules": [["q", "w"], ["k", "^v", "u"]], "towers": [["a", "b"]]}
    value |= {"models": [{"type": ["m"], "modules": [["up", pick(rng, PATTERNS)]]}]}
    value |= {"wrappers": [pick(rng, PATTERNS)], "parts": [["", pick(rng, PATTERNS)]]}
    value = {key: part for key, part in value.items() if rng.random() < 0.5}
    text = text_of(rng, times(rng, lambda v: changed(rng, v), value))
    (folder / "rules.json").write_bytes(text)
    return folder


def table(rng: Rng, folder: Path) -> Path:
    """A saved scan, sealed anew: what a checksum cannot tell."""
    from tests.support.made_scan import LINES

    from sigmascope._tables.journal import _seal

    lines = []
    for line in LINES:
        record = times(rng, lambda v: changed(rng, v), line)
        text = noise(rng, dumps(record), 0.03)
        whole = rng.random() < 0.97
        lines.append(text[:-1] + _seal(text) if whole else text)
    (folder / "x.jsonl").write_bytes(noise(rng, b"\n".join([*lines, b""]), 0.1))
    return folder / "x.jsonl"


READERS: dict[str, Callable[[Rng, Path], Path]] = {
    "safetensors": safetensors,
    "pickle": partial(fuzzing_pickles.pickled, noise=noise),
    "legacy pickle": partial(fuzzing_pickles.legacy, noise=noise),
    "npy": npy,
    "gguf": partial(fuzzing_gguf.gguf, noise=noise),
    "distributed": partial(fuzzing_distributed.distributed, noise=noise),
    "index": index,
    "config": config,
    "groups": groups,
    "adapter": adapter,
    "rules": rules,
    "table": table,
}
if has_reader("ONNX"):
    READERS["onnx"] = partial(fuzzing_onnx.onnx, noise=noise)
if has_reader("flax"):
    READERS["flax"] = partial(fuzzing_flax.flax, noise=noise)


def make(reader: str, seed: int, folder: Path) -> Path:
    """Make the file of a seed; return what to open."""
    return READERS[reader](np.random.default_rng([seed, *reader.encode()]), folder)
