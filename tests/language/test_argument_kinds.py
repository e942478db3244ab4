# SPDX-License-Identifier: BSD-3-Clause
"""Every argument of every public function: one of another kind is named, with its value."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.support.public_names import PUBLIC

import sigmascope as ss
from sigmascope.streaming import Sketch

A = np.random.default_rng(0).standard_normal((30, 20))


class Strange:
    """Something that is an argument of no kind."""

    def __repr__(self) -> str:
        return "Strange()"


WRONG: dict[str, list[Any]] = {
    "int": [3.0, "two", None, [1], np.float64(2), Strange()],
    "int | None": [3.0, "two", [1], Strange()],
    "int | str | None": [3.0, [1], Strange()],
    "float": ["small", None, [0.1], np.ones(2), 1j, Strange()],
    "float | None": ["small", [0.1], 1j, Strange()],
    "str | float | None": [[0.1], 1j, Strange()],
    "bool": ["yes", None, 2, Strange()],
    "bool | None": ["yes", 2, Strange()],
    "str": [3, None, b"x", Strange()],
    "str | None": [3, b"x", Strange()],
    "str | Sequence[str]": [3, [3], None],
    "str | Sequence[str] | None": [3, [3], Strange()],
    "Sequence[str] | str": [3, [3], None],
    "Sequence[str] | None": [3, [3]],
    "Patterns": [3, [3], Strange()],
    "PathLike": [3, None, Strange()],
    "PathLike | None": [3, ["a"], Strange()],
    "str | os.PathLike[str]": [3, None, Strange()],
    "str | os.PathLike[str] | None": [3, Strange()],
    "Paths": [3, [3], Strange()],
    "tuple[int, int]": [3, (1.0, 2), (1, 2, 3), None],
    "tuple[int, int] | None": [3, "0/4", (0, 1, 2)],
    "Mapping[str, Any] | None": [3, "x", Strange()],
    "Executor | None": [3, Strange()],
    "Resources | None": [3, Strange()],
    "ByteProgress | None": [3, "x"],
    "Progress | None": [3, "x"],
    "Log | None": [3, "x"],
    "Clock": [3, None],
    "Checkpoint": [3, "model/", None, Strange()],
}
"""Values of another kind, by annotation."""

OWN_MESSAGES = {"seed", "memory_limit"}
"""Parameters with a check of their own (test_arguments.py)."""

DATA = {
    "Any", "Adapter | str | os.PathLike[str]", "ArrayLike", "bool | ArrayLike", "Array", "Matrix",
    "Calibration | None", "Iterable[Mapping[str, Any]]", "Location", "Model", "Sequence[Any]",
    "Iterable[str | os.PathLike[str] | Parts]", "Iterable[tuple[Source, Label, str]]", "Source",
    "Mapping[float, Source] | Sequence[Source]", "NDArray[np.floating[Any]] | None",
    "Paths | Tensors | FileObject", "Scannable | Tensors | str | os.PathLike[str]",
    "Sequence[Sequence[Any]]", "Sequence[Source]", "Sequence[float] | None", "Source | None",
    "Iterable[int] | None", "Sequence[str]", "Source | Sequence[Source]",
    "str | os.PathLike[str] | Checkpoint | Mapping[str, Any]", "tuple[str, int]",
}  # fmt: skip
"""Annotations of matrices, checkpoints and sequences of numbers, with messages of their own."""


def public_callables() -> Iterator[tuple[str, Callable[..., Any], int]]:
    """List each function and method with the decorator `public`, and its arguments before those."""
    for name, what in PUBLIC.items():
        if inspect.isfunction(what):
            yield name, what, 0
        elif inspect.isclass(what):
            for method, one in vars(what).items():
                plain = getattr(one, "__func__", one)
                if hasattr(plain, "__wrapped__"):
                    yield f"{name}.{method}".removesuffix(".__init__"), plain, 1


def parameters() -> Iterator[Any]:
    for name, function, before in public_callables():
        for parameter in [*inspect.signature(function).parameters.values()][before:]:
            if parameter.name not in OWN_MESSAGES:
                yield pytest.param(name, function, before, parameter, id=f"{name}-{parameter.name}")


@pytest.mark.parametrize(("name", "function", "before", "parameter"), [*parameters()])
def test_an_argument_of_another_kind_is_named(
    name: str, function: Callable[..., Any], before: int, parameter: inspect.Parameter
) -> None:
    annotation = str(parameter.annotation)
    assert annotation in WRONG or annotation in DATA, "a new annotation: say which values are wrong"
    for value in WRONG.get(annotation, ()):
        message = rf"{parameter.name} must be .*, not {re.escape(f'{value!r:.80}')}"
        with pytest.raises(TypeError, match=message):
            function(*[None] * before, **{parameter.name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ss.svds(A, 3.0), r"svds\(\): k must be an integer, not 3\.0"),
        (lambda: ss.svds(A, tol="x"), r"svds\(\): tol must be a number, not 'x'"),
        (lambda: ss.svdvals(A, num_threads="two"), r"num_threads must be an integer or None, not"),
        (lambda: Sketch(20, 2.0), r"Sketch\(\): k must be an integer, not 2\.0"),
        (lambda: ss.scan({"w": A}, k="8"), r"scan\(\): k must be an integer, not '8'"),
        (lambda: ss.low_rank(A, energy="most"), r"low_rank\(\): energy must be a number or None"),
    ],
)
def test_arguments_by_position_and_by_name(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    "options",
    [
        {"k": np.int8(3), "tol": np.float32(1e-3), "vectors": np.True_},
        {"k": np.array(3), "tol": np.array(1e-3), "vectors": 0},
        {"k": True, "tol": 1, "num_threads": np.uint8(1)},
    ],
)
def test_numbers_of_any_library_are_taken(options: dict[str, Any]) -> None:
    assert len(ss.svds(A, **options).s) == int(options["k"])


X = A.astype(np.float32)


@pytest.mark.parametrize(
    "call", [ss.scan, partial(ss.scan, plan=True), ss.open_checkpoint, lambda x: ss.compare(x, x)]
)
@pytest.mark.parametrize("array", [X, X[0], np.ones((2, 3, 4))])
def test_an_array_needs_a_name_to_be_scanned(call: Callable[..., Any], array: Any) -> None:
    message = (
        rf"an array of shape {re.escape(str(array.shape))} is not a checkpoint.*\{{\"name\": X\}}"
    )
    with pytest.raises(TypeError, match=message):
        call(array)


def test_names_that_are_nearly_right() -> None:
    model = {"pooler.dense.weight": A, "embeddings.weight": A}
    for source in (ss.open_checkpoint(model), ss.scan(model, k=3)):
        with pytest.raises(
            KeyError, match=r"'pooler\.dens\.weight'.*similar: 'pooler\.dense\.weight'"
        ):
            source["pooler.dens.weight"]


@pytest.mark.parametrize(
    ("estimator", "keyword", "message"),
    [
        *(("PCA", name, "exactly: omit it") for name in ("svd_solver", "tol", "n_oversamples")),
        ("PCA", "iterated_power", "exactly: omit it"),
        ("PCA", "power_iteration_normalizer", "exactly: omit it"),
        ("PCA", "random_state", "nothing is random: omit it"),
        ("PCA", "copy", "never changed: omit it"),
        ("PCA", "batch_size", "pass batches to partial_fit"),
        ("TruncatedSVD", "algorithm", "ends at tol="),
        ("TruncatedSVD", "n_iter", "ends at tol="),
        ("TruncatedSVD", "n_oversamples", "ends at tol="),
        ("TruncatedSVD", "power_iteration_normalizer", "ends at tol="),
    ],
)
def test_keywords_of_scikit_learn(estimator: str, keyword: str, message: str) -> None:
    """Each keyword of its own estimator is taken here, or the message says what to do instead."""
    ours = pytest.importorskip("sigmascope.sklearn")
    with pytest.raises(
        TypeError, match=rf"{estimator}\(\) has no keyword '{keyword}' \(.*{message}"
    ):
        getattr(ours, estimator)(2, **{keyword: 1})


@pytest.mark.parametrize("name", ["PCA", "TruncatedSVD", "IncrementalPCA"])
def test_no_keyword_of_scikit_learn_is_without_advice(name: str) -> None:
    ours = pytest.importorskip("sigmascope.sklearn")
    theirs = getattr(pytest.importorskip("sklearn.decomposition"), name)
    own = getattr(ours, name.removeprefix("Incremental"))
    known = inspect.signature(own).parameters
    for keyword in inspect.signature(theirs).parameters.keys() - known.keys():
        with pytest.raises(TypeError, match=rf"has no keyword '{keyword}' \("):
            own(2, **{keyword: 1})
