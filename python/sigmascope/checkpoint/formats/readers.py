# SPDX-License-Identifier: BSD-3-Clause
"""The table of formats, in the order in which a folder is searched: a `Reader` for each.

Another package registers its formats as entry points of the group "sigmascope.readers", each the
name of a `Reader`::

    [project.entry-points."sigmascope.readers"]
    npz = "some_package.npz:READER"

The formats of :mod:`sigmascope.formats` are registered in the same way. The table has their names,
and a reader is imported only for files whose names end as `REGISTERED` says. The readers of other
packages are imported only if no format of this package fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sigmascope._host.formats import REGISTERED, described
from sigmascope._host.registered import Registered, RegistrationError, iter_registered
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError
from sigmascope.matrices.npy import MAGIC as NPY

from .distributed import SUFFIX as DISTCP
from .distributed import read_distributed
from .entries import Header, opened, start_of
from .gguf_files import model_of, read_shards
from .npy import read_npy
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
        Endings of the names of its files.
    read : callable
        Function that takes the path of a file and returns the headers of all files that it needs:
        the file itself, further shards, and separate data files. For an invalid file it raises
        CheckpointError with the path.
    index_suffix, main_file : str, optional
        Suffix of a JSON index of shards, and name of the file of an unsharded checkpoint.
    begins : callable, optional
        Function that takes the first bytes of a file and returns whether they have this format. If
        given, a single file is read under any name.
    chosen : callable, optional
        Function that takes a folder and the names of its files of this format, and returns the file
        to read. If omitted, all these files are parts of one checkpoint.

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
        """Return whether this is the name of a file of the format."""
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
FORMATS: tuple[Reader | str, ...] = (
    SAFETENSORS,
    PYTORCH,
    Reader(
        "GGUF",
        (".gguf",),
        read_shards,
        chosen=model_of,
        begins=lambda start: start.startswith(b"GGUF"),
    ),
    "ONNX",
    Reader(
        "torch.distributed.checkpoint",
        (DISTCP,),
        read_distributed,
        chosen=lambda folder, names: names[0],
    ),
    "orbax",
    Reader(
        ".npy",
        (".npy",),
        lambda path: (read_npy(path),),
        begins=lambda start: start.startswith(NPY),
    ),
    "HDF5",
    "flax",
)
"""The formats of this package, in the order in which a folder is searched.

Of a registered format there is only the name, which its entry point has.
"""

BUILT_IN = tuple(each for each in FORMATS if isinstance(each, Reader))
SUFFIXES = tuple(
    suffix
    for each in FORMATS
    for suffix in (each.suffixes if isinstance(each, Reader) else REGISTERED[each])
)
"""Ends of the names of files with weights."""


def own_readers(names: Sequence[str]) -> Iterator[Reader]:
    """Yield this package's formats for files of some names, in the order of the table.

    Raises
    ------
    CheckpointError
        An entry point cannot be imported, or names something that is not a `Reader`.
    """
    for each in FORMATS:
        if isinstance(each, Reader):
            yield each
        elif _may_fit(each, names) and (reader := annex_reader(each)) is not None:
            yield reader


def _may_fit(name: str, files: Sequence[str]) -> bool:
    """Return whether a file may have a registered format, or be an index of such files."""
    ends = REGISTERED[name]
    indexes = tuple(f"{end}.index." for end in ends)
    return any(file.endswith(ends) or any(index in file for index in indexes) for file in files)


def readers(names: Sequence[str]) -> Iterator[Reader]:
    """Yield the formats for files of some names: this package's, then all of other packages.

    Raises
    ------
    CheckpointError
        An entry point cannot be imported, names something that is not a `Reader`, or names a
        reader with a suffix of another format.
    """
    yield from own_readers(names)
    yield from registered()


def reader_of(path: Place) -> Reader:
    """Return the format of a single file.

    The name gives the format, unless the first bytes show another one.

    Raises
    ------
    CheckpointError
        The file cannot be read, or neither shows the format. The message says what the file is.
    """
    named = next((reader for reader in readers([path.name]) if reader.fits(path.name)), None)
    if named is not None and (named.begins is None or not isinstance(path, Path)):
        return named  # reading the first bytes of a remote file takes a request
    with opened(path) as (file, _):
        start = start_of(file)
    by_content = (
        each for each in _each_own_reader() if each.begins is not None and each.begins(start)
    )
    content_reader = next(by_content, None)
    if named is not None:
        holds = named.begins is not None and named.begins(start)
        return named if holds or content_reader is None else content_reader
    if content_reader is None:
        what = described(start)
        raise CheckpointError(
            f"{path}: not a checkpoint but {what}{missing_readers([path.name], what)}"
        )
    return content_reader


def _each_own_reader() -> Iterator[Reader]:
    """Yield first the readers that need no import."""
    yield from BUILT_IN
    for name in REGISTERED:
        if (reader := annex_reader(name)) is not None:
            yield reader


def missing_readers(names: Sequence[str], what: str = "") -> str:
    """Return the end of a message about files whose annex is not registered.

    Parameters
    ----------
    names : sequence of str
        Names of the files.
    what : str
        Description of the format of a file, from its first bytes.
    """
    fitting = (name for name in REGISTERED if name in what or _may_fit(name, names))
    missing = [name for name in fitting if annex_reader(name) is None]
    if not missing:
        return ""
    return (
        f" (the reader of {', '.join(missing)} is not registered: reinstall sigmascope with "
        "its subpackage sigmascope.formats)"
    )


@cache
def annex_reader(name: str) -> Reader | None:
    """Import the reader of an annex's format; None if it is not registered.

    Raises
    ------
    CheckpointError
        It cannot be imported, or is not a `Reader`.
    """
    points = (each for each in iter_registered(GROUP, "reader") if _is_own(each))
    point = next((each for each in points if each.point.name == name), None)
    return None if point is None else _load(point)


@cache
def registered() -> tuple[Reader, ...]:
    """Import the readers of other packages; CheckpointError as for :func:`readers`."""
    plugins: list[Reader] = []
    for each in iter_registered(GROUP, "reader"):
        if _is_own(each):
            continue
        reader = _load(each)
        others = {each.name: each.suffixes for each in (*BUILT_IN, *plugins)}
        for name, suffixes in (*others.items(), *REGISTERED.items()):
            if shared := sorted(set(reader.suffixes) & set(suffixes)):
                raise CheckpointError(f"{each.label} reads {shared[0]} files, as {name!r} does")
        plugins.append(reader)
    return tuple(plugins)


def _is_own(point: Registered) -> bool:
    """Return whether a reader belongs to this package: another reader may have the same name."""
    return point.point.value.startswith("sigmascope.")


def _load(point: Registered) -> Reader:
    try:
        reader = point.load()
    except RegistrationError as error:
        raise CheckpointError(str(error)) from error.__cause__
    if not isinstance(reader, Reader):
        raise CheckpointError(f"{point.label} is a {type(reader).__name__}, not a Reader")
    return reader
