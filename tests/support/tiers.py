# SPDX-License-Identifier: BSD-3-Clause
"""Cases of a test of which some are in a tier that runs more often than that of the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest
from tests.support.cuda_builds import PLAIN, Build


def short(names: Collection[str], cases: Mapping[str, Any] | Iterable[str]) -> list[Any]:
    """Return parameters, by their names, of which all but those named are marked `slow`.

    A tuple or a list holds the values of several arguments.

    >>> @pytest.mark.parametrize("family", short(["flat"], {"flat": flat, "steep": steep}))
    ... def test_any_family(family): ...
    """
    named = dict(cases) if isinstance(cases, Mapping) else {name: name for name in cases}
    assert set(names) <= named.keys(), "a name of no case"
    return [
        pytest.param(
            *(value if isinstance(value, tuple | list) else (value,)),
            id=name,
            marks=() if name in names else pytest.mark.slow,
        )
        for name, value in named.items()
    ]


def parametrize_builds(*builds: Build) -> pytest.MarkDecorator:
    """Run a test with each build of a program; those with sanitizers take minutes: every night."""
    return pytest.mark.parametrize(
        "build",
        [
            pytest.param(build, id=build.name, marks=[pytest.mark.nightly] * (build is not PLAIN))
            for build in builds
        ],
    )
