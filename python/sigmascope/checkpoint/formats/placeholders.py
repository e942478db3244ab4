# SPDX-License-Identifier: BSD-3-Clause
"""Objects of any class in a pickle, as records that run nothing.

Training scripts save settings, scalars of NumPy or whole modules next to the weights. A class or a
function that the pickle names becomes a placeholder; nothing is imported. Calling it makes another
placeholder, which keeps arguments, attributes and items. The tensors in them are then listed like
the tensors of a dict.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from sigmascope._host.limits import MAX_NAME
from sigmascope.errors import CheckpointError

from .inert import Handler, Inert, Name, Tensor, counted
from .jsontext import brief

_MODULE = ("_parameters", "_buffers", "_modules")
"""Attributes of a module of torch that hold its state dict."""

_OF_OWN_CLASSES = ("_rebuild_from_type_v2", "_rebuild_wrapper_subclass")
"""Functions of torch that make tensors of other classes than its own."""

_OWN_CLASSES = (
    "the weights have a class of their own, such as those quantised by torchao: save them as "
    "safetensors, which are supported"
)
_REBUILDS = ("torch._utils._rebuild_", "torch._tensor._rebuild_")
_BYTES = "_codecs.encode"
"""Name of the function that makes bytes in a pickle for Python 2."""

_MOST_KEYS = 64


def _empty_dict(*arguments: object) -> dict[Any, Any]:
    """Make a dict that replaces one with a default; its arguments do not matter."""
    return {}


class Placeholder:
    """A class or function that a pickle names, or an object that a call of it makes.

    Attributes
    ----------
    kind : str
        The name in the pickle.
    arguments : tuple
        Arguments of the call that makes the object.
    states : list
        Its attributes, in the form that classes accept.
    items : list of (object, object)
        Items that are set, or appended under their number.
    """

    def __init__(self, kind: str, arguments: tuple[Any, ...] = ()) -> None:
        self.kind, self.arguments = kind, arguments
        self.states: list[Any] = []
        self.items: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.kind}>"

    def __setitem__(self, key: object, value: object) -> None:
        self.items.append((key, value))

    def append(self, value: object) -> None:
        """Add an item like an item of a list."""
        self.items.append((len(self.items), value))

    add = append  # the unpickler calls it for the items of a set

    @property
    def is_tensor(self) -> bool:
        """True for a tensor that torch makes with a function unknown here."""
        return self.kind.startswith(_REBUILDS)

    @property
    def description(self) -> str:
        """The kind of the object, for people: for an array, its dtype and shape."""
        if self.kind.endswith("multiarray.scalar"):
            return f"a scalar of NumPy, {_dtype(self.arguments[:1])}"
        if self.kind.endswith("multiarray._reconstruct"):
            state = self.states[-1] if self.states else ()
            if isinstance(state, tuple) and len(state) == 5 and isinstance(state[1], tuple):
                return f"an array of NumPy, {_dtype(state[2:3])} {brief(list(state[1]), 60)}"
            return "an array of NumPy"
        if self.is_tensor:
            advice = f" ({_OWN_CLASSES})" if self.kind.endswith(_OF_OWN_CLASSES) else ""
            return f"a tensor made by {brief(self.kind, 100)}{advice}"
        return "bytes" if self.kind == _BYTES else brief(self.kind, 100).strip("'")

    def contents(self) -> Iterator[tuple[Any, Any]]:
        """List the object's contents by name: for a module, parameters, buffers and modules."""
        for part in self._states():
            of_module = isinstance(part, dict) and all(
                isinstance(part.get(name), dict) for name in _MODULE
            )
            for key, value in part.items() if isinstance(part, dict) else ():
                if of_module and key in _MODULE:
                    yield from value.items()
                else:
                    yield key, value
            if not isinstance(part, dict):
                yield "state", part
        yield from self.items
        yield "arguments", self.arguments

    def parts(self) -> Iterator[Any]:
        """List the containers and values that the object consists of."""
        yield from self._states()
        yield from (value for _, value in self.items)
        yield from self.arguments

    def _states(self) -> Iterator[Any]:
        """List the states; a class with slots has two dicts."""
        for state in self.states:
            yield from state if type(state) is tuple else (state,)


def _dtype(values: tuple[Any, ...]) -> str:
    """Return the name of a NumPy dtype, which is an argument of its placeholder."""
    value = values[0] if values else None
    if not isinstance(value, Placeholder) or not value.arguments:
        return "of an unknown dtype"
    return brief(value.arguments[0], 20).strip("'")


def kind_of(value: object) -> str:
    """Describe the kind of a value in a pickle, for people."""
    if isinstance(value, Placeholder):
        return value.description
    if isinstance(value, Tensor):
        return "tensor"
    return value.name if isinstance(value, Name) else type(value).__name__


def is_unread_tensor(value: object) -> bool:
    """Return whether a value is a tensor that torch makes with a function unknown here."""
    return isinstance(value, Placeholder) and value.is_tensor


def _parts(value: object) -> Iterable[Any]:
    if isinstance(value, Placeholder):
        return () if value.is_tensor else value.parts()
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) and not isinstance(value, Name) else ()


def holders_of_tensors(root: object) -> set[int]:
    """Return the identities of the containers that hold a tensor at any depth.

    Each container is visited once, since a pickle of a few bytes may contain it 2**40 times.
    """
    above: dict[int, list[int]] = {}
    pending, visited, holding = [root], {id(root)}, set[int]()
    marked: list[int] = []
    while pending:
        container = pending.pop()
        for part in _parts(container):
            if isinstance(part, Tensor) or is_unread_tensor(part):
                marked.append(id(container))
            elif isinstance(part, Placeholder | dict | list | tuple):
                above.setdefault(id(part), []).append(id(container))
                if id(part) not in visited:
                    visited.add(id(part))
                    pending.append(part)
    while marked:
        identity = marked.pop()
        if identity not in holding:
            holding.add(identity)
            marked += above.get(identity, ())
    return holding


def _make_object(reader: Any) -> None:
    arguments = reader.stack.pop()
    reader.stack[-1] = reader.call(reader.stack[-1], arguments)


def _make_object_by_keywords(reader: Any) -> None:
    keywords = reader.stack.pop()
    arguments = reader.stack.pop()
    if not isinstance(keywords, dict) or type(arguments) is not tuple:
        raise CheckpointError("its pickle makes an object of something that is not arguments")
    reader.stack[-1] = reader.call(reader.stack[-1], (*arguments, keywords))


class Tolerant(Inert):
    """An inert unpickler that makes placeholders for unknown names."""

    dispatch: ClassVar[dict[int, Handler]] = Inert.dispatch | {
        pickle.NEWOBJ[0]: counted(_make_object),
        pickle.NEWOBJ_EX[0]: counted(_make_object_by_keywords),
    }

    def _instantiate(self, function: object, arguments: list[object]) -> None:
        self.append(self.call(function, tuple(arguments)))  # type: ignore[attr-defined]

    def call(self, function: Any, arguments: object) -> Any:
        """Make a placeholder from a placeholder; call anything else like :class:`Inert`."""
        if not isinstance(function, Placeholder) or type(arguments) is not tuple:
            return super().call(function, arguments)
        self.steps += len(arguments)
        if function.kind == _BYTES and arguments:
            text = arguments[0]  # as Python 3 writes bytes for pickles of Python 2
            if type(text) is str and len(text) <= MAX_NAME:
                self.steps += len(text)
                return text.encode("latin-1", "replace")
        return Placeholder(function.kind, arguments)

    def check_keys(self, keys: Iterable[object]) -> None:
        """Allow placeholders, names, and tuples of a few plain values."""
        for key in keys:
            super().check_keys(_plain_parts(key, _MOST_KEYS))

    def set_attributes(self, owner: object, state: object) -> None:
        """Keep the attributes of a placeholder."""
        if isinstance(owner, Placeholder):
            self.steps += len(state) if type(state) is tuple else 0
            owner.states.append(state)
        else:
            super().set_attributes(owner, state)

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the replacement of a name."""
        if (module, name) == ("collections", "defaultdict"):
            return _empty_dict
        return self.known(module, name) or Placeholder(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return the record of a storage, or a placeholder if its numbers are not read."""
        if isinstance(pid, tuple) and len(pid) == 5 and isinstance(pid[1], Placeholder):
            return Placeholder(pid[1].kind)
        return super().persistent_load(pid)


def _plain_parts(key: object, most: int) -> list[object]:
    """Return the parts of nested tuples, without placeholders and names, up to a limit."""
    parts, pending = list[object](), [key]
    for _ in range(most):  # tuples of one tuple twice have 2**60 parts
        if not pending:
            return parts
        part = pending.pop()
        if type(part) is tuple:
            pending += part
        elif not isinstance(part, Placeholder | Name):
            parts.append(part)
    return [key]  # a nested tuple, which is refused
