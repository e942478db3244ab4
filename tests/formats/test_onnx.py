# SPDX-License-Identifier: BSD-3-Clause
"""Initialisers of ONNX models: numbers in the model, in lists of a type, in files of their own."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Stored, record, write_file
from tests.support.onnx_files import (
    FLOATS,
    INT32S,
    INT64S,
    RAW,
    UINT64S,
    constant,
    content,
    elsewhere,
    graph,
    model,
    number,
    of_array,
    packed,
    tensor,
    write_onnx,
)
from tests.support.stored_types import STORED_FLOATS

import sigmascope as ss
from sigmascope.errors import CheckpointError

A = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", STORED_FLOATS)
def test_raw_data_of_every_float_is_read_where_it_lies(dtype: str, tmp_path: Path) -> None:
    array = A.astype(STORED_FLOATS[dtype])
    path = write_onnx(tmp_path / "m.onnx", of_array("b", "F32", A[0]), of_array("w", dtype, array))
    opened = ss.open_checkpoint(path)
    np.testing.assert_array_equal(np.asarray(opened["w"]), array.astype(np.float64))
    row = record(opened, "w")
    assert path.read_bytes()[row["offset"] :][: row["nbytes"]] == array.tobytes()
    assert record(opened, "b")["status"] == "vector"


@pytest.mark.parametrize("dtype", STORED_FLOATS)
def test_lists_of_a_type_are_read(dtype: str, tmp_path: Path) -> None:
    array = A.astype(STORED_FLOATS[dtype])
    if dtype in ("F64", "F32"):
        numbers = packed(10 if dtype == "F64" else FLOATS, array.ravel())
    else:
        numbers = packed(INT32S, array.view(f"u{array.itemsize}").ravel())
    path = write_onnx(tmp_path / "m.onnx", tensor("w", dtype, (5, 3), numbers))
    again = pickle.loads(pickle.dumps(ss.open_checkpoint(path)))
    for opened in (ss.open_checkpoint(path), again):
        np.testing.assert_array_equal(np.asarray(opened["w"]), array.astype(np.float64))


@pytest.mark.parametrize(
    ("dtype", "field", "values"),
    [
        ("I64", INT64S, [0, 1, -1, 2**63 - 1, -(2**63), 127, 128, 16384]),
        ("U64", UINT64S, [0, 2**64 - 1, 2**63]),
        ("U32", UINT64S, [0, 2**32 - 1]),
        ("I32", INT32S, [0, -1, 2**31 - 1, -(2**31)]),
        ("I8", INT32S, [-128, 127]),
        ("U16", INT32S, [0, 65535]),
        ("BOOL", INT32S, [0, 1]),
    ],
)
def test_integers_in_lists_are_decoded(
    dtype: str, field: int, values: list[int], tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "m.onnx", tensor("n", dtype, [len(values)], packed(field, values)))
    elements = ss.open_checkpoint(path).elements("n")
    assert elements is not None
    assert [int(value) for chunk in elements for value in chunk] == values


def test_long_lists_are_decoded_in_blocks(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**63), 2**63, 60_000) >> np.arange(60_000) % 64
    path = write_onnx(tmp_path / "m.onnx", tensor("n", "I64", [60_000], packed(INT64S, values)))
    elements = ss.open_checkpoint(path).elements("n")
    assert elements is not None
    np.testing.assert_array_equal(np.concatenate(list(elements)), values)


@pytest.mark.parametrize(("dtype", "value"), [("F16", 65536), ("I8", 128), ("U8", -1), ("BOOL", 2)])
def test_numbers_that_a_type_does_not_have_are_refused(
    dtype: str, value: int, tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "m.onnx", tensor("n", dtype, [1, 2], packed(INT32S, [1, value])))
    opened = ss.open_checkpoint(path)
    with pytest.raises(CheckpointError, match=rf"m\.onnx: tensor 'n': the number {value}, "):
        np.asarray(opened["n"]) if dtype == "F16" else list(opened.elements("n") or [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], "3 numbers, but its shape has 4"),
        ([1] * 5, "5 numbers, but its shape has 4"),
    ],
)
def test_lists_of_another_length_are_refused(
    values: list[int], message: str, tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "m.onnx", tensor("w", "F16", [2, 2], packed(INT32S, values)))
    opened = ss.open_checkpoint(path)
    with pytest.raises(CheckpointError, match=message):
        np.asarray(opened["w"])


def test_external_data_are_read_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(bytes(7) + A.tobytes() + (2 * A).tobytes())
    (tmp_path / "w").write_bytes((3 * A).tobytes())
    path = write_onnx(
        tmp_path / "model.onnx",
        tensor("two", "F32", (5, 3), elsewhere(location="sub/a.bin", offset=67, length=60)),
        tensor("one", "F32", (5, 3), elsewhere(location="./sub/a.bin", offset=7)),
        tensor("three", "F32", (5, 3), elsewhere(location="w", checksum="x")),
        of_array("four", "F32", 4 * A),
    )
    opened = ss.open_checkpoint(tmp_path)
    for factor, name in enumerate(("one", "two", "three", "four"), 1):
        np.testing.assert_array_equal(np.asarray(opened[name]), factor * A)
    assert opened.files == (path, tmp_path / "sub" / "a.bin", tmp_path / "w")
    assert record(opened, "two")["file"] == "a.bin"
    (tmp_path / "w").write_bytes((5 * A).tobytes() + b"0")
    with pytest.raises(CheckpointError, match="w: the file changed since it was opened"):
        opened["three"]


def test_what_holds_no_numbers_is_named_with_a_reason(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "m.onnx",
        tensor("text", "STRING", [1], content(6, "a")),
        tensor("new", 77, [1], content(RAW, b"a")),
        tensor("part", "F32", [1], content(RAW, bytes(4)) + content(3, number(1, 0))),
        tensor("loose", "F32", [2], b"\x25" + bytes(4) + b"\x25" + bytes(4)),
        tensor("codes", "U4", [3, 2], content(RAW, b"abc")),
        tensor("complex", "C64", [1, 2], content(RAW, bytes(16))),
        tensor("none", "F32", [0, 4]),
    )
    opened = ss.open_checkpoint(path)
    results = {each["name"]: (each["status"], each["reason"]) for each in opened.info()}
    assert results == {
        "text": ("other", "texts, which are not supported"),
        "new": ("other", "elements of type 77, which are not supported"),
        "part": ("other", "a segment of a tensor, not read"),
        "loose": ("other", "numbers in several places of the file (float_data), not read"),
        "codes": ("integer", "U4 holds no real numbers"),
        "complex": ("unreadable", results["complex"][1]),
        "none": ("empty", "no elements: shape [0, 4]"),
    }
    sparse = content(15, content(1, tensor("s", "F32", [1])))
    bodies = content(1, content(4, "Loop")) + content(1, content(4, "If"))
    path.write_bytes(number(1, 10) + content(7, graph() + sparse + bodies) + content(25, "f"))
    (note,) = ss.open_checkpoint(path).notes
    assert note.startswith("m.onnx: tensors not read: those of ")
    for kind in ("sparse initialisers (1)", "bodies of If, Loop and Scan (2)", "functions (1)"):
        assert kind in note


def test_constants_of_the_graph_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nodes = [
        constant("w", of_array("", "F32", A)),
        constant("half", tensor("other", "F16", (1, 2), packed(INT32S, [0x3C00, 0x4000]))),
        constant("shape", tensor("", "I64", [2], packed(INT64S, [5, 3]))),
        constant("scalar", of_array("", "F32", A[0, 0])),
        constant("not", of_array("", "F32", A), "Other"),
    ]
    path.write_bytes(content(7, graph(of_array("b", "F32", A[0])) + b"".join(nodes)))
    opened = ss.open_checkpoint(path)
    assert {each["name"] for each in opened.info()} == {"b", "w", "half"}
    np.testing.assert_array_equal(np.asarray(opened["w"]), A)
    np.testing.assert_array_equal(np.asarray(opened["half"]), [[1.0, 2.0]])
    path.write_bytes(content(7, graph(of_array("w", "F32", A)) + nodes[0]))
    with pytest.raises(CheckpointError, match="tensor 'w' is in the file twice"):
        ss.open_checkpoint(path)


def test_a_folder_with_several_models_is_refused(tmp_path: Path) -> None:
    for name in ("decoder.onnx", "encoder.onnx"):
        write_onnx(tmp_path / name, of_array("w", "F32", A))
    with pytest.raises(CheckpointError, match="several ONNX models; open one of them: 'decoder"):
        ss.open_checkpoint(tmp_path)
    write_onnx(tmp_path / "model.onnx", of_array("w", "F32", A))
    opened = ss.open_checkpoint(tmp_path)
    assert opened.files == (tmp_path / "model.onnx",)
    assert "'decoder.onnx', 'encoder.onnx'" in opened.notes[-1]
    write_file(tmp_path / "model.safetensors", Stored("s", "F32", (2, 3)))
    assert list(ss.open_checkpoint(tmp_path)) == ["s"]


def test_stacks_and_unaligned_numbers_have_the_spectra_of_their_arrays(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).standard_normal((3, 6, 4)).astype(np.float32)
    for pad in range(4):
        before = tensor("x" * (pad + 1), "F32", [0])
        path = write_onnx(tmp_path / "m.onnx", before, of_array("w", "F32", stack))
        opened = ss.open_checkpoint(path)
        for index in range(3):
            values = np.asarray(ss.svdvals(opened[f"w[{index}]"]))
            np.testing.assert_allclose(values, np.linalg.svd(stack[index])[1], rtol=1e-5)


def test_a_file_object_is_read() -> None:
    numbers = tensor("half", "F16", (1, 2), packed(INT32S, [0x3C00, 0x4000]))
    file = io.BytesIO(model(of_array("w", "F32", A), numbers))
    file.name = "m.onnx"  # type: ignore[attr-defined]
    opened = ss.open_checkpoint(file)
    np.testing.assert_array_equal(np.asarray(opened["w"]), A)
    np.testing.assert_array_equal(np.asarray(opened["half"]), [[1.0, 2.0]])


def test_models_of_the_onnx_package_are_read(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    arrays = {"w": A, "half": A.astype(np.float16), "n": np.arange(6).reshape(2, 3)}
    made = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    lists = [
        onnx.helper.make_tensor(f"{name}.list", each.data_type, array.shape, array.ravel().tolist())
        for (name, array), each in zip(arrays.items(), made, strict=True)
    ]
    graph = onnx.helper.make_graph([], "g", [], [], [*made, *lists])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "inline.onnx")
    onnx.save(
        onnx.helper.make_model(graph),
        tmp_path / "external.onnx",
        save_as_external_data=True,
        location="external.data",
        size_threshold=0,
    )
    for name in ("inline.onnx", "external.onnx"):
        opened = ss.open_checkpoint(tmp_path / name)
        assert {each["name"] for each in opened.info()} == {each.name for each in [*made, *lists]}
        for key in ("w", "half"):
            np.testing.assert_array_equal(np.asarray(opened[key]), arrays[key])
            np.testing.assert_array_equal(np.asarray(opened[f"{key}.list"]), arrays[key])
        elements = opened.elements("n.list")
        assert elements is not None
        assert [*np.concatenate(list(elements))] == list(range(6))


def body(operator: str, output: str, **graphs: bytes) -> bytes:
    """A node with graphs of its own, by the names of its attributes."""
    attributes = [content(1, name) + content(6, inner) for name, inner in graphs.items()]
    parts = [content(2, output), content(4, operator), *(content(5, each) for each in attributes)]
    return content(1, b"".join(parts))


def test_tensors_in_bodies_are_read(tmp_path: Path) -> None:
    arrays = {letter: i + A for i, letter in enumerate("abcdef")}
    made = {name: of_array("w", "F32", array) for name, array in arrays.items()}
    inner = graph(made["c"]) + constant("k", made["d"])
    nodes = [
        body("If", "branch", then_branch=graph(made["b"]), else_branch=inner),
        body("Loop", "loop", body=graph() + body("Scan", "scan", body=graph(made["e"]))),
        body("Loop", "again", body=graph(of_array("only", "F32", arrays["f"]))),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(number(1, 10) + content(7, b"".join(nodes) + graph(made["a"])))
    opened = ss.open_checkpoint(path)
    assert opened.notes == ()
    names = {
        "w": "a",
        "branch.then_branch.w": "b",
        "branch.else_branch.w": "c",
        "k": "d",
        "loop.body.scan.body.w": "e",
        "only": "f",
    }
    assert set(opened) == set(names)
    for name, letter in names.items():
        np.testing.assert_array_equal(np.asarray(opened[name]), arrays[letter])


def test_bodies_have_limits(tmp_path: Path) -> None:
    path, w = tmp_path / "m.onnx", of_array("w", "F32", np.ones((2, 3), np.float32))
    path.write_bytes(number(1, 10) + content(7, body("Loop", "l", body=graph(w, w))))
    with pytest.raises(CheckpointError, match="'w' is in the file twice"):
        ss.open_checkpoint(path)
    deep = graph(w)
    for _ in range(101):
        deep = body("Loop", "l", body=deep)
    path.write_bytes(number(1, 10) + content(7, deep))
    with pytest.raises(CheckpointError, match="graphs within 100 others, which is the limit"):
        ss.open_checkpoint(path)


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_infinite_constant_of_the_graph_is_not_a_failure(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Graphs have limits and masks of one number; NaN, and infinity in a weight, are failures."""
    kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]
    numbers = {"limit": np.full(shape, -np.inf), "top": np.full(shape, np.inf)}
    numbers |= {"one": np.ones(shape), "bad": np.full(shape, np.nan), "w": np.full(2, np.inf)}
    made = [of_array(name, dtype, x.astype(kind)) for name, x in numbers.items()]
    scan = ss.scan(write_onnx(tmp_path / "m.onnx", *made))
    assert sorted(row["name"] for row in scan.failed) == ["bad", "w"]
    assert scan["limit"]["reason"] == "the constant -inf of the graph, not a weight"
    assert scan["top"]["reason"] == "the constant inf of the graph, not a weight"
    assert scan["one"]["status"] != "failed"
