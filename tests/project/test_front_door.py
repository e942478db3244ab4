# SPDX-License-Identifier: BSD-3-Clause
"""Public names: few at the front door, each in one place, and found where they are not."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from tests.support.public_names import MODULES, PLACES

import sigmascope as ss

ON_DEMAND = {"adapters", "bench", "diagnosis", "series", "sklearn", "streaming"}


def test_the_front_door_has_few_names() -> None:
    assert len(ss.__all__) <= 34


def test_every_public_name_is_in_one_place() -> None:
    assert len(PLACES) == sum(len(import_module(module).__all__) for module in MODULES)


@pytest.mark.parametrize("name", sorted(PLACES.keys() - set(ss.__all__)))
def test_an_error_says_where_a_name_is(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(ss, name)
    expected = f"module 'sigmascope' has no attribute '{name}': it is {PLACES[name]}.{name}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", ["no_such_name", "_private", "__wrapped__"])
def test_an_error_of_an_unknown_name_says_nothing_else(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'sigmascope' has no attribute '{name}'$"):
        getattr(ss, name)


def test_public_packages_are_attributes() -> None:
    """They are listed before they are imported, and imported at their first use."""
    assert set(dir(ss)) >= {*ss.__all__, *ON_DEMAND, "errors", "results"}
    code = """
import sys
import sigmascope as ss
first = sorted(name for name in sys.modules if name.startswith("sigmascope."))
for name in ("bench", "diagnosis", "sklearn", "streaming"):
    print(name, f"sigmascope.{name}" in first)
print(ss.streaming.Sketch.__name__, ss.diagnosis.diagnose.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *early, last = done.stdout.splitlines()
    assert early == ["bench False", "diagnosis False", "sklearn False", "streaming False"]
    assert last == "Sketch diagnose"
