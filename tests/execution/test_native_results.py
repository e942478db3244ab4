# SPDX-License-Identifier: BSD-3-Clause
"""The dictionaries of the native engine have the keys that their types name, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.support.native_calls import BY_NAME, SHARED

import sigmascope as ss
from sigmascope import _core
from sigmascope._execution import native_results as results


def krylov(a: Any, **options: bool) -> Any:
    return _core.krylov(a, **BY_NAME["krylov"] | options, **SHARED)


def gram(a: Any, *, vectors: bool) -> Any:
    return _core.gram_top(a, **BY_NAME["gram_top"] | {"vectors": vectors}, **SHARED)


def low_rank(a: Any) -> Any:
    return _core.low_rank(a, k=3, block=6, passes=2, seed=0, f64=False, **SHARED)


CALLS: list[tuple[type, Callable[[Any], Any]]] = [
    (results.KrylovResult, lambda a: krylov(a, vectors=True, density=True)),
    (results.KrylovResult, lambda a: krylov(a, vectors=False, density=False)),
    (
        results.DensityResult,
        lambda a: _core.density(a, block=4, steps=3, seed=0, f64=True, **SHARED),
    ),
    (results.LowRankResult, low_rank),
    (results.GramResult, lambda a: gram(a, vectors=True)),
    (results.GramResult, lambda a: gram(a, vectors=False)),
    (results.ValuesResult, lambda a: _core.every_value(a, fast=False, **SHARED)),
    (results.SurveyResult, lambda a: _core.survey(a, **SHARED)),
]


@pytest.mark.parametrize(("kind", "call"), CALLS, ids=lambda x: getattr(x, "__name__", ""))
def test_keys_are_those_of_the_type(kind: Any, call: Callable[[Any], Any]) -> None:
    a = ss.matrix(np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32))
    names = set(call(a.native))
    assert kind.__required_keys__ <= names <= kind.__required_keys__ | kind.__optional_keys__


def test_optional_keys_are_those_that_were_asked_for() -> None:
    a = ss.matrix(np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)).native
    assert {"u", "vt", "quadrature"} <= set(krylov(a, vectors=True, density=True))
    assert not {"u", "vt", "quadrature"} & set(krylov(a, vectors=False, density=False))
