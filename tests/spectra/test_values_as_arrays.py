# SPDX-License-Identifier: BSD-3-Clause
"""Singular values in place of arrays: arithmetic, ufuncs, attributes, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.support import known_spectra

import sigmascope as ss
from sigmascope.results import SingularValues


@pytest.fixture(scope="module")
def values() -> SingularValues:
    return ss.svdvals(known_spectra.exponential(30, 12)[0])


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "divided": lambda s: s / s[0],
    "squared": lambda s: s**2,
    "from the left": lambda s: 1.0 - s,
    "with an array": lambda s: np.arange(12.0) * s,
    "negative": lambda s: -s,
    "product": lambda s: s @ s,
    "compared": lambda s: s > 0.1,
    "equal": lambda s: s == s,
    "ufunc": np.log,
    "reduced": np.add.reduce,
    "sum": lambda s: s.sum(),
    "cumulative": np.cumsum,
    "shape": lambda s: (*s.shape, s.ndim, s.size, s.itemsize),
    "largest": lambda s: (s.max(), s.argmax(), max(s)),
    "selected": lambda s: s[s > 0.1],
    "norm": np.linalg.norm,
    "joined": lambda s: np.concatenate([s, s]),
    "diagonal": np.diag,
    "list": list,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_the_array(name: str, values: SingularValues) -> None:
    mine, wanted = OPERATIONS[name](values), OPERATIONS[name](values.values)
    assert type(mine) is type(wanted)
    assert_array_equal(mine, wanted)


def test_a_stack_is_an_array_too() -> None:
    A = known_spectra.exponential(20, 8)[0]
    result = ss.svdvals(np.stack([A, 2 * A, A.astype(np.float32)]))
    assert_array_equal(result / result.values[0, 0], result.values / result.values[0, 0])
    assert_array_equal(np.log(result), np.log(result.values))
    assert result.shape == (3,)  # the axes of the stack


def test_names_that_no_array_has_are_not_attributes(values: SingularValues) -> None:
    with pytest.raises(AttributeError, match="'SingularValues' object has no attribute 'sigma'"):
        values.sigma  # noqa: B018
    assert not hasattr(values, "__cuda_array_interface__")
    assert {"values", "errors", "sum", "shape"} <= set(dir(values))


def test_an_array_as_output_takes_values(values: SingularValues) -> None:
    out = np.empty(12)
    assert np.sqrt(values, out=out) is out
    assert_array_equal(out, np.sqrt(values.values))


def test_results_are_copied_and_pickled(values: SingularValues) -> None:
    A = known_spectra.exponential(30, 12)[0]
    for result in (values, ss.svds(A, 3), ss.spectrum(A), ss.spectral_density(A), ss.moments(A)):
        for again in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
            assert type(again) is type(result)
            assert repr(again) == repr(result)
