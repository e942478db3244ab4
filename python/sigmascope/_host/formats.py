# SPDX-License-Identifier: BSD-3-Clause
"""Recognition of file formats by their first bytes or their names, for messages about files."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

REGISTERED: Mapping[str, tuple[str, ...]] = {
    "ONNX": (".onnx",),
    "orbax": ("_METADATA", "manifest.ocdbt"),
    "HDF5": (".h5", ".hdf5", ".keras"),
    "flax": (".msgpack",),
}
"""Formats whose readers :mod:`sigmascope.formats` registers, with the ends of their file names.

By these a reader is imported only for its files, and a message can name one that is not registered.
"""

LOOK = 4096
"""Number of first bytes by which a format is recognised."""

_UNPACK = "unpack it first"
_READ = "which open_checkpoint reads"
_ARRAYS = "pass its arrays to open_checkpoint as a dict of arrays by name"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
    ),
    (b"GGUF", f"a GGUF file, {_READ}"),
    (b"\x93NUMPY", f"a .npy file, {_READ}"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, {_READ} (extra hdf5)"),
    (
        b"PAR1",
        "a Parquet file: Scan.load and merge read it if it is a saved scan named .parquet; if it "
        "is a table of numbers, pass the batches of "
        "pyarrow.parquet.ParquetFile(path).iter_batches() to GramAccumulator(columns).extend",
    ),
    (
        b"\xba\x16\x4f\x2f",
        "a fastText model: load it with the package fasttext, and pass its get_input_matrix() and "
        "get_output_matrix() to open_checkpoint in a dict",
    ),
    (b"\x83\x2a\xe1\x05", "a Cactus model: open the checkpoint that it was made from"),
    (b"\x84\x2a\xe1\x05", "a Cactus model: open the checkpoint that it was made from"),
    (
        b"7767517\n",
        "the layers of an ncnn model, without weights: open the checkpoint that it was made from",
    ),
    (
        b"\x47\x6b\x30\x01",
        "weights of ncnn, whose shapes are in the .param file: open the checkpoint that they were "
        "made from",
    ),
    (
        b"%%MatrixMarket",
        "a Matrix Market file: scipy.io.mmread(path) gives a matrix that svds takes",
    ),
    (
        b"MATLAB 5.0 MAT-file",
        f"a MATLAB file: {_ARRAYS}, as scipy.io.loadmat(path) returns them",
    ),
    (b"MATLAB 7.3 MAT-file", f"a MATLAB file: {_ARRAYS}, as h5py.File(path) holds them"),
    *(
        (magic, "a GGML file from before GGUF: llama.cpp converts it to GGUF")
        for magic in (b"tjgg", b"fmgg", b"lmgg", b"algg")
    ),
    (b"\x1f\x8b", f"a file compressed by gzip: {_UNPACK}"),
    (b"BZh", f"a file compressed by bzip2: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"a file compressed by xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a file compressed by zstd: {_UNPACK}"),
    (b"\x04\x22\x4d\x18", f"a file compressed by lz4: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a RAR archive: {_UNPACK}"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"\x7fELF", "a program (ELF)"),
)
_PAGE = "often a server's answer instead of the file: download it again, perhaps after logging in"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_CLASS = re.compile(
    rb"c(?P<module>[\w.]{1,99})\n(?P<name>[\w.]{1,99})\n"
    rb"|\x8c.(?P<module4>[A-Za-z_][\w.]{1,99})\x94?\x8c.(?P<name4>[A-Za-z_][\w.]{1,99})\x94?\x93",
    re.DOTALL,
)
_CTRANSLATE2 = re.compile(rb"[\x01-\x20]\0\0\0.\0(?P<name>\w{1,60}Spec)\0", re.DOTALL)
_TABLE = re.compile(r"[^\n]*\bname\b,[^\n]*\b(?:file|before_file)\b,")
_ARCHIVES = (
    (rb".*\.npy", f"a .npz archive of NumPy: {_ARRAYS}, as dict(numpy.load(path)) returns them"),
    (rb"metadata\.json|config\.json", f"a Keras archive, {_READ} (extra hdf5)"),
    (rb"\[Content_Types\]\.xml", "an office document"),
    (rb"META-INF/.*", "a Java archive"),
)
"""Kinds of zip archives, by the name of the first file in them."""


def recognised(start: bytes) -> str | None:
    """Return the format of a file in words, with advice; None if it is not recognised.

    Parameters
    ----------
    start : bytes
        The first :data:`LOOK` bytes of the file, or all of a shorter one.

    Examples
    --------
    >>> recognised(b"%PDF-1.7 ...")
    'a PDF document'
    """
    for magic, what in _MAGIC:
        if start.startswith(magic):
            return what
    if (member := first_member(start)) is not None:
        return kind_of_archive(member) or "a zip archive, as PyTorch writes"
    if start[257:262] == b"ustar":
        return f"a tar archive, as PyTorch before 0.1.10 wrote: {_UNPACK}, or load it with PyTorch"
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model: open the checkpoint that it was made from"
    if match := _CTRANSLATE2.match(start):
        kind = match["name"].decode()
        return f"a CTranslate2 model ({kind}): open the checkpoint that it was made from"
    if _PICKLE.match(start):
        return _pickle(start)
    return _text(start)


def first_member(start: bytes) -> bytes | None:
    r"""Return the name of the first file in a zip archive; None if the bytes begin no archive.

    Examples
    --------
    >>> first_member(b"PK\x03\x04" + bytes(22) + b"\x05\0\0\0" + b"a.txt and its content")
    b'a.txt'
    """
    if not start.startswith(b"PK\x03\x04"):
        return None
    return start[30 : 30 + int.from_bytes(start[26:28], "little")]


def kind_of_archive(name: bytes) -> str | None:
    """Return the kind of a zip archive, with advice; None if PyTorch may have written it.

    Parameters
    ----------
    name : bytes
        Name of the first file in it.
    """
    kinds = (what for pattern, what in _ARCHIVES if re.fullmatch(pattern, name, re.DOTALL))
    return next(kinds, None)


def _pickle(start: bytes) -> str:
    """Name a pickle that PyTorch did not write by the first class in it."""
    match = _CLASS.search(start)
    kind = ""
    if match is not None:
        module, name = match["module"] or match["module4"], match["name"] or match["name4"]
        kind = f" of {module.decode()}.{name.decode()}"
        kind = " of arrays of NumPy" if module.startswith(b"numpy") else kind
    return (
        f"a pickle{kind}, which is not executed here, and not a PyTorch file: if you trust it, "
        f"load it with the program that wrote it, and {_ARRAYS}"
    )


def described(start: bytes) -> str:
    """Return the format of a file in words; its first bytes if that is not recognised.

    Examples
    --------
    >>> described(b"(pickled)" + bytes(100))
    "an unrecognised format: it begins with b'(pickled'"
    """
    return recognised(start) or f"an unrecognised format: it begins with {start[:8]!r}"


def _text(start: bytes) -> str | None:
    try:  # incremental, since the last character may be incomplete
        text = codecs.getincrementaldecoder("utf-8")().decode(start).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return None
    if not text or any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        return None
    small = text[:200].lower()
    if small.startswith(("<!doctype html", "<html", "<head", "<body")):
        return f"an HTML page, {_PAGE}"
    if small.startswith("<"):
        return f"an XML document, {_PAGE}"
    if '"schema": "sigmascope.' in text[:400] and text.startswith("{"):
        return "a saved scan or comparison of sigmascope: Scan.load or Comparison.load reads it"
    if text.startswith(("{", "[")):
        return f"JSON text, {_PAGE}" if '"error"' in small else "JSON text, which holds no tensors"
    if _TABLE.match(text):
        return "a scan or comparison saved as CSV: Scan.load and Comparison.load read it"
    first = text.partition("\n")[0].rstrip()
    if "\n" in text and first.count(",") > 0:
        return "a CSV table or other text, which holds no tensors; save an array as a .npy file"
    return f"text, which holds no tensors; it begins with {first[:60]!r}"
