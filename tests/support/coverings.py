# SPDX-License-Identifier: BSD-3-Clause
"""Grids of cases of which a covering is in the short tier, and the rest in the slow one or none."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


def covering(sizes: Sequence[int], strength: int) -> list[tuple[int, ...]]:
    """Choose rows so that any `strength` factors take every combination of their values.

    The rows are chosen greedily from the whole product: each one adds the most combinations that no
    earlier row has; of several such rows, the one whose values are in the fewest rows so far, and
    then the first one, is taken (after Cohen et al. 1997).
    """
    groups = list(itertools.combinations(range(len(sizes)), min(strength, len(sizes))))
    uses: Counter[tuple[int, int]] = Counter()

    def combinations_of(row: tuple[int, ...]) -> set[tuple[Any, ...]]:
        return {(group, tuple(row[i] for i in group)) for group in groups}

    def worth(row: tuple[int, ...]) -> tuple[int, int]:
        return len(combinations_of(row) & missing), -sum(uses[value] for value in enumerate(row))

    product = list(itertools.product(*map(range, sizes)))
    missing = set().union(*map(combinations_of, product))
    rows: list[tuple[int, ...]] = []
    while missing:
        best = max(product, key=worth)
        rows.append(best)
        uses.update(enumerate(best))
        missing -= combinations_of(best)
    return rows


def grid(strength: int = 1, **factors: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test with the product of factors; all but a covering is marked `slow`.

    A factor may be a mapping from readable names to values, else values name themselves.

    >>> @grid(shape=[(3, 2), (2, 3)], dtype={"f4": np.float32, "f8": np.float64})
    ... def test_any_shape(shape, dtype): ...
    """
    named = [_named(values) for values in factors.values()]
    short = set(covering([len(values) for values in named], strength))
    cases = []
    for row in itertools.product(*(range(len(values)) for values in named)):
        marks = () if row in short else (pytest.mark.slow,)
        cases.append(_case(named, row, *marks))
    return pytest.mark.parametrize(tuple(factors), cases)


def device_grid(strength: int = 1, **factors: Iterable[Any]) -> pytest.MarkDecorator:
    """As :func:`grid`, for a test that takes the fixture `device`.

    A CUDA device, which is in the slow tier, computes what covers any two factors.
    """
    named = [_named(values) for values in factors.values()]
    sizes = [len(values) for values in named]
    short, on_cuda = set(covering(sizes, strength)), set(covering(sizes, 2))
    cases = []
    for row in itertools.product(*map(range, sizes)):
        for device in ("cpu", "cuda:0") if row in on_cuda else ("cpu",):
            marks = [] if device == "cpu" and row in short else [pytest.mark.slow]
            marks += [pytest.mark.unsanitized] if device != "cpu" else []
            cases.append(_case([[(device, device)], *named], (0, *row), *marks))
    return pytest.mark.parametrize(("device", *factors), cases, indirect=["device"])


def covered(strength: int = 2, **factors: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test with a covering of the product of factors, and with no other case."""
    named = [_named(values) for values in factors.values()]
    rows = sorted(covering([len(values) for values in named], strength))
    cases = [_case(named, row) for row in rows]
    return pytest.mark.parametrize(tuple(factors), cases)


def _case(named: list[list[tuple[str, Any]]], row: tuple[int, ...], *marks: Any) -> Any:
    """Return one case of a parametrized test, with the names of its values as its id."""
    chosen = [values[i] for values, i in zip(named, row, strict=True)]
    values = (value for _, value in chosen)
    return pytest.param(*values, id="-".join(name for name, _ in chosen), marks=marks)


def _named(values: Iterable[Any]) -> list[tuple[str, Any]]:
    if isinstance(values, Mapping):
        return list(values.items())
    return [(_name_of(value), value) for value in values]


def _name_of(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(_name_of, value))
    return str(getattr(value, "__name__", value))
