# SPDX-License-Identifier: BSD-3-Clause
"""Formats of other packages, which they register as entry points."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support import onnx_files
from tests.support.checkpoints import Stored, of_array, record, write_file
from tests.support.gguf_files import write_gguf
from tests.support.onnx_files import write_onnx
from tests.support.readers import forget_other_packages, has_reader, own_formats

import sigmascope as ss
from sigmascope._host.formats import REGISTERED
from sigmascope.errors import CheckpointError

MODULE = '''
"""A format of another package: rows and columns as text, then float32."""
from sigmascope.checkpoint import Header, Reader, TensorEntry, opened
from sigmascope.errors import CheckpointError

def read(path):
    with opened(path) as (file, stored):
        start = file.read(16)
    try:
        m, n = (int(part) for part in start.split())
    except ValueError:
        raise CheckpointError(f"{path}: no plain matrix: {start!r}") from None
    if 16 + 4 * m * n != stored.size:
        raise CheckpointError(f"{path}: {m} x {n} numbers in {stored.size} bytes")
    return (Header(path, (TensorEntry(path.stem, "F32", (m, n), 16, 4 * m * n),), {}, stored),)

READER = Reader("plain", (".plain",), read)
AGAIN = Reader("other", (".plain",), read)
CLASH = Reader("clash", (".gguf",), read)
'''

A = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Put a distribution with entry points on the path of modules."""
    info = folder / "plain_format-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "plain_format.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-format\nVersion: 1.0\n")
    lines = ["[sigmascope.readers]", *(f"{name} = {value}" for name, value in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "plain_format", raising=False)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Look for entry points anew in each test, and after the last one."""
    forget_other_packages()
    yield
    forget_other_packages()


def plain(path: Path) -> Path:
    path.write_bytes(f"{len(A)} {A.shape[1]}".encode().ljust(16) + A.tobytes())
    return path


def test_a_format_of_another_package_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, plain="plain_format:READER")
    (tmp_path / "model").mkdir()
    path = plain(tmp_path / "model" / "up_proj.plain")
    plain(tmp_path / "model" / "down_proj.plain")
    for source in (path, tmp_path / "model"):
        np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(source)["up_proj"]), A)
    opened = ss.open_checkpoint(tmp_path / "model")
    assert set(opened) == {"up_proj", "down_proj"}
    assert record(opened, "up_proj")["role"] == "up"
    assert [row["shape"] for row in ss.scan(tmp_path / "model").rows] == [[6, 4], [6, 4]]
    path.write_bytes(b"6 5".ljust(16) + A.tobytes())
    with pytest.raises(CheckpointError, match=r"up_proj\.plain: 6 x 5 numbers in 112 bytes"):
        ss.open_checkpoint(path)


def test_a_reader_may_have_the_name_of_one_of_the_annex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, HDF5="plain_format:READER")
    path = plain(tmp_path / "up_proj.plain")
    assert list(ss.open_checkpoint(path)) == ["up_proj"]
    assert [reader.name for reader in own_formats()].count("plain") == 0


def test_formats_of_the_package_come_first_and_import_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, plain="plain_format:READER")
    (tmp_path / "model").mkdir()
    write_file(tmp_path / "model" / "w.safetensors", Stored("w", "F32", (2, 3)))
    plain(tmp_path / "model" / "up_proj.plain")
    assert list(ss.open_checkpoint(tmp_path / "model")) == ["w"]
    assert "plain_format" not in sys.modules
    assert list(ss.open_checkpoint(tmp_path / "model" / "up_proj.plain")) == ["up_proj"]
    assert "plain_format" in sys.modules


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            {"x": "plain_format:NONE"},
            r"reader 'x' of the package plain-format .* imported: Attr",
        ),
        ({"x": "no_such_module:READER"}, r"reader 'x' .* cannot be imported: ModuleNotFoundError"),
        ({"x": "plain_format:MODULE"}, r"reader 'x' .*cannot be imported: AttributeError"),
        (
            {"x": "plain_format:read"},
            r"reader 'x' of .* \(plain_format:read\) is a function, not",
        ),
        ({"x": "plain_format:CLASH"}, r"reader 'x' .* reads \.gguf files, as 'GGUF' does"),
        (
            {"x": "plain_format:READER", "y": "plain_format:AGAIN"},
            r"reader 'y' .* reads \.plain files, as 'plain' does",
        ),
    ],
)
def test_readers_that_cannot_be_used_are_named(
    points: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "site", monkeypatch, **points)
    with pytest.raises(CheckpointError, match=message):
        ss.open_checkpoint(plain(tmp_path / "x.plain"))
    write_file(tmp_path / "w.safetensors", Stored("w", "F32", (2, 3)))
    assert list(ss.open_checkpoint(tmp_path / "w.safetensors")) == ["w"]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("x.onnx", "ONNX, HDF5"),
        ("x.msgpack", "HDF5, flax"),
        ("x.h5", "HDF5"),
        ("x", "HDF5"),
        ("model", "ONNX"),
    ],
)
def test_without_the_annex_a_message_says_what_is_missing(
    name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sigmascope.checkpoint.formats.readers.GROUP", "sigmascope.no_such_group")
    path = tmp_path / name
    if name == "model":
        path.mkdir()
        (path / "model.onnx").write_bytes(b"\x08\x0a")
        what = "no .safetensors file"
    else:
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
        what = "not a checkpoint but an HDF5 file"
    with pytest.raises(CheckpointError) as refusal:
        ss.open_checkpoint(path)
    assert str(refusal.value).startswith(f"{path}: {what}")
    assert str(refusal.value).endswith(
        f" (the reader of {missing} is not registered: reinstall sigmascope with its "
        "subpackage sigmascope.formats)"
    )
    write_file(tmp_path / "w.safetensors", Stored("w", "F32", (2, 3)))
    assert list(ss.open_checkpoint(tmp_path / "w.safetensors")) == ["w"]


def test_a_reader_of_the_annex_is_imported_for_its_files_alone(tmp_path: Path) -> None:
    """The table has the ends of their names, so that a note needs no import."""
    for reader in own_formats():
        if ends := REGISTERED.get(reader.name):
            assert reader.suffixes == ends
            assert reader.index_suffix in ("", f"{ends[0]}.index.json")
    write_file(tmp_path / "w.safetensors", Stored("w", "F32", (2, 3)))
    for name in ("m.onnx", "x.h5", "x.msgpack"):
        (tmp_path / name).write_bytes(b"")
    code = "import sys, sigmascope as ss; print(ss.open_checkpoint(sys.argv[1]).notes)"
    code += "; print([each for each in sys.modules if each.startswith('sigmascope.formats')])"
    words = [sys.executable, "-c", code, str(tmp_path)]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    notes, imported = out.splitlines()
    assert "files not part of the checkpoint: 'm.onnx', 'x.h5', 'x.msgpack'" in notes
    assert imported == "[]"


def test_no_two_formats_have_one_suffix() -> None:
    suffixes = [suffix for reader in own_formats() for suffix in reader.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def contents(folder: Path) -> dict[str, Path]:
    """A file of each format that is recognised, all with the matrix A."""
    torch = pytest.importorskip("torch")
    write_file(folder / "a.safetensors", of_array("w", "F32", A))
    torch.save({"w": torch.from_numpy(A)}, folder / "a.pt")
    state = {"w": torch.from_numpy(A)}
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    np.save(folder / "w.npy", A)
    if has_reader("ONNX"):
        write_onnx(folder / "a.onnx", onnx_files.of_array("w", "F32", A))
    write_gguf(folder / "a.gguf", {"w": ("F32", A)})
    return {path.name: path for path in folder.iterdir()}


NAMES = ["w", "w.pth.tar", "w.jit", "w.zip", "w.model", "w.bin", "w.pt", "w.ckpt", "w.weights"]
NAMES += ["w.safetensors", "w.gguf", "w.onnx", "w.npy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_single_file_is_read_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    for path in contents(tmp_path / "made").values():
        (tmp_path / name).write_bytes(path.read_bytes())
        opened = ss.open_checkpoint(tmp_path / name)
        (matrix,) = opened.values()
        np.testing.assert_array_equal(np.asarray(matrix), A)
