# SPDX-License-Identifier: BSD-3-Clause
"""The tree of dicts, lists and objects that a pickle holds, as entries with names.

Nested dicts are flattened, and their keys joined by dots. If the weights are stored under
"state_dict", "model" or a similar key next to other data, that key is not part of their names.
Lists and objects are entered if they contain a tensor. A module of torch, which `torch.save` of a
whole model stores as an object, has the names of its state dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from sigmascope._host.limits import MAX_NAMES, MAX_NESTING, MAX_TENSORS
from sigmascope.errors import CheckpointError

from .entries import DTYPE_BITS, TensorEntry
from .inert import Tensor
from .jsontext import brief
from .names import joined
from .placeholders import Placeholder, holders_of_tensors, is_unread_tensor, kind_of

#: Keys under which training scripts store the weights, next to other data.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module")


class Record(NamedTuple):
    """Place of one storage in the file, in bytes."""

    offset: int
    nbytes: int


def entries_of(
    root: object, records: Mapping[str, Record], stem: str
) -> tuple[str | None, list[TensorEntry]]:
    """Return the key of the weights, if they have one, and all entries.

    Tensors come first, by offset, then the other entries.

    Parameters
    ----------
    root : object
        What the pickle holds.
    records : mapping
        Places of the storages.
    stem : str
        Name of a tensor that is stored alone.

    Raises
    ------
    CheckpointError
        There are no names, a tensor exceeds its storage, or two entries have the same name.
    """
    tree = _Tree(root)
    wrapper, weights, others = tree.weights(stem)
    entries = [tensor_entry(name, value, records) for name, value in tree.leaves(weights)]
    entries += [_foreign(name, value, f" next to {wrapper!r}, not read") for name, value in others]
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise CheckpointError(f"two entries are named {brief(entry.name, 200)}")
        seen.add(entry.name)
    entries.sort(key=lambda entry: (entry.foreign is not None, entry.offset))
    return wrapper, entries


def tensor_entry(name: str, value: object, records: Mapping[str, Record]) -> TensorEntry:
    """Return the entry of a value in a pickle; CheckpointError if a tensor leaves its storage."""
    if is_unread_tensor(value):
        return _foreign(name, value, ", not read")
    if not isinstance(value, Tensor):
        return _foreign(name, value, ", not a tensor")
    storage, shape, dtype = value.storage, value.shape, value.dtype
    if storage.key not in records:
        key = brief(storage.key, 200)
        raise CheckpointError(f"tensor {brief(name, 200)}: storage {key} has no record")
    record = records[storage.key]
    size = 16 if dtype == "C128" else DTYPE_BITS[dtype] // 8
    count = prod(shape)
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, value.strides, strict=True))
    if count and (value.offset + reach) * size > record.nbytes:
        raise CheckpointError(
            f"tensor {brief(name, 200)}: it needs {(value.offset + reach) * size} bytes of storage "
            f"{brief(storage.key, 200)}, which has {record.nbytes}"
        )
    strides = None if _is_dense(shape, value.strides) else value.strides
    at = record.offset + (value.offset * size if count else 0)
    return TensorEntry(name, dtype, shape, at, count * size, strides)


class _Tree:
    """The contents of a pickle, with the known containers of tensors."""

    def __init__(self, root: object) -> None:
        self.root, self._holders = root, holders_of_tensors(root)

    def weights(self, stem: str) -> tuple[str | None, object, list[tuple[str, object]]]:
        """Return the key of the weights (if any), the weights, and the other entries."""
        root = self.root
        if isinstance(root, Tensor):
            return None, {stem: root}, []
        if not isinstance(root, dict) and not self._has_names(root):
            raise CheckpointError(f"holds a {kind_of(root)}, not tensors by name")
        named: Mapping[Any, Any] = root if isinstance(root, dict) else {}
        for key in WRAPPERS:
            if self._has_names(named.get(key)):
                others = [(joined("", name), each) for name, each in named.items() if name != key]
                return key, named[key], others
        return None, root, []

    def _has_names(self, value: object) -> bool:
        return isinstance(value, dict | Placeholder) and id(value) in self._holders

    def leaves(self, root: object) -> Iterator[tuple[str, object]]:
        """List all entries in order.

        A file of a few hundred bytes can name a tensor 2**40 times, hold a dict that contains
        itself, or have a name of megabytes at each level: entries and characters are counted before
        names are joined.
        """
        pending = [("", self._inner(root) or iter(()), isinstance(root, Placeholder))]
        count, letters = 0, 0
        while pending:
            above, parts, of_object = pending[-1]
            key, value = next(parts, (_END, None))
            if key is _END:
                pending.pop()
                continue
            count += 1
            if count > MAX_TENSORS:
                raise CheckpointError(f"more than {MAX_TENSORS} entries")
            if of_object and not self._is_tensor_or_holder(value):
                continue  # a setting of an object
            name = joined(above, key)
            letters += len(name)
            if letters > MAX_NAMES:
                raise CheckpointError(f"names of more than {MAX_NAMES} letters together")
            inner = self._inner(value)
            if inner is None:
                yield name, value
                continue
            if len(pending) == MAX_NESTING:
                raise CheckpointError(
                    f"{brief(name, 200)}: nested too deeply, in more than {MAX_NESTING} dicts"
                )
            pending.append((f"{name}.", inner, of_object or isinstance(value, Placeholder)))

    def _is_tensor_or_holder(self, value: object) -> bool:
        return isinstance(value, Tensor) or is_unread_tensor(value) or id(value) in self._holders

    def _inner(self, value: object) -> Iterator[tuple[Any, object]] | None:
        """Return the items of a dict that is not empty, and of lists and objects with tensors."""
        if isinstance(value, dict):
            return iter(value.items()) if value else None
        if isinstance(value, Tensor) or id(value) not in self._holders:
            return None
        if isinstance(value, Placeholder):
            return value.contents()
        return enumerate(value) if isinstance(value, list | tuple) else None


_END = object()


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= max(size, 1)
    return True


def _foreign(name: str, value: object, why: str) -> TensorEntry:
    kind = kind_of(value)
    return TensorEntry(name, kind, (), 0, 0, foreign=kind + why)
