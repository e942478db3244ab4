# SPDX-License-Identifier: BSD-3-Clause
"""The table of formats: one `Reader` for each, in the order in which a folder is searched.

A package registers more of them as entry points of the group "sigmascope.readers", each the name
of a `Reader`::

    [project.entry-points."sigmascope.readers"]
    npz = "some_package.npz:READER"

They are imported only where no format of this package fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sigmascope._host.formats import described
from sigmascope._host.registered import RegistrationError, iter_registered
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError
from sigmascope.matrices.npy import MAGIC as NPY

from .distributed import SUFFIX as DISTCP
from .distributed import read_distributed
from .entries import Header, opened, start_of
from .flax_msgpack import SUFFIX as FLAX
from .flax_msgpack import read_flax
from .gguf_files import model_of, read_shards
from .hdf5 import SUFFIXES as HDF5
from .hdf5 import read_hdf5
from .keras import begins_as_hdf5
from .npy import read_npy
from .onnx import SUFFIX as ONNX
from .onnx import begins_with_producer, chosen_model, read_onnx
from .orbax import SUFFIXES as ORBAX
from .orbax import read_orbax
from .pickles import SUFFIXES as PICKLES
from .pickles import is_saved_by_torch, read_pickled
from .safetensors import begins_with_header, read_header

GROUP = "sigmascope.readers"
"""Group of the entry points of other packages."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One format of files with weights.

    Attributes
    ----------
    name : str
        Name of the format in messages.
    suffixes : tuple of str
        Ends of the names of its files.
    read : callable
        Function of the path of a file that returns a header for each file that it needs: its
        own, and those of further shards or of data in files of their own. It raises
        CheckpointError, with the path, for a file that is not what it claims to be.
    index_suffix, main_file : str, optional
        Suffix of a JSON index of shards, and name of the file of an unsharded checkpoint.
    begins : callable, optional
        Function of the first bytes of a file, which tells whether they are those of this format. A
        single file is then read under any name.
    chosen : callable, optional
        Function of a folder and of the names of its files of this format, which returns the file
        to be read. Without it each of these files is a part of one checkpoint.

    Examples
    --------
    >>> reader = Reader("safetensors", (".safetensors",), lambda path: (read_header(path),))
    >>> reader.fits("model.safetensors")
    True
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Place], tuple[Header, ...]]
    index_suffix: str = ""
    main_file: str = ""
    chosen: Callable[[Place, Sequence[str]], str] | None = None
    begins: Callable[[bytes], bool] | None = None

    @property
    def main_index(self) -> str:
        """Name of the index of a sharded checkpoint."""
        return self.main_file.partition(".")[0] + self.index_suffix

    def fits(self, name: str) -> bool:
        """Tell whether this is the name of a file of the format."""
        return name.endswith(self.suffixes)


SAFETENSORS = Reader(
    "safetensors",
    (".safetensors",),
    lambda path: (read_header(path),),
    ".safetensors.index.json",
    "model.safetensors",
    begins=begins_with_header,
)
PYTORCH = Reader(
    "PyTorch",
    PICKLES,
    lambda path: (read_pickled(path),),
    ".bin.index.json",
    "pytorch_model.bin",
    begins=is_saved_by_torch,
)
BUILT_IN = (
    SAFETENSORS,
    PYTORCH,
    Reader(
        "GGUF",
        (".gguf",),
        read_shards,
        chosen=model_of,
        begins=lambda start: start.startswith(b"GGUF"),
    ),
    Reader("ONNX", (ONNX,), read_onnx, chosen=chosen_model, begins=begins_with_producer),
    Reader(
        "torch.distributed.checkpoint",
        (DISTCP,),
        read_distributed,
        chosen=lambda folder, names: names[0],
    ),
    Reader("orbax", ORBAX, read_orbax, chosen=lambda folder, names: names[0]),
    Reader(
        ".npy",
        (".npy",),
        lambda path: (read_npy(path),),
        begins=lambda start: start.startswith(NPY),
    ),
    Reader("HDF5", HDF5, read_hdf5, main_file="tf_model.h5", begins=begins_as_hdf5),
    Reader("flax", (FLAX,), read_flax, ".msgpack.index.json", "flax_model.msgpack"),
)
"""The formats of this package."""


def readers() -> Iterator[Reader]:
    """List the formats: those of this package, then those of others, which are imported then.

    Raises
    ------
    CheckpointError
        An entry point cannot be imported, names no `Reader`, or has a suffix of another format.
    """
    yield from BUILT_IN
    yield from registered()


def reader_of(path: Place) -> Reader:
    """Return the format of a single file: by its name, or by its first bytes if they are another's.

    Raises
    ------
    CheckpointError
        The file cannot be read, or neither tells the format: the message says what it is.
    """
    named = next((reader for reader in readers() if reader.fits(path.name)), None)
    if named is not None and (named.begins is None or not isinstance(path, Path)):
        return named  # the first bytes of a file on another machine are a request
    with opened(path) as (file, _):
        start = start_of(file)
    by_content = (each for each in BUILT_IN if each.begins is not None and each.begins(start))
    content_reader = next(by_content, None)
    if named is not None:
        holds = named.begins is not None and named.begins(start)
        return named if holds or content_reader is None else content_reader
    if content_reader is None:
        raise CheckpointError(f"{path}: not a checkpoint but {described(start)}")
    return content_reader


@cache
def registered() -> tuple[Reader, ...]:
    """Import the readers of other packages; CheckpointError as for :func:`readers`."""
    plugins: list[Reader] = []
    for each in iter_registered(GROUP, "reader"):
        try:
            reader = each.load()
        except RegistrationError as error:
            raise CheckpointError(str(error)) from error.__cause__
        if not isinstance(reader, Reader):
            raise CheckpointError(f"{each.label} is a {type(reader).__name__}, not a Reader")
        for other in (*BUILT_IN, *plugins):
            if shared := sorted(set(reader.suffixes) & set(other.suffixes)):
                raise CheckpointError(
                    f"{each.label} reads {shared[0]} files, as {other.name!r} does"
                )
        plugins.append(reader)
    return tuple(plugins)
