# SPDX-License-Identifier: BSD-3-Clause
"""Folders of orbax, written through tensorstore as its documentation describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def leaf(*keys: str, kind: str = "jax.Array") -> dict[str, Any]:
    """Return the metadata of one leaf."""
    return {
        "key_metadata": [{"key": key, "key_type": 2} for key in keys],
        "value_metadata": {"value_type": kind, "skip_deserialize": kind == "Dict"},
    }


def spec(folder: Path, name: str, ocdbt: bool, zarr3: bool) -> dict[str, Any]:
    """Return what tensorstore opens for an array."""
    base = {"driver": "file", "path": f"{folder}/"}
    store: dict[str, Any] = {"driver": "file", "path": f"{folder}/{name}/"}
    if ocdbt:
        store = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    return {"driver": "zarr3" if zarr3 else "zarr", "kvstore": store}


def write_array(where: dict[str, Any], array: np.ndarray[Any, Any], chunk: list[int]) -> None:
    """Write an array, zeros included, as orbax does."""
    import tensorstore

    layout = tensorstore.ChunkLayout(chunk_shape=chunk)
    what = {**where, "store_data_equal_to_fill_value": True}
    made = tensorstore.open(
        what, create=True, dtype=array.dtype, shape=array.shape, chunk_layout=layout
    ).result()
    made.write(array).result()


def write_folder(
    folder: Path,
    arrays: dict[tuple[str, ...], tuple[Any, list[int]]],
    *,
    ocdbt: bool = True,
    zarr3: bool = False,
    leaves: tuple[dict[str, Any], ...] = (),
) -> Path:
    """Write a checkpoint: arrays by their keys, with shapes of chunks, and more leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    for keys, (array, chunk) in arrays.items():
        write_array(spec(folder, ".".join(keys), ocdbt, zarr3), array, chunk)
    nodes = [*(leaf(*keys) for keys in arrays), *leaves]
    named = {str(tuple(key["key"] for key in node["key_metadata"])): node for node in nodes}
    flags = {"use_ocdbt": ocdbt, "use_zarr3": zarr3, "store_array_data_equal_to_fill_value": True}
    (folder / "_METADATA").write_text(json.dumps({"tree_metadata": named, **flags}))
    return folder
