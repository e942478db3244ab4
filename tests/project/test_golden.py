# SPDX-License-Identifier: BSD-3-Clause
"""Digests of results: they see every bit, and nothing that may differ from run to run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.golden import digest_of

import sigmascope as ss


def test_a_digest_sees_the_last_bit_of_every_array_and_number() -> None:
    values = np.array([1.0, 2.0])
    changed = np.nextafter(values, 3)
    assert digest_of(values) == digest_of(values.copy())
    assert digest_of(values) != digest_of(changed)
    assert digest_of(0.0) != digest_of(-0.0)
    assert digest_of({"a": [values, 1]}) != digest_of({"a": [values, 2]})
    assert digest_of(values) != digest_of(values[:, None])


def test_a_digest_of_a_result_does_not_see_how_long_it_took() -> None:
    result = ss.svds(np.diag([3.0, 2.0, 1.0]), 2)
    assert digest_of(result) == digest_of(replace(result, seconds=1e9, num_threads=7))
    assert digest_of(result) != digest_of(replace(result, passes=result.passes + 1))
