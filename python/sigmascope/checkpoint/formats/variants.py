# SPDX-License-Identifier: BSD-3-Clause
"""Variants of one set of weights in a folder, as diffusers saves them: another precision or EMA.

The variant fp16 of ``name.safetensors`` is ``name.fp16.safetensors``. Its shards are
``name.fp16-00001-of-00002.safetensors`` or ``name-00001-of-00002.fp16.safetensors``, with the index
``name.safetensors.index.fp16.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

_KNOWN = r"(?:fp|bf|f|int)\d+|non_ema|ema"
_NAME = re.compile(
    rf"(?P<stem>.+?)(?P<before>-\d+-of-\d+)?\.(?P<variant>{_KNOWN})(?P<after>-\d+-of-\d+)?"
    r"(?P<suffix>\.(?:safetensors|bin))"
)
_INDEX = re.compile(rf"(?P<stem>.+\.(?:safetensors|bin)\.index)\.(?P<variant>{_KNOWN})\.json")


def variants_of(names: Iterable[str]) -> dict[str, str]:
    """Return the variants of weight files that also exist without a variant.

    Parameters
    ----------
    names
        Names of the files of a folder.

    Returns
    -------
    dict of str to str
        The variant of each file, by its name.
    """
    names = list(names)
    plain = {_plain(name) for name in names if not _NAME.fullmatch(name)}
    variants: dict[str, str] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match and match["stem"] + match["suffix"] in plain:
            variants[name] = match["variant"]
        elif (index := _INDEX.fullmatch(name)) and f"{index['stem']}.json" in names:
            variants[name] = index["variant"]
    return variants


def chosen(folder: Place, names: list[str], variant: str | None) -> list[str]:
    """Return the files of a variant, or the files without a variant for None.

    Raises
    ------
    CheckpointError
        If the folder has no file of the variant; the message says which variants it has.
    """
    variants = variants_of(names)
    if variant is None:
        return [name for name in names if name not in variants]
    files = [name for name in names if variants.get(name) == variant]
    if not files:
        there = ", ".join(sorted(set(variants.values()))) or "none"
        raise CheckpointError(f"{folder}: no variant {variant!r}; variants there: {there}")
    return files


def _plain(name: str) -> str:
    """Return the name of a file without the number of its shard."""
    return re.sub(r"-\d+-of-\d+(?=\.)", "", name)
