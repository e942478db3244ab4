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
    circuits: bool = False,
    rules: Source | None = None,
    reading: str = "buffered",
    variant: str | None = None,
) -> Checkpoint:
    """Open a checkpoint: read and validate its headers, and never tensor data.

    Parameters
    ----------
    path : path-like, URL, file object, sequence of paths, mapping, or module of torch
        A file may be a `.safetensors` file; a file that PyTorch saved (`.bin`, `.pt`, `.pth`,
        `.ckpt`; its pickle is parsed, never run); a `.gguf` file (a shard stands for all); an
        `.onnx` file (with its files of external data; weights have the orientation of their
        operators, except weights that only a node names); a `.distcp` file of
        torch.distributed.checkpoint or the `_METADATA` of orbax (extra `tensorstore`), which both
        stand for their folder; a `.npy` file; a `.msgpack` file of flax; an HDF5 file (`.h5`,
        `.hdf5`, or `.keras`, extra `hdf5`); or an index of shards. A file on this machine may have
        any name (`.pth.tar`, `.jit`, or no suffix): its first bytes tell the format. Other
        packages may register further formats (:mod:`sigmascope.checkpoint.formats.readers`).

        A folder is read in the first of these formats that it contains. Without an index that is
        its `model.safetensors`, `pytorch_model.bin`, `model.onnx` or `flax_model.msgpack`, or else
        all files of the format. The folder of a model in the cache of the Hub stands for the
        revision that refs/main names.

        A URL names a file or folder on another machine: `hf://org/model@revision` (extra `hub`),
        `https://…`, `s3://…`, `gs://…`, `az://…` (extra `remote`). Headers and tensors are read by
        ranges when they are used, and nothing is stored on this machine. Logins come from the
        environment. If a server lists no files, the usual names are tried.

        A file of fsspec (`fsspec.open(…)`), and its neighbours, are read by its file system. Any
        other object with `read` and `seek` is a single file; its `name` ends with its format.

        A sequence holds the ranks of tensor parallelism in order. Each is a path with a piece of
        every matrix, and the role of a tensor decides along which axis its pieces are joined. In a
        folder, files `consolidated.00.pth` and so on are recognised as ranks.

        A mapping holds arrays or tensors in memory by name, like a state dict. They are read in
        place. A module stands for its state dict, with the settings of its `config`.
    split_fused : bool
        Split fused weights into q, k and v, or gate and up, if config.json names a model whose
        layout is known. A note names the weights that are not split, and the reason.
    heads : bool
        Cut q, k, v and o into attention heads, each a matrix: rows of q, k and v, columns of o.
        config.json gives the number and width of the heads. A note names the weights that are not
        cut, and the reason.
    circuits : bool
        Cut heads, and let `scan` and `compare` analyse the products W_q^T W_k and W_o W_v of each
        head. `adapters.circuits_of` returns the products; see docs/circuits.md.
    rules : path-like or mapping, optional
        Rules for roles, which are tried before the built-in rules: a `.toml` or `.json` file, or
        its contents; see docs/roles.md.
    reading : str
        File mode: "buffered", "uncached" (no data stay in the page cache) or "mapped"; see
        :mod:`sigmascope._host.files`. No result depends on it.
    variant : str, optional
        Variant to read from a folder with several: "fp16" for `name.fp16.safetensors` next to
        `name.safetensors`. Default: the files without a variant.

    Returns
    -------
    Checkpoint
        A mapping from names to matrices. Memory is a small multiple of the headers.

    Raises
    ------
    CheckpointError
        A file, the index, the rules or the folder is invalid. One bad shard makes the call fail;
        the message names the file, the tensor, and the values that disagree.
    ImportError
        The extra that a URL, a folder of orbax or an HDF5 file needs is not installed.
    ValueError
        `reading` is not a file mode, or both `heads` and `circuits` are requested.

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
    if heads and circuits:
        raise ValueError("heads and circuits are two ways to read attention: request one of them")
    table = None if rules is None else read_table(rules)
    if isinstance(path, Mapping | HasStateDict):
        files = read_tensors(path)
        origin = Origin((), split_fused, heads, table, check_reading(reading), circuits=circuits)
        return Checkpoint(label_of(files), files, origin, configuration_of(path))
    check_location(path)
    given = _listed(path)
    alone = isinstance(path, str | os.PathLike | RemotePath) or is_file_object(path)
    paths = tuple(map(place_of, given))
    mode = check_reading(reading)
    origin = Origin(paths, split_fused, heads, table, mode, variant, circuits)
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
