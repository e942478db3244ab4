# SPDX-License-Identifier: BSD-3-Clause
"""Pickles of TorchScript: modules of a program as dicts of their parameters, buffers and modules.

A saved program has the form of a saved state dict, except that the root of its pickle is a module:
an object of a class of the program (`__torch__.…`), whose attributes are its state. The code of the
classes is stored next to the pickle, and is not read.
"""

from __future__ import annotations

from typing import Any

from sigmascope.errors import CheckpointError

from .inert import Tensor
from .placeholders import Tolerant


class Module(dict[str, Any]):
    """A module of a program: its parameters, buffers and modules, by name."""

    def __init__(self, *args: object) -> None:
        if args:
            raise CheckpointError("a module of TorchScript is called")
        super().__init__()

    def set_attributes(self, state: object) -> None:
        """Keep the attributes with tensors, without flags, settings and other modules."""
        if not isinstance(state, dict) or not all(type(name) is str for name in state):
            raise CheckpointError(f"a module of TorchScript has a state of {type(state).__name__}")
        self.update({name: value for name, value in state.items() if _has_tensors(value)})


def _has_tensors(value: object) -> bool:
    """Return whether an attribute is a tensor, holds tensors, or is a list that begins with one."""
    if isinstance(value, list | tuple) and not isinstance(value, Tensor):
        return bool(value) and isinstance(value[0], Tensor)
    return isinstance(value, Tensor) or (isinstance(value, dict) and bool(value))


def _as_list(values: object) -> object:
    """Replace torch's functions that make lists of one type."""
    return values


class Scripted(Tolerant):
    """An inert unpickler that also knows modules of programs."""

    def set_attributes(self, owner: object, state: object) -> None:
        """Set the attributes of a module; for other objects, do as :class:`Tolerant` does.

        One dict may be the state of many modules, so its entries count as instructions.
        """
        if isinstance(owner, Module):
            self.steps += len(state) if isinstance(state, dict) else 0
            owner.set_attributes(state)
        else:
            super().set_attributes(owner, state)

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the replacement of a name."""
        if module.partition(".")[0] == "__torch__":
            return Module
        if module == "torch.jit._pickle" and name.startswith("build_") and name.endswith("list"):
            return _as_list
        return super().find_class(module, name)
