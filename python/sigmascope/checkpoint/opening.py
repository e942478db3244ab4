# SPDX-License-Identifier: BSD-3-Clause
"""Opening of checkpoints: files, folders, URLs, ranks, and tensors in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import cast

from sigmascope._host.files import check_reading
from sigmascope._host.keywords import public

from .assembly import Origin
from .checkpoint import Checkpoint
from .formats.files import read_files, read_ranks
from .naming.table import Source, read_table
from .remote.objects import FileObject, is_file_object, path_of_object
from .remote.paths import Location, RemotePath, shown_path
from .remote.urls import is_url, path_of_url
from .tensors import HasStateDict, Tensors, configuration_of, label_of, read_tensors

Paths = Location | Sequence[Location]


@public
def open_checkpoint(
    path: Paths | Tensors | FileObject,
    *,
    split_fused: bool = True,
    heads: bool = False,
    rules: Source | None = None,
    reading: str = "buffered",
    variant: str | None = None,
) -> Checkpoint:
    """Open a checkpoint; reads and validates headers, never tensor data.

    Parameters
    ----------
    path : path-like, URL, file object, sequence of paths, mapping, or module of torch
        A `.safetensors` file, a file that PyTorch saved (`.bin`, `.pt`, `.pth`, `.ckpt`; its pickle
        is parsed, never run), a `.gguf` file (a shard stands for all), an `.onnx` file (with its
        files of external data; weights have the orientation of their operators, but for those that
        only a node names), a `.distcp` file of torch.distributed.checkpoint (it stands for its
        folder), the `_METADATA` of orbax (it stands for its folder; extra `tensorstore`), a
        `.npy` file, a `.msgpack` file of flax, an HDF5 file (`.h5`, `.hdf5`, or `.keras`, extra
        `hdf5`), an index of shards, or a folder
        with any of these: the first format that is present, in this order. A single file on this
        machine may have any name (`.pth.tar`, `.jit`, none): its first bytes tell the format.
        Without an index a folder is read as its `model.safetensors`, `pytorch_model.bin`,
        `model.onnx` or `flax_model.msgpack`, or else as all files of its kind. Other packages may
        register further formats (:mod:`sigmascope.checkpoint.formats.readers`). The folder of a
        model in the cache of the Hub stands for the revision that refs/main names.

        A URL stands for a file, or a folder, on another machine: `hf://org/model@revision` (extra
        `hub`), `https://…`, `s3://…`, `gs://…`, `az://…` (extra `remote`). Headers and tensors are
        read by ranges when they are used, and nothing is stored on this machine; logins come from
        the environment. A server that lists no files is asked for those of the usual names.

        A file of fsspec (`fsspec.open(…)`) is read by its file system, as are its neighbours; any
        other object with `read` and `seek` is one file, of the format that its `name` ends with.

        A sequence gives the ranks of tensor parallelism in their order, each a path that holds a
        piece of every matrix; files `consolidated.00.pth` and so on in a folder are recognised as
        ranks. The role of a tensor decides along which axis its pieces are joined.

        A mapping holds arrays or tensors in memory by name, as a state dict does; they are used
        where they are. A module stands for its state dict, with the settings of its `config`.
    split_fused : bool
        Read q, k and v, or gate and up, out of one fused weight, where config.json names a model
        whose layout is known; a note names those that are not split, and the reason. If False, no
        weight is split.
    heads : bool
        Cut q, k, v and o into their attention heads, each a matrix: rows of q, k and v, columns of
        o. Their number and width come from config.json; a note names the weights that are not cut,
        and the reason.
    rules : path-like or mapping, optional
        Rules for roles, tried before those of this package: a `.toml` or `.json` file, or its
        contents; see docs/roles.md.
    reading : str
        File mode: "buffered", "uncached" (no data stay in the page cache) or "mapped"; see
        :mod:`sigmascope._host.files`. No result depends on it.
    variant : str, optional
        Variant of the weights in a folder that has several: "fp16" for `name.fp16.safetensors` next
        to `name.safetensors`. Default: the files without a variant.

    Returns
    -------
    Checkpoint
        A mapping from names to matrices. Memory is a small multiple of the headers.

    Raises
    ------
    CheckpointError
        A file, the index, the rules or the folder is not what it claims to be. One bad shard makes
        the call fail; the message names file and tensor, and the values that disagree.
    ImportError
        A URL, a folder of orbax or an HDF5 file is given, and its extra is not installed.
    ValueError
        There is no such `reading`.

    See Also
    --------
    open_adapter : An adapter, whose matrices are products of two thin ones.
    scan : The spectrum of every matrix.
    matrix : One matrix.

    Examples
    --------
    >>> checkpoint = open_checkpoint("model/")                          # doctest: +SKIP
    >>> matrix = checkpoint["model.layers.0.mlp.up_proj.weight"]        # doctest: +SKIP
    >>> far = open_checkpoint("hf://org/model@main")                    # doctest: +SKIP
    """
    table = None if rules is None else read_table(rules)
    if isinstance(path, Mapping | HasStateDict):
        files = read_tensors(path)
        origin = Origin((), split_fused, heads, table, check_reading(reading))
        return Checkpoint(label_of(files), files, origin, configuration_of(path))
    check_location(path)
    given = _listed(path)
    alone = isinstance(path, str | os.PathLike | RemotePath) or is_file_object(path)
    paths = tuple(map(place_of, given))
    origin = Origin(paths, split_fused, heads, table, check_reading(reading), variant)
    files = read_files(paths[0], variant) if alone else read_ranks(paths)
    return Checkpoint(shown_path(given[0], paths[0]), files, origin)


def check_location(source: object) -> None:
    """Raise TypeError for an array, which is a tensor without a name."""
    shape = getattr(source, "shape", None)
    if shape is not None and not is_file_object(source):
        raise TypeError(
            f"an array of shape {tuple(shape)} is not a checkpoint: give it a name, "
            '{"name": X}, or a path'
        )


def _listed(path: Paths | FileObject) -> tuple[Location, ...]:
    if is_file_object(path):
        return (path_of_object(path),)
    if isinstance(path, str | os.PathLike | RemotePath):
        return (path,)
    return tuple(cast(Sequence[Location], path))


def place_of(path: Location) -> str | RemotePath:
    """Return the absolute path of a file on this machine, or the path that a URL stands for."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    return path_of_url(text) if is_url(text) else os.path.abspath(text)
