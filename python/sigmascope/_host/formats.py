# SPDX-License-Identifier: BSD-3-Clause
"""Recognition of file formats by their first bytes, for messages about unexpected files."""

from __future__ import annotations

import codecs
import re

LOOK = 4096
"""Number of bytes from which a format is recognised."""

_UNPACK = "unpack it first"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version ",
        "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
    ),
    (
        b"PK\x03\x04",
        "a zip archive, as PyTorch writes .bin, .pt and .pth files, and NumPy .npz: the first are "
        "read under these names, of the last each array saved as .npy",
    ),
    (b"GGUF", "a GGUF file: it is read if its name ends so"),
    (b"\x93NUMPY", "a .npy file: it is read if its name ends so"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes: save the weights as safetensors"),
    (b"PAR1", "a Parquet file: a saved scan is loaded by Scan.load and by merge, as .parquet"),
    (b"\x1f\x8b", f"a file packed by gzip: {_UNPACK}"),
    (b"BZh", f"a file packed by bzip2: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"a file packed by xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a file packed by zstd: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a RAR archive: {_UNPACK}"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"\x7fELF", "a program (ELF)"),
)
_PAGE = "what a server answered in place of the file, mostly: fetch it again, perhaps logged in"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_TABLE = re.compile(r"[^\n]*\bname\b,[^\n]*\b(?:file|before_file)\b,")


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
    if start[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if _PICKLE.match(start):
        return (
            "a pickle, as PyTorch wrote before 1.6: load it there and save it anew, best as "
            "safetensors"
        )
    return _text(start)


def described(start: bytes) -> str:
    """Return the format of a file in words; its first bytes if that is not recognised.

    Examples
    --------
    >>> described(b"(pickled)" + bytes(100))
    "something that is not recognised: it begins with b'(pickled'"
    """
    return recognised(start) or f"something that is not recognised: it begins with {start[:8]!r}"


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
