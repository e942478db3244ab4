# SPDX-License-Identifier: BSD-3-Clause
"""The tree in the file `_METADATA` of an orbax checkpoint: the names and kinds of its leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import brief, check_count, checked_name, parse_json, unique

_EMPTY = ("None", "Dict", "List", "Tuple", "NamedTuple")
"""Kinds of leaves that are empty containers, which have no array."""


class Leaf(NamedTuple):
    """A leaf of the tree: its keys from the root on, and the kind of its value."""

    keys: tuple[str, ...]
    kind: str

    @property
    def name(self) -> str:
        """Name of the leaf, and of its array: the keys, joined by dots."""
        return ".".join(self.keys)

    @property
    def reason(self) -> str | None:
        """Reason why the leaf has no array; None if it has one."""
        if self.kind in _EMPTY:
            return f"an empty leaf ({self.kind}), not a tensor"
        return "text, not read" if self.kind == "string" else None


class Tree(NamedTuple):
    """The metadata of a checkpoint.

    `ocdbt` says whether all arrays are in one OCDBT store; it is None if the metadata do not say.
    `zarr3` is the version of the arrays. `complete` is True if every chunk of the arrays is stored.
    A missing chunk is then damage; otherwise it means zeros.
    """

    leaves: tuple[Leaf, ...]
    ocdbt: bool | None
    zarr3: bool
    complete: bool


def parsed_tree(raw: bytes, where: str) -> Tree:
    """Parse and validate the text of a `_METADATA` file.

    Parameters
    ----------
    raw : bytes
        JSON text.
    where : str
        Name of the file, for messages.

    Raises
    ------
    CheckpointError
        The text is not JSON, a member is missing or of another type, or two leaves have the same
        name.
    """
    members = unique(parse_json(raw, where), where)
    if "tree_metadata" not in members:
        raise CheckpointError(f"{where}: there is no tree_metadata, which orbax writes")
    nodes = unique(members["tree_metadata"], f"{where}: tree_metadata")
    check_count(nodes, where)
    leaves = tuple(_leaf(node, f"{where}: {brief(key, 200)}") for key, node in nodes.items())
    seen: set[str] = set()
    for leaf in leaves:
        if leaf.name in seen:
            raise CheckpointError(f"{where}: two leaves have the name {brief(leaf.name, 200)}")
        seen.add(leaf.name)
    return Tree(
        leaves,
        _flag(members, "use_ocdbt", where, None),
        bool(_flag(members, "use_zarr3", where, False)),
        bool(_flag(members, "store_array_data_equal_to_fill_value", where, False)),
    )


def _leaf(node: Any, where: str) -> Leaf:
    members = unique(node, where)
    keys = members.get("key_metadata")
    if not isinstance(keys, list) or not keys:
        raise CheckpointError(f"{where}: key_metadata is {brief(keys)}, not a list of keys")
    stated = [unique(key, f"{where}: a key").get("key") for key in keys]
    names = tuple(name for name in stated if isinstance(name, str))
    if len(names) < len(stated):
        raise CheckpointError(f"{where}: the keys {brief(stated)} are not all strings")
    value = unique(members.get("value_metadata"), f"{where}: value_metadata")
    kind = value.get("value_type")
    if not isinstance(kind, str):
        raise CheckpointError(f"{where}: value_type is {brief(kind)}, not a string")
    leaf = Leaf(names, kind)
    if not leaf.name:
        raise CheckpointError(f"{where}: a leaf without a name")
    checked_name(leaf.name, where)
    return leaf


def _flag(members: dict[str, Any], key: str, where: str, default: bool | None) -> bool | None:
    value = members.get(key, default)
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(f"{where}: {key} is {brief(value)}, not true or false")
    return value
