# SPDX-License-Identifier: BSD-3-Clause
"""Folders of orbax, as JAX programs save them: `_METADATA`, and arrays in OCDBT or in folders.

`_METADATA` has the tree of the checkpoint. Each leaf with numbers is a zarr array (version 2 or 3)
whose name consists of the keys of the leaf. It is a key of the OCDBT store whose root is
`manifest.ocdbt`, or a folder. A checkpoint of several items has a folder for each, next to
`_CHECKPOINT_METADATA`. tensorstore (extra ``tensorstore``) reads arrays, from folders on this
machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmascope.checkpoint import Header, Reader, TensorEntry, opened
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import (
    DTYPE_NAMES,
    MAX_JSON_BYTES,
    WRAPPERS,
    Place,
    Stored,
    StoredSource,
    brief,
    format_names,
    parse_json,
    unique,
)

from .orbax_metadata import Leaf, Tree, parsed_tree
from .zarr_arrays import ZarrArray, ZarrArrays, opened_arrays

TREE, ITEMS, MANIFEST = "_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"

_UNFINISHED = ".orbax-checkpoint-tmp"
_KEYS = (*WRAPPERS, "params")
"""Keys of the weights in a tree with other entries."""


def read_orbax(path: Place) -> tuple[Header, ...]:
    """Read the places of the tensors in a checkpoint that orbax saved.

    Parameters
    ----------
    path : Path or RemotePath
        The file of the folder whose name identifies the format.

    Returns
    -------
    tuple of Header
        One with the tensors, and one without tensors for each other file that was read. If the tree
        has its weights under "params" or a similar key, next to other keys, that key is not part of
        their names, and the other keys are not read. Memory is a small multiple of the metadata.
        Opening reads the metadata of every array.

    Raises
    ------
    CheckpointError
        The metadata are missing or inconsistent, the folder is not on this machine, was not
        written completely or has several items, or an array is missing or damaged.
    ImportError
        tensorstore is not installed.
    """
    folder = path.parent
    if not isinstance(folder, Path):
        raise CheckpointError(f"{folder}: orbax checkpoints can only be read from local folders")
    if _UNFINISHED in folder.name:
        raise CheckpointError(f"{folder}: its name says that orbax did not finish this checkpoint")
    items = _items(folder)
    folder = _folder_of_tree(folder, items is not None)
    with opened(folder / TREE) as (file, stored):
        tree = parsed_tree(_text(file, stored, folder / TREE), str(folder / TREE))
    manifest = _manifest(folder, tree)
    others = [header for header in (items, manifest) if header is not None]
    files = [stored, *(header.stored for header in others)]
    return (_tensors(folder, tree, files, manifest is not None), *others)


def _text(file: Any, stored: Stored, path: Place) -> bytes:
    if stored.size > MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: {stored.size} bytes, above the limit of {MAX_JSON_BYTES}")
    return file.read(stored.size) or b""


def _items(folder: Path) -> Header | None:
    """Return a header for `_CHECKPOINT_METADATA`, if the folder has that file."""
    path = folder / ITEMS
    if not path.exists():
        return None
    with opened(path) as (file, stored):
        members = unique(parse_json(_text(file, stored, path), str(path)), str(path))
    if "commit_timestamp_nsecs" in members and members["commit_timestamp_nsecs"] is None:
        raise CheckpointError(f"{path}: its times say that orbax did not finish this checkpoint")
    return Header(path, (), {}, stored)


def _folder_of_tree(folder: Path, has_items: bool) -> Path:
    """Return the folder with the tree: this one, or the folder of its only item with tensors."""
    if (folder / TREE).exists():
        return folder
    if not has_items:
        raise CheckpointError(f"{folder}: {MANIFEST} without {TREE}, which names the tensors")
    items = sorted(each.parent.name for each in folder.glob(f"*/{TREE}"))
    if len(items) != 1:
        which = f"several items; open one of them: {format_names(items)}" if items else "no item"
        raise CheckpointError(f"{folder}: {which} with tensors ({TREE})")
    return folder / items[0]


def _manifest(folder: Path, tree: Tree) -> Header | None:
    """Return a header for the root of the OCDBT store, if the arrays are in such a store."""
    path = folder / MANIFEST
    there = path.exists()
    if tree.ocdbt is not None and tree.ocdbt != there:
        raise CheckpointError(
            f"{folder}: {'no' if tree.ocdbt else 'a'} {MANIFEST}, and use_ocdbt in {TREE} is "
            f"{str(tree.ocdbt).lower()}: the checkpoint was not written completely"
        )
    if not there and any(folder.glob(f"ocdbt.process_*/{MANIFEST}")):
        raise CheckpointError(
            f"{folder}: stores of single processes, and no {MANIFEST}: the checkpoint was not "
            "written completely"
        )
    if not there:
        return None
    with opened(path) as (_, stored):
        return Header(path, (), {}, stored)


def _tensors(folder: Path, tree: Tree, files: Sequence[Stored], ocdbt: bool) -> Header:
    """Make the header of all leaves."""
    wrapper = _wrapper(tree.leaves)
    specs: dict[str, Mapping[str, Any]] = {}
    entries: list[TensorEntry] = []
    for leaf in tree.leaves:
        inside = wrapper is None or leaf.keys[0] == wrapper
        name = leaf.name.removeprefix(f"{wrapper}.") if inside else leaf.name
        reason = leaf.reason if inside else f"a leaf next to {wrapper!r}, not read"
        if reason:
            entries.append(TensorEntry(name, leaf.kind, (), 0, 0, foreign=reason))
        else:
            specs[name] = _spec(folder, tree, leaf, ocdbt)
    arrays = opened_arrays(specs, str(folder)) if specs else []
    read = [each for each in arrays if each.dtype in DTYPE_NAMES]
    source = ZarrArrays(str(folder), read, files)
    whole = [_entry(each, start) for each, start in zip(read, source.starts, strict=True)]
    for each in arrays:
        if each.dtype not in DTYPE_NAMES:
            why = f"a tensor of {each.dtype}, not read"
            entries.append(TensorEntry(each.name, "tensor", (), 0, 0, foreign=why))
    notes = (f"the tensors of {wrapper!r}, named without it",) if wrapper else ()
    stored = StoredSource(source, TREE)
    return Header(folder / TREE, (*whole, *entries), {}, stored, notes)


def _entry(array: ZarrArray, start: int) -> TensorEntry:
    return TensorEntry(array.name, DTYPE_NAMES[array.dtype], array.shape, start, array.nbytes)


def _wrapper(leaves: Sequence[Leaf]) -> str | None:
    """Return the key of the weights, if the tree has other keys next to it."""
    parents = {leaf.keys[0] for leaf in leaves if len(leaf.keys) > 1}
    others = {leaf.keys[0] for leaf in leaves}
    return next((key for key in _KEYS if key in parents and len(others) > 1), None)


def _spec(folder: Path, tree: Tree, leaf: Leaf, ocdbt: bool) -> Mapping[str, Any]:
    """Return the specification with which tensorstore opens a leaf."""
    if ocdbt:
        base = {"driver": "file", "path": f"{folder}/"}
        store: dict[str, Any] = {"driver": "ocdbt", "base": base, "path": f"{leaf.name}/"}
    else:
        if {"", ".", ".."} & set(leaf.name.split("/")):
            raise CheckpointError(
                f"{folder / TREE}: tensor {brief(leaf.name, 200)}: a name that is not a path "
                "below the folder"
            )
        store = {"driver": "file", "path": f"{folder}/{leaf.name}/"}
    return {
        "driver": "zarr3" if tree.zarr3 else "zarr",
        "kvstore": store,
        "fill_missing_data_reads": not tree.complete,
    }


READER = Reader(  # `_METADATA` ends the name of `_CHECKPOINT_METADATA`, too
    "orbax", (TREE, MANIFEST), read_orbax, chosen=lambda folder, names: names[0]
)
