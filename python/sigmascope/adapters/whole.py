# SPDX-License-Identifier: BSD-3-Clause
"""Tensors that an adapter stores in full, because PEFT has no product for them: norms and biases.

PEFT replaces the model's tensors with them. It has two settings: `bias` covers every tensor with
"bias" in its name; `modules_to_save` names modules, and stores all their tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.formats.safetensors_output import Tensors

from .modules import PREFIX
from .targets import bfloat16_codes

STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<f4", "I64": "<i8", "I32": "<i4"}
"""Formats that are written, by the NumPy dtype of their numbers."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Formats of tensors that are replaced; integers only accompany them in their modules."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A tensor that an adapter stores in full.

    Attributes
    ----------
    module, own
        Name of its module, and its own name within the module.
    """

    module: str
    own: str

    @property
    def bias(self) -> bool:
        """True if PEFT saves the tensor as a bias, False if it saves the whole module."""
        return is_bias(self.own)


def is_bias(own: str) -> bool:
    """Return whether PEFT saves a tensor of this name as a bias."""
    return "bias" in own


@dataclass(frozen=True, slots=True)
class SavedTensors:
    """The tensors that an adapter stores in full.

    Attributes
    ----------
    tensors
        Format and numbers, or codes, of every tensor.
    modules
        Names of `modules_to_save`.
    """

    tensors: dict[Whole, tuple[str, NDArray[Any]]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def add(self, whole: Whole, source: Checkpoint, name: str) -> None:
        """Read a tensor of a checkpoint; CheckpointError if its file has changed."""
        self.tensors[whole] = stored_tensor(source, name)

    def named(self, depths: Mapping[str, int]) -> Tensors:
        """Return the tensors by their names in the file.

        `depths` counts the layers that PEFT wraps around each module, each with a `base_layer`.
        """
        return {
            f"{PREFIX}{each.module}{'.base_layer' * depths.get(each.module, 0)}.{each.own}": tensor
            for each, tensor in self.tensors.items()
        }

    def settings(self) -> dict[str, Any]:
        """Return the adapter's settings that make PEFT load these tensors."""
        biases = any(whole.bias and whole.module not in self.modules for whole in self.tensors)
        settings: dict[str, Any] = {"bias": "all"} if biases else {}
        return settings | ({"modules_to_save": self.modules} if self.modules else {})


def stored_tensor(source: Checkpoint, name: str) -> tuple[str, NDArray[Any]]:
    """Return format and numbers of a tensor other than a matrix, or its codes of bfloat16."""
    elements = source.elements(name)
    assert elements is not None
    dtype = elements.pieces[0].entry.dtype
    numbers = np.concatenate([np.ravel(chunk) for chunk in elements.once()])
    numbers = numbers.astype(STORED[dtype])
    stored = bfloat16_codes(numbers) if dtype == "BF16" else numbers
    return dtype, stored.reshape(elements.once().shape)
