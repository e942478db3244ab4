# SPDX-License-Identifier: BSD-3-Clause
"""HDF5 files and the archives of Keras, against h5py: every dataset is read, or named."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import numbers, record

import sigmascope as ss
from sigmascope.errors import CheckpointError

h5py = pytest.importorskip("h5py")
Array = NDArray[Any]


def normal(*shape: int, seed: int = 0, dtype: str = "<f4") -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


DTYPES = ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": (3, 5)},
    "gzip": {"chunks": (4, 4), "compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "checksums": {"fletcher32": True, "chunks": (9, 2)},
    "resizable": {"maxshape": (None, 20)},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_numbers_that_h5py_reads(
    dtype: str, layout: str, tmp_path: Path
) -> None:
    path, a = tmp_path / "m.h5", normal(11, 13, dtype=dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("group/w", data=a, **LAYOUTS[layout])
        file["v"] = normal(5, dtype=dtype)
    checkpoint = ss.open_checkpoint(path)
    assert list(checkpoint) == ["group/w"]
    matrix = checkpoint["group/w"]
    np.testing.assert_array_equal(np.asarray(matrix), a)
    np.testing.assert_array_equal(np.asarray(matrix[2:9:2, 3:]), a[2:9:2, 3:])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(matrix.T))), a.T)
    np.testing.assert_array_equal(numbers(checkpoint, "v"), normal(5, dtype=dtype))
    entry = record(checkpoint, "group/w")
    in_place = layout == "contiguous" and dtype[0] == "<"
    raw = path.read_bytes()[entry["offset"] :][: entry["nbytes"]]
    assert (raw == a.tobytes()) == in_place
    row = ss.scan(path, effort="exact")["group/w"]
    assert row["spectral_norm"] == pytest.approx(np.linalg.norm(a.astype("f8"), 2), rel=1e-12)


def test_integers_booleans_complex_numbers_and_scalars(tmp_path: Path) -> None:
    arrays = {
        "i8": np.arange(6, dtype=np.int8),
        "big": np.arange(6, dtype=">i4"),
        "u64": np.arange(6, dtype=np.uint64),
        "flags": np.array([True, False]),
        "one": np.float32(2.5),
        "empty": np.zeros((0, 3), np.float32),
    }
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file["z"] = np.ones((2, 2), np.complex64)
    checkpoint = ss.open_checkpoint(tmp_path / "m.h5")
    for name, array in arrays.items():
        if array.size:
            np.testing.assert_array_equal(numbers(checkpoint, name), array.ravel())
    kinds = {each["name"]: each["status"] for each in checkpoint.info()}
    assert (kinds["one"], kinds["i8"], kinds["empty"]) == ("scalar", "integer", "empty")
    assert record(checkpoint, "z")["dtype"] == "C64"


def test_floats_that_numpy_has_not_are_converted(tmp_path: Path) -> None:
    """bfloat16, as HDF5 describes it: 2 bytes in the file, whose bits are not those of float32."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    a = normal(6, 4)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        space = h5py.h5s.create_simple(a.shape)
        stored = h5py.h5d.create(file.id, b"w", kind, space)
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, a)
        assert stored.get_storage_size() == 2 * a.size
        truth = file["w"][:]
    assert 0 < np.abs(truth - a).max() < 0.02
    np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(tmp_path / "m.h5")["w"]), truth)


def test_a_user_block_moves_every_offset(tmp_path: Path) -> None:
    """The file then does not begin with the magic of HDF5, and is named as unknown."""
    with h5py.File(tmp_path / "m.h5", "w", userblock_size=512) as file:
        file["w"] = normal(3, 4)
    with pytest.raises(CheckpointError, match="an unrecognised format"):
        ss.open_checkpoint(tmp_path / "m.h5")


def foreign(file: Any) -> None:
    """Members that are not tensors of this file."""
    file["compound"] = np.zeros(3, [("x", "f4"), ("y", "i4")])
    file["text"] = "words"
    file["texts"] = np.array([b"a", b"bc"])
    file["ragged"] = h5py.Empty("f4")
    file["type"] = np.dtype("f8")
    file["soft"] = h5py.SoftLink("/w")
    file["elsewhere"] = h5py.ExternalLink("other.h5", "/w")
    file["nothing"] = h5py.SoftLink("/not/there")
    file.create_dataset("references", data=[file.ref], dtype=h5py.ref_dtype)
    file.create_dataset("long", data=np.ones(2, np.longdouble))
    file.create_dataset("unwritten", (1000, 1000), "f4")
    file.create_dataset("chunks", (1000, 1000), "f4", chunks=(100, 100))
    file.create_dataset("outside", (4, 4), "f4", external=[("raw.bin", 0, 64)])
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (4, 4))
    file.create_virtual_dataset("virtual", layout)


REASONS = {
    "compound": "a compound dataset of 'x, y', not a tensor",
    "text": "a dataset of 'object', not a tensor",
    "texts": "a dataset of '|S2', not a tensor",
    "ragged": "a dataset without a shape, not a tensor",
    "type": "a data type, not a tensor",
    "soft": "a link to another place or file, not followed",
    "elsewhere": "a link to another place or file, not followed",
    "nothing": "a link to another place or file, not followed",
    "references": "a dataset of 'object', not a tensor",
    "long": "a dataset of 'float128', not a tensor",
    "unwritten": "a dataset that was never written",
    "chunks": "a dataset that was never written",
    "outside": "a dataset whose numbers are in other files, not read",
    "virtual": "a dataset whose numbers are in other files, not read",
}


def test_everything_else_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = normal(3, 4)
        foreign(file)
    checkpoint = ss.open_checkpoint(tmp_path / "m.h5")
    assert list(checkpoint) == ["w"]
    reasons = {
        each["name"]: each["reason"] for each in checkpoint.info() if each["status"] == "other"
    }
    assert reasons == REASONS


def test_hard_links_are_second_names_and_cycles_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/w"] = normal(3, 4)
        file["a/again"] = file["a/w"]
        file["a/b/up"] = file["a"]
        file["a/b/root"] = file["/"]
    checkpoint = ss.open_checkpoint(tmp_path / "m.h5")
    assert len(list(checkpoint)) == 1
    assert sorted(each["name"] for each in checkpoint.info()) == ["a/again", "a/w"]


KERAS = [
    ("dense/dense/kernel:0", (4, 3), "io"),
    ("layers/dense_1/vars/0", (4, 3), "io"),
    ("layers/lstm/cell/vars/1", (4, 12), "io"),
    ("model/lstm/lstm_cell/recurrent_kernel:0", (4, 12), "io"),
    ("conv1d_3/conv1d_3/kernel:0", (5, 4, 3), "sio"),
    ("layers/conv2d/vars/0", (2, 3, 4, 5), "ssio"),
    ("layers/conv2d_transpose/vars/0", (2, 3, 5, 4), "ssio"),
    ("attention/query/kernel:0", (6, 2, 3), "ioo"),
    ("attention/attention_output/vars/0", (2, 3, 6), "iio"),
]


def outputs_first(a: Array, axes: str) -> Array:
    outputs = [k for k, axis in enumerate(axes) if axis == "o"]
    inputs = [k for k, axis in enumerate(axes) if axis == "i"]
    places = [k for k, axis in enumerate(axes) if axis == "s"]
    turned = a.transpose(*outputs, *inputs, *places)
    return turned.reshape(int(np.prod([a.shape[k] for k in outputs])), -1)


@pytest.mark.parametrize(("name", "shape", "axes"), KERAS)
@pytest.mark.parametrize("packed", [False, True])
def test_weights_of_keras_have_outputs_as_rows(
    name: str, shape: tuple[int, ...], axes: str, packed: bool, tmp_path: Path
) -> None:
    a = normal(*shape)
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_dataset(name, data=a, compression="gzip" if packed else None)
    checkpoint = ss.open_checkpoint(tmp_path / "m.weights.h5")
    (matrix,) = checkpoint.values()
    np.testing.assert_array_equal(np.asarray(matrix), outputs_first(a, axes))
    assert "Keras's" in str(record(checkpoint, name)["view"])
    assert record(checkpoint, name)["shape"] == shape


@pytest.mark.parametrize("name", ["embedding/vars/0", "w", "layers/mine/vars/0"])
def test_weights_whose_axes_no_name_tells_are_as_they_are_stored(name: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file[name] = normal(5, 3)
    np.testing.assert_array_equal(
        np.asarray(ss.open_checkpoint(tmp_path / "m.h5")[name]), normal(5, 3)
    )


def test_kernels_of_depthwise_convolutions_are_as_they_are_stored(tmp_path: Path) -> None:
    """Their last axes are not inputs and outputs: each channel has outputs of its own."""
    name, a = "layers/depthwise_conv2d/vars/0", normal(3, 3, 4, 2)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file[name] = a
    checkpoint = ss.open_checkpoint(tmp_path / "m.h5")
    assert "Keras's" not in str(record(checkpoint, name)["view"])
    np.testing.assert_array_equal(numbers(checkpoint, name), a.ravel())


def test_whole_models_of_keras_have_the_names_of_their_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["model_weights/dense/dense/kernel:0"] = normal(4, 3)
        file["optimizer_weights/Adam/dense/kernel/m:0"] = normal(4, 3)
    checkpoint = ss.open_checkpoint(tmp_path / "m.h5")
    assert list(checkpoint) == ["dense/dense/kernel:0"]
    assert record(checkpoint, "optimizer_weights")["reason"] == "next to 'model_weights', not read"
    assert checkpoint.notes == ("m.h5: the tensors of 'model_weights', named without it",)


def archive(path: Path, weights: bytes, how: int = zipfile.ZIP_STORED, name: str = "") -> Path:
    with zipfile.ZipFile(path, "w", how) as files:
        files.writestr("metadata.json", "{}")
        files.writestr("config.json", "{}")
        files.writestr(name or "model.weights.h5", weights)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_archives_of_keras_are_read_in_place(packed: bool, tmp_path: Path) -> None:
    a = normal(4, 3)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        how = "gzip" if packed else None
        file.create_dataset("layers/dense/vars/0", data=a, compression=how)
        file["layers/dense/vars/1"] = normal(3)
    raw = (tmp_path / "m.h5").read_bytes()
    for name in ("m.keras", "renamed.zip"):
        checkpoint = ss.open_checkpoint(archive(tmp_path / name, raw))
        np.testing.assert_array_equal(np.asarray(checkpoint["layers/dense/vars/0"]), a.T)
        np.testing.assert_array_equal(numbers(checkpoint, "layers/dense/vars/1"), normal(3))
    for how, inner, message in [
        (zipfile.ZIP_DEFLATED, "", "'model.weights.h5' is compressed: unpack it"),
        (zipfile.ZIP_STORED, "other", "a Keras archive with 0 files model.weights.h5"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            ss.open_checkpoint(archive(tmp_path / "bad.keras", raw, how, inner))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = normal(30, 40)
    raw = (tmp_path / "m.h5").read_bytes()
    for length in (0, 8, 100, 1000, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.h5").write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"cut\.h5: not an? .*HDF5 file"):
            ss.open_checkpoint(tmp_path / "cut.h5")


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    for how in (None, "gzip"):
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=normal(30, 40), compression=how)
        checkpoint = ss.open_checkpoint(path)
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=normal(30, 41), compression=how)
        with pytest.raises(CheckpointError, match="the file changed since it was opened"):
            np.asarray(checkpoint["w"])


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("weight", data=normal(40, 30), chunks=(10, 30))
    matrix = ss.open_checkpoint(path)["weight"]
    begin_read = h5py.Dataset.astype

    def write_before_the_read(dataset: Any, *arguments: Any) -> Any:
        os.utime(path, ns=(1, 1))
        return begin_read(dataset, *arguments)

    monkeypatch.setattr(h5py.Dataset, "astype", write_before_the_read)
    with pytest.raises(CheckpointError, match="the file changed since it was opened"):
        np.asarray(matrix)


def test_a_chunk_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=normal(30, 40), compression="gzip", chunks=(30, 40))
        place = file["w"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place : place + 200] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"m\.h5: tensor 'w' cannot be read"):
        np.asarray(ss.open_checkpoint(path)["w"])


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = normal(3, 4)
    monkeypatch.setitem(sys.modules, "h5py", None)
    for path in (tmp_path, tmp_path / "m.h5"):
        with pytest.raises(ImportError, match=r"pip install 'sigmascope\[hdf5\]'"):
            ss.open_checkpoint(path)
