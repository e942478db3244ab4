# SPDX-License-Identifier: BSD-3-Clause
"""Texts of tokens, from a tokenizer.json beside the weights or from a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sigmascope import Checkpoint
from sigmascope.checkpoint import opened
from sigmascope.errors import CheckpointError
from sigmascope.extension import read_regular
from sigmascope.extension.readers import FileStream

MOST_BYTES = 64 << 20
"""Larger files of tokens are not read: vocabularies of 256,000 tokens have 20 to 30 MB."""

MOST_TOKENS = 4 << 20

_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the numbers of GGUF, by their type."""


def read_tokens(checkpoint: Checkpoint) -> tuple[str | None, ...] | None:
    """Return the text of each token by its number.

    Returns
    -------
    tuple of str or None
        Numbers without a text have None. The whole is None if there is neither a tokenizer.json
        in the folder of a local checkpoint nor a list of tokens in a GGUF file, or if it is
        malformed: weights can be compared without it.
    """
    try:
        for path in checkpoint.files[:1]:
            if path.name.endswith(".gguf"):
                with opened(path) as (file, stored):
                    return tokens_of_gguf(FileStream(file, stored.size, path))
            if isinstance(path, Path) and (beside := path.parent / "tokenizer.json").is_file():
                return tokens_of_json(json.loads(read_regular(beside, MOST_BYTES)))
    except (CheckpointError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return None


def tokens_of_json(tokenizer: Any) -> tuple[str | None, ...]:
    """Return the tokens of a parsed tokenizer.json: those of the model, and the added ones.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the file does not have the layout of the library tokenizers.
    """
    vocabulary, numbers = tokenizer["model"]["vocab"], {}
    if isinstance(vocabulary, dict):
        numbers = {number: text for text, number in vocabulary.items()}
    else:  # Unigram: pairs of text and score
        numbers = {number: text for number, (text, _) in enumerate(vocabulary)}
    numbers |= {each["id"]: each["content"] for each in tokenizer.get("added_tokens", ())}
    if any(
        not isinstance(number, int) or not 0 <= number < MOST_TOKENS or not isinstance(text, str)
        for number, text in numbers.items()
    ):
        raise ValueError("a token has no text, or no number")
    return tuple(numbers.get(number) for number in range(max(numbers, default=-1) + 1))


def tokens_of_gguf(stream: FileStream) -> tuple[str | None, ...] | None:
    """Return the list of tokens in the metadata of a GGUF file, or None without such a list.

    Raises
    ------
    CheckpointError
        If the file ends before, or the list is larger than 64 MB.
    """
    stream.skip(8, "the start")
    stream.skip(8, "the number of tensors")
    for _ in range(_number(stream, 8)):
        key = stream.take_text(_number(stream, 8), "a key")
        kind = _number(stream, 4)
        inner, count = (_number(stream, 4), _number(stream, 8)) if kind == _ARRAY else (kind, 1)
        if key == "tokenizer.ggml.tokens" and inner == _STRING and count <= MOST_TOKENS:
            return tuple(_iter_texts(stream, count))
        if inner == _STRING:
            for _ in range(count):
                stream.skip(_number(stream, 8), "a text")
        else:
            stream.skip(count * _SIZES[inner], "a value")
    return None


def _number(stream: FileStream, size: int) -> int:
    return int.from_bytes(stream.take(size, "a number"), "little")


def _iter_texts(stream: FileStream, count: int) -> Iterator[str]:
    start = stream.position
    for _ in range(count):
        yield stream.take(_number(stream, 8), "a token").decode(errors="replace")
        if stream.position - start > MOST_BYTES:
            raise CheckpointError(f"{stream.path}: its tokens have more than {MOST_BYTES} bytes")
