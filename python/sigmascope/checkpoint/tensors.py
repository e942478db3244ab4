# SPDX-License-Identifier: BSD-3-Clause
"""Mappings of names to arrays, and modules of torch, as sources of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from .configuration import Configuration, configured
from .formats.files import Files
from .formats.jsontext import parse_json, unique
from .formats.memory import memory_header
from .remote.paths import Place


@runtime_checkable
class HasStateDict(Protocol):
    """A module of torch, or any object with such a state dict."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return the tensors by name."""


Tensors = Mapping[str, Any] | HasStateDict
"""Tensors in memory by name."""


def read_tensors(source: Tensors) -> Files:
    """Return the tensors of a mapping or a module as one virtual file.

    Raises
    ------
    TypeError
        A name is not text.
    """
    tensors = source if isinstance(source, Mapping) else source.state_dict()
    label = f"{type(source).__name__} in memory"
    return Files(None, ((memory_header(tensors, label),),), ())


def configuration_of(source: Tensors) -> Configuration:
    """Return the configuration of a module of transformers; an empty one for anything else."""
    to_dict = getattr(getattr(source, "config", None), "to_dict", None)
    if not callable(to_dict):
        return Configuration()
    where = f"the config of {type(source).__name__}"
    try:
        text = json.dumps(to_dict(), default=str).encode()
        return configured(unique(parse_json(text, where), where))
    except (TypeError, ValueError) as error:
        return Configuration(notes=(f"{where} is not used: {error}",))


def label_of(files: Files) -> Place:
    """Return the label of tensors in memory."""
    return files.ranks[0][0].path
