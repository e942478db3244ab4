# SPDX-License-Identifier: BSD-3-Clause
"""Objects of other packages next to weights: listed by name, never imported, run or lost."""

from __future__ import annotations

import argparse
import enum
import functools
import pickle
import sys
import types
import warnings
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.support.checkpoints import record
from tests.support.lowered_limits import lower
from tests.support.torch_files import crafted, normal, torch

import sigmascope as ss
from sigmascope.errors import CheckpointError

W = normal(6, 4)
ABSENT = "package_that_is_not_installed"


class Hyper(dict[str, Any]):
    """A dict with attributes, as frameworks keep settings in."""


class Ordered(OrderedDict[str, Any]):
    """A dict of another class."""


class Kind(enum.Enum):
    """Names of values."""

    A = 1


@dataclass
class Settings:
    """Settings of a run."""

    lr: float = 0.1
    kind: Kind = Kind.A


class Slots:
    """Attributes in slots."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held


class Pair(NamedTuple):
    """A tuple with names."""

    left: int
    right: int


class Listed(list[Any]):
    """A list of another class."""


class Stateful:
    """An object that pickles as it likes."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __getstate__(self) -> tuple[Any, ...]:
        return (1, self.held)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        raise AssertionError("run")


OWN = (Hyper, Ordered, Kind, Settings, Slots, Pair, Listed, Stateful)


@pytest.fixture(autouse=True)
def absent() -> Iterator[None]:
    """The classes pickle as those of a package, which is not there when a file is read."""
    module: Any = types.ModuleType(ABSENT)
    for kind in OWN:
        setattr(module, kind.__name__, kind)
        kind.__module__ = ABSENT
    sys.modules[ABSENT] = module
    yield
    sys.modules.pop(ABSENT, None)


def write(folder: Path, value: object, archive: bool = True) -> Path:
    path = folder / "model.ckpt"
    torch.save(value, path, _use_new_zipfile_serialization=archive)
    sys.modules.pop(ABSENT)
    return path


def quantised() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop them
        return torch.quantize_per_tensor(W, 0.1, 0, torch.qint8)


OBJECTS: dict[str, tuple[object, str]] = {
    "a dict of a framework": (Hyper(lr=1e-3, sizes=[1, 2]), f"{ABSENT}.Hyper"),
    "an OrderedDict of another class": (Ordered(a=1), f"{ABSENT}.Ordered"),
    "a list of another class": (Listed([1, 2]), f"{ABSENT}.Listed"),
    "an enumeration": (Kind.A, f"{ABSENT}.Kind"),
    "a dataclass": (Settings(), f"{ABSENT}.Settings"),
    "slots": (Slots(3), f"{ABSENT}.Slots"),
    "a named tuple": (Pair(1, 2), f"{ABSENT}.Pair"),
    "a class": (Settings, f"{ABSENT}.Settings"),
    "a state of its own": (Stateful(2), f"{ABSENT}.Stateful"),
    "arguments": (argparse.Namespace(lr=1.0, path=PurePosixPath("/x")), "argparse.Namespace"),
    "a path": (PurePosixPath("a/b"), "pathlib.PurePosixPath"),
    "a partial function": (functools.partial(print, 1), "functools.partial"),
    "a scalar": (np.float64(0.5), "a scalar of NumPy, f8"),
    "an array": (np.ones((2, 3), np.float32), "an array of NumPy, f4 [2, 3]"),
    "columns first": (np.asfortranarray(np.ones((3, 2))), "an array of NumPy, f8 [3, 2]"),
    "an array without axes": (np.array(1), "an array of NumPy, i8 []"),
    "a dtype": (np.dtype("f4"), "numpy.dtype"),
    "a set": ({1, 2}, "set"),
    "a complex number": (1j, "complex"),
    "bytes": (b"\x00\xff", "bytes"),
    "many bytes": (bytes(range(256)) * 9, "bytes"),
    "a date": (date(2020, 1, 2), "datetime.date"),
    "a fraction": (Fraction(1, 3), "fractions.Fraction"),
    "a slice": (slice(1, 2), "slice"),
    "a dtype of torch": (torch.float32, "torch.float32"),
    "a device": (torch.device("cpu"), "str"),
    "a counter": (Counter("aab"), "collections.Counter"),
    "a module": (torch.nn.ReLU(), "torch.nn.modules.activation.ReLU"),
    "a sparse tensor": (torch.eye(3).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
    "a quantised tensor": (quantised(), "torch._utils._rebuild_qtensor"),
}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("what", OBJECTS)
def test_any_object_next_to_weights_is_named(what: str, archive: bool, tmp_path: Path) -> None:
    value, kind = OBJECTS[what]
    checkpoint = ss.open_checkpoint(write(tmp_path, {"w": W, "thing": value}, archive))
    assert list(checkpoint) == ["w"]
    np.testing.assert_array_equal(np.asarray(checkpoint["w"]), W.numpy())
    entry = record(checkpoint, "thing")
    assert entry["status"] == "other"
    assert kind in str(entry["reason"])
    assert ABSENT not in sys.modules


@pytest.mark.parametrize("what", ["an enumeration", "a named tuple", "a path", "bytes"])
def test_any_object_as_a_key(what: str, tmp_path: Path) -> None:
    value, _ = OBJECTS[what]
    checkpoint = ss.open_checkpoint(
        write(tmp_path, {"w": W, "by object": {value: 1, (1, (2, "a")): 2}})
    )
    assert list(checkpoint) == ["w"]
    assert len(checkpoint.info()) == 3


class Net(torch.nn.Module):  # type: ignore[misc]
    """A model whose object is saved whole, with a tensor that its state dict has not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        self.register_buffer("mask", torch.ones(3, 3))
        self.strides = torch.arange(6.0).reshape(2, 3)
        self.options = {"a": 1}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("key", [None, "model", "ema"])
def test_whole_modules_have_the_names_of_their_state_dict(
    key: str | None, archive: bool, tmp_path: Path
) -> None:
    net = Net()
    value = net if key is None else {"epoch": 3, key: net}
    checkpoint = ss.open_checkpoint(write(tmp_path, value, archive))
    prefix = "ema." if key == "ema" else ""
    wanted = {prefix + name: x for name, x in net.state_dict().items()}
    wanted[f"{prefix}strides"] = net.strides
    entries = {each["name"] for each in checkpoint.info() if each["status"] != "other"}
    assert entries == set(wanted)
    for name, matrix in checkpoint.items():
        np.testing.assert_array_equal(np.asarray(matrix), wanted[name].detach().numpy())


HOLDERS = {
    "attributes": (argparse.Namespace(held=W, lr=1), "thing.held"),
    "items": (Hyper(held=W, lr=1), "thing.held"),
    "a list": (Listed([1, W]), "thing.1"),
    "arguments": (functools.partial(print, W), None),
    "slots": (Slots(W), "thing.held"),
    "a state": (Stateful({"held": W}), "thing.held"),
    "a state of a tensor": (Stateful(W), "thing.state"),
    "lists of dicts": ([{"a": 1}, {"held": W}], "thing.1.held"),
    "tuples of objects": ((1, (Slots(W),)), "thing.1.0.held"),
    "a default": (defaultdict(list, held=W), "thing.held"),
    "deeply": (Hyper(x=Slots([argparse.Namespace(held=W)])), "thing.x.held.0.held"),
}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("what", HOLDERS)
def test_no_tensor_inside_an_object_is_lost(what: str, archive: bool, tmp_path: Path) -> None:
    value, name = HOLDERS[what]
    checkpoint = ss.open_checkpoint(write(tmp_path, {"b": normal(3, 3), "thing": value}, archive))
    (inner,) = set(checkpoint) - {"b"}
    assert name in (None, inner)
    assert inner.startswith("thing.")
    np.testing.assert_array_equal(np.asarray(checkpoint[inner]), W.numpy())


class Own(torch.Tensor):  # type: ignore[misc]
    """A class of tensors of another package."""


def test_tensors_of_other_classes_are_named_with_advice(tmp_path: Path) -> None:
    checkpoint = ss.open_checkpoint(write(tmp_path, {"w": W, "own": W.as_subclass(Own)}))
    assert list(checkpoint) == ["w"]
    reason = str(record(checkpoint, "own")["reason"])
    assert "_rebuild_from_type_v2" in reason
    assert "torchao" in reason
    assert reason.endswith("not read")


def test_dicts_of_python_2(tmp_path: Path) -> None:
    """Its OrderedDict gives its items to the class."""
    items = pickle.dumps([["a", 1], ["b", 2]], 2)[2:-1]
    program = b"\x80\x02}X\x01\x00\x00\x00dccollections\nOrderedDict\n" + items + b"\x85Rs."
    checkpoint = ss.open_checkpoint(crafted(tmp_path / "x.pt", program))
    assert [(each["name"], each["reason"]) for each in checkpoint.info()] == [
        ("d.a", "int, not a tensor"),
        ("d.b", "int, not a tensor"),
    ]


SHARED = {
    "arguments": b"(" + b"N" * 50_000 + b"tq\x00" + b"0cx\ny\nh\x00R" * 2000,
    "states": b"(" + b"N" * 50_000 + b"tq\x00" + b"0cx\ny\n)\x81h\x00b" * 2000,
    "items": b"]("
    + b"K\x01N\x86" * 20_000
    + b"e\x85q\x00"
    + b"0ccollections\nOrderedDict\nh\x00R" * 2000,
    "bytes": b"(X\xe8\x03\x00\x00"
    + b"a" * 1000
    + b"tq\x00"
    + b"0c_codecs\nencode\nh\x00R" * 20_000,
}


@pytest.mark.parametrize("what", SHARED)
def test_what_many_objects_share_is_counted_for_each(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time and memory are those of all instructions, not of the bytes of the pickle."""
    lower(monkeypatch, "MAX_PICKLE_STEPS", 200_000)
    path = crafted(tmp_path / "x.pt", b"\x80\x02" + SHARED[what] + b".")
    with pytest.raises(CheckpointError, match=r"has more than 200000 instructions"):
        ss.open_checkpoint(path)


@pytest.mark.parametrize("limit", [50_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_objects_that_hold_each_other_are_visited_once(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit < 1_000_000:  # which is the limit
        lower(monkeypatch, "MAX_TENSORS", limit)
    inner = Hyper(w=W)
    for _ in range(40):
        inner = Hyper(a=inner, b=inner)
    with pytest.raises(CheckpointError, match=f"more than {limit} entries"):
        ss.open_checkpoint(write(tmp_path, {"thing": inner}))
