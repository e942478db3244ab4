# SPDX-License-Identifier: BSD-3-Clause
"""Metadata of GGUF files, and the settings of the model under the names of a config.json.

For the used keys, numbers, short texts and short lists of integers are kept. All other values
(tokens, merges, templates) are validated in the same way and skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from sigmascope._host.limits import MAX_NAME
from sigmascope.errors import CheckpointError

from .gguf_stream import GgufStream
from .jsontext import brief

Metadata = Mapping[str, Any]

MODEL_TYPE = "gguf-"
"""Start of the model_type of a GGUF file; the architecture of llama.cpp follows.

Layouts are those of llama.cpp's converters, which differ from those of the models in Transformers.
"""

_BOOL, _STRING, _ARRAY = 7, 8, 9
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
_SIZES = {kind: struct.calcsize(f"<{form}") for kind, form in _FORMATS.items()} | {_BOOL: 1}
_INTEGERS = (0, 1, 2, 3, 4, 5, 10, 11)

_KEPT = 4096
"""Longest text that is kept, in bytes, and longest list of integers."""

_SETTINGS = {
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.kv_lora_rank": "kv_lora_rank",
    "attention.scale": "attention_multiplier",
    "rope.dimension_count": "rotary_dim",
    "rope.scaling.type": "rope_scaling_type",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "expert_feed_forward_length": "moe_intermediate_size",
    "block_count": "num_hidden_layers",
}
"""Keys of llama.cpp, below the name of the architecture, and those of a config.json."""

_KEYS = (
    "general.architecture",
    "general.alignment",
    "split.no",
    "split.count",
    "split.tensors.count",
)

_PERMUTED = (
    "llama arcee smollm3 llama-embed granite granitemoe granitehybrid deci baichuan xverse minicpm "
    "internlm2 olmo arctic deepseek bailingmoe chameleon"
)
"""Architectures whose converters permute the rows of q and k for the rotary embedding."""


def read_metadata(stream: GgufStream, count: int) -> Metadata:
    """Read `count` pairs of key and value.

    Raises
    ------
    CheckpointError
        A key occurs twice, or the format does not allow a type, a length or a value.
    """
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = stream.text("a key of the metadata")
        if len(key) > MAX_NAME:
            raise CheckpointError(
                f"{stream.path}: metadata key {brief(key, 60)} has {len(key)} letters, above the "
                f"limit of {MAX_NAME}"
            )
        if key in metadata:
            raise CheckpointError(f"{stream.path}: metadata key {brief(key)} occurs twice")
        value = _value(stream, f"metadata {brief(key)}")
        metadata[key] = value if _is_kept(key) else None
    return metadata


def _is_kept(key: str) -> bool:
    """Return whether the value of a key is used; a file may have any other keys."""
    return key in _KEYS or key.partition(".")[2] in _SETTINGS


def _value(stream: GgufStream, what: str) -> Any:
    """Read one value; return None if it is skipped."""
    kind = stream.number(4, f"{what}: its type")
    if kind == _STRING:
        length = stream.number(8, f"{what}: its length")
        if length > _KEPT:
            stream.skip(length, what)
            return None
        return stream.take(length, what).decode(errors="replace")
    if kind == _ARRAY:
        return _list(stream, what)
    if kind not in _SIZES:
        raise CheckpointError(f"{stream.path}: {what} has type {kind}, which GGUF does not have")
    return _numbers(stream, kind, 1, what)[0]


def _list(stream: GgufStream, what: str) -> list[Any] | None:
    kind = stream.number(4, f"{what}: the type of its elements")
    count = stream.number(8, f"{what}: its number of elements")
    if kind == _ARRAY:
        raise CheckpointError(f"{stream.path}: {what} is an array of arrays, which is not read")
    if kind == _STRING:
        stream.skip_texts(count, what)
        return None
    if kind not in _SIZES:
        raise CheckpointError(
            f"{stream.path}: {what} has elements of type {kind}, which GGUF does not have"
        )
    if kind not in _INTEGERS or count > _KEPT:
        stream.skip(count * _SIZES[kind], what)
        return None
    return _numbers(stream, kind, count, what)


def _numbers(stream: GgufStream, kind: int, count: int, what: str) -> list[Any]:
    raw = stream.take(count * _SIZES[kind], what)
    if kind != _BOOL:
        return list(struct.unpack(f"<{count}{_FORMATS[kind]}", raw))
    if raw not in (b"\0", b"\1"):
        raise CheckpointError(f"{stream.path}: {what} is the boolean {raw[0]}, not 0 or 1")
    return [raw == b"\1"]


def settings_of(metadata: Metadata) -> dict[str, Any]:
    """Return the settings of the model; empty if the metadata do not name an architecture.

    `rope_permuted` is True if the rows of q and k are in the order of llama.cpp. A setting with a
    number for each layer is a list, unless all numbers are equal. The keys of shards, `split.no`
    and so on, are kept.
    """
    settings = {key: value for key, value in metadata.items() if key.startswith("split.")}
    named = metadata.get("general.architecture")
    if not isinstance(named, str):
        return settings
    settings |= {"model_type": MODEL_TYPE + named, "architectures": [named]}
    settings["rope_permuted"] = named in _PERMUTED.split()
    for key, name in _SETTINGS.items():
        value = metadata.get(f"{named}.{key}")
        if isinstance(value, list):
            value = value[0] if len(set(value)) == 1 else value
        if value is not None:
            settings[name] = value
    return settings
