# SPDX-License-Identifier: BSD-3-Clause
"""Files other than checkpoints are named by what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Stored, write_file

import sigmascope as ss
from sigmascope.errors import CheckpointError


def packed() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return made.getvalue()


def archive(save: Callable[..., None], **arrays: np.ndarray[Any, Any]) -> bytes:
    made = io.BytesIO()
    save(made, **arrays)
    return made.getvalue()


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as files:
        files.writestr(name, b"{}")
    return made.getvalue()


CONTENTS = {
    "html": (
        b"<!DOCTYPE html>\n<html><head><title>404</title>",
        "an HTML page, .*download it",
    ),
    "html with a mark": (b"\xef\xbb\xbf  <HTML lang='en'><body>Log in", "an HTML page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
    "json error": (b'{"error": "Repository not found"}', "JSON text, often a server.s answer"),
    "json": (b'{"a": 1, "b": [1, 2, 3]}\n', "JSON text, which holds no tensors"),
    "short json": (b"[1]", "JSON text"),
    "csv": (b"a,b,c\n1,2,3\n4,5,6\n", "a CSV table or other text, .* as a .npy file"),
    "text": (b"Entry not found", "text, which holds no tensors; it begins with 'Entry not found'"),
    "umlauts": ("Zugriff verweigert für Sie: Größe".encode(), "text, which holds no tensors"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid",
        "a Git LFS pointer, .*lfs pull",
    ),
    "gzip": (gzip.compress(b"1" * 100), "compressed by gzip: unpack it"),
    "bzip2": (bz2.compress(b"1" * 100), "compressed by bzip2"),
    "xz": (lzma.compress(b"1" * 100), "compressed by xz"),
    "tar": (packed(), "a tar archive"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "an image"),
    "parquet": (
        b"PAR1\x15\x04\x15" + bytes(30),
        r"a Parquet file: .*ParquetFile\(path\).iter_batches\(\) to GramAccumulator",
    ),
    "fastText": (struct.pack("<12i", 793712314, 12, 16, *range(9)), "a fastText model: load"),
    "ctranslate2": (
        struct.pack("<IH", 6, 12) + b"WhisperSpec\x00" + bytes(60),
        r"a CTranslate2 model \(WhisperSpec\): open the checkpoint that it was made from",
    ),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(60), "a TensorFlow Lite model"),
    "ncnn": (b"7767517\n999 1782\nInput  input.1  0 1 in0\n", "the layers of an ncnn model"),
    "ncnn's weights": (struct.pack("<I", 0x01306B47) + bytes(60), "weights of ncnn, whose shapes"),
    "cactus": (struct.pack("<I", 0x05E12A84) + bytes(60), "a Cactus model"),
    "mat 5": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90), "a MATLAB file.*loadmat"),
    "mat 7.3": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(90), "a MATLAB file.*h5py"),
    "matrix market": (b"%%MatrixMarket matrix array real\n2 2\n", "a Matrix Market file: scipy"),
    "ggml": (b"tjgg\x03\x00\x00\x00" + bytes(60), "a GGML file from before GGUF"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(60), "compressed by zstd: unpack"),
    "sqlite": (b"SQLite format 3\x00" + bytes(60), "an SQLite database"),
    "npz": (
        archive(np.savez, w=np.ones((2, 3))),
        r"a .npz archive.* as dict\(numpy.load\(path\)\)",
    ),
    "keras": (zipped("metadata.json"), "a Keras archive"),
    "pickled array": (pickle.dumps({"a": np.ones(3)}), "a pickle of arrays of NumPy, which is not"),
    "pickled object": (pickle.dumps(Fraction(1, 3), 2), "a pickle of fractions.Fraction, which"),
    "newer pickle": (pickle.dumps(Fraction(1, 3), 5), "a pickle of fractions.Fraction, which"),
    "pickle": (b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x01.", "a pickle"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".txt", ".bin", ".npy", ".gguf"])
@pytest.mark.parametrize("name", CONTENTS)
def test_files_are_called_what_they_are(name: str, suffix: str, tmp_path: Path) -> None:
    content, message = CONTENTS[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\{suffix}.* {message}"):
        ss.open_checkpoint(path)


def test_a_saved_scan_is_not_a_checkpoint(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", Stored("w", "F32", (6, 4)))
    paths = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".html", ".parquet")]
    ss.scan(tmp_path, out=paths)
    ss.compare(tmp_path, tmp_path, out=[tmp_path / "y.jsonl", tmp_path / "y.csv"])
    messages = ["a saved scan or comparison", "saved as CSV", "an HTML page", "a Parquet file"]
    for path, message in zip(paths, messages, strict=True):
        with pytest.raises(CheckpointError, match=rf"x\{path.suffix}: .*{message}"):
            ss.open_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"y\.jsonl: .*a saved scan or comparison"):
        ss.open_checkpoint(tmp_path / "y.jsonl")
    with pytest.raises(CheckpointError, match=r"y\.csv: .*saved as CSV"):
        ss.open_checkpoint(tmp_path / "y.csv")


def test_pages_in_place_of_settings_are_named(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", Stored("w", "F32", (6, 4)))
    (tmp_path / "config.json").write_bytes(CONTENTS["html"][0])
    (note,) = ss.open_checkpoint(tmp_path).notes
    assert "config.json: not a JSON object but an HTML page" in note
    (tmp_path / "model.safetensors.index.json").write_bytes(CONTENTS["lfs"][0])
    with pytest.raises(CheckpointError, match=r"index\.json: not a JSON object but a Git LFS"):
        ss.open_checkpoint(tmp_path)


def test_what_is_safetensors_is_not_taken_for_another(tmp_path: Path) -> None:
    """Whatever its length: one that begins as gzip does, or as a text."""
    for length in (0x8B1F, 0x0A0D, 0x2020, 0x7B22):
        header = json.dumps({"w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}).encode()
        path = tmp_path / "x.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header.ljust(length))
        assert [record["name"] for record in ss.open_checkpoint(path).info()] == ["w"]


@pytest.mark.parametrize("suffix", [".model", ".bin", ".safetensors", ".dat", ""])
def test_what_is_not_recognised_is_printed(suffix: str, tmp_path: Path) -> None:
    """The length that such bytes would be means nothing for files of other names."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"E5S1" + bytes(range(60)))
    with pytest.raises(CheckpointError, match=r"it begins with b'E5S1\\x00\\x01\\x02\\x03'"):
        ss.open_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("saved_model.pb", "a SavedModel of TensorFlow: give .*load_checkpoint to open_checkpoint"),
        ("model.ckpt.data-00000-of-00001", "a checkpoint of TensorFlow: give"),
        ("arrays.npz", r"not read: 'arrays.npz': save the arrays as .npy"),
    ],
)
def test_folders_are_called_what_they_are(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(60))
    with pytest.raises(CheckpointError, match=rf"no \.safetensors file.*{message}"):
        ss.open_checkpoint(tmp_path)


def test_a_matrix_of_another_file_is_refused_with_the_call_to_use(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1" + bytes(60))
    with pytest.raises(CheckpointError, match=r"iter_batches\(\) to GramAccumulator"):
        ss.svds(path)
    path = tmp_path / "a.toy"
    path.write_bytes(b"TOY0" + bytes(60))
    with pytest.raises(CheckpointError, match=r"open_checkpoint\('.*a\.toy'\)\[name\] is one"):
        ss.svds(path)


def test_noise_is_not_recognised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.dat"
    for content in (*(rng.bytes(4096) for _ in range(300)), b"", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            ss.open_checkpoint(path)
        words = f"an unrecognised format: it begins with {content[:8]!r}"
        assert str(caught.value) == f"{path}: not a checkpoint but {words}"
