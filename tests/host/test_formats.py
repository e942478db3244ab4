# SPDX-License-Identifier: BSD-3-Clause
"""Files that are no checkpoints are named by what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Stored, write_file

import sigmascope as ss
from sigmascope._host.formats import recognised


def packed() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return made.getvalue()


CONTENTS = {
    "html": (b"<!DOCTYPE html>\n<html><head><title>404</title>", "an HTML page, .*fetch it again"),
    "html with a mark": (b"\xef\xbb\xbf  <HTML lang='en'><body>Log in", "an HTML page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    "json error": (b'{"error": "Repository not found"}', "JSON text, what a server answered"),
    "json": (b'{"a": 1, "b": [1, 2, 3]}\n', "JSON text, which holds no tensors"),
    "short json": (b"[1]", "JSON text"),
    "csv": (b"a,b,c\n1,2,3\n4,5,6\n", "a CSV table or other text, .* as a .npy file"),
    "text": (b"Entry not found", "text, which holds no tensors; it begins with 'Entry not found'"),
    "umlauts": ("Zugriff verweigert für Sie: Größe".encode(), "text, which holds no tensors"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid",
        "a Git LFS pointer, .*lfs pull",
    ),
    "zip": (b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "a zip archive, as PyTorch writes"),
    "gzip": (gzip.compress(b"1" * 100), "packed by gzip: unpack it"),
    "bzip2": (bz2.compress(b"1" * 100), "packed by bzip2"),
    "xz": (lzma.compress(b"1" * 100), "packed by xz"),
    "tar": (packed(), "a tar archive"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "an image"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(30), "a .npy file: it is read if its name ends so"),
    "gguf": (b"GGUF\x09\x00\x00\x00" + bytes(30), "a GGUF file: it is read if its name ends so"),
    "parquet": (b"PAR1\x15\x04\x15" + bytes(30), "a Parquet file"),
    "pickle": (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x01.", "a pickle"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".txt", ".bin", ".npy", ".gguf"])
@pytest.mark.parametrize("name", CONTENTS)
def test_files_are_called_what_they_are(name: str, suffix: str, tmp_path: Path) -> None:
    content, message = CONTENTS[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    if (name, suffix) in (("zip", ".bin"), ("npy", ".npy")):
        message = "no readable"  # the format that is expected, damaged
    if (name, suffix) == ("gguf", ".gguf"):
        message = "GGUF version 9"
    with pytest.raises(ss.CheckpointError, match=rf"model\{suffix}.* {message}"):
        ss.open_checkpoint(path)


def test_a_saved_scan_is_no_checkpoint(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", Stored("w", "F32", (6, 4)))
    paths = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".html", ".parquet")]
    ss.scan(tmp_path, out=paths)
    ss.compare(tmp_path, tmp_path, out=[tmp_path / "y.jsonl", tmp_path / "y.csv"])
    messages = ["a saved scan or comparison", "saved as CSV", "an HTML page", "a Parquet file"]
    for path, message in zip(paths, messages, strict=True):
        with pytest.raises(ss.CheckpointError, match=rf"x\{path.suffix}: .*{message}"):
            ss.open_checkpoint(path)
    with pytest.raises(ss.CheckpointError, match=r"y\.jsonl: .*a saved scan or comparison"):
        ss.open_checkpoint(tmp_path / "y.jsonl")
    with pytest.raises(ss.CheckpointError, match=r"y\.csv: .*saved as CSV"):
        ss.open_checkpoint(tmp_path / "y.csv")


def test_pages_in_place_of_settings_are_named(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", Stored("w", "F32", (6, 4)))
    (tmp_path / "config.json").write_bytes(CONTENTS["html"][0])
    (note,) = ss.open_checkpoint(tmp_path).notes
    assert "config.json: no JSON object but an HTML page" in note
    (tmp_path / "model.safetensors.index.json").write_bytes(CONTENTS["lfs"][0])
    with pytest.raises(ss.CheckpointError, match=r"index\.json: no JSON object but a Git LFS"):
        ss.open_checkpoint(tmp_path)


def test_what_is_safetensors_is_not_taken_for_another(tmp_path: Path) -> None:
    """Whatever its length: one that begins as gzip does, or as a text."""
    for length in (0x8B1F, 0x0A0D, 0x2020, 0x7B22):
        header = json.dumps({"w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}).encode()
        path = tmp_path / "x.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header.ljust(length))
        assert [record["name"] for record in ss.open_checkpoint(path).info()] == ["w"]


def test_noise_is_not_recognised() -> None:
    rng = np.random.default_rng(0)
    assert not any(recognised(rng.bytes(4096)) for _ in range(300))
    assert recognised(b"") is None
    assert recognised(bytes(100)) is None
