# SPDX-License-Identifier: BSD-3-Clause
"""Public names: few at the front door, each in one place, and found where they are not."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.public_names import MODULES, PLACES, PUBLIC
from tests.support.sources import imports_of

import sigmascope as ss

ON_DEMAND = {"adapters", "bench", "diagnosis", "extension", "provenance", "results"}
ON_DEMAND |= {"series", "sklearn", "streaming"}


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


def test_docstrings_of_public_names_fit_two_screens() -> None:
    """More lines belong on a page of the guide."""
    lines = {name: len((getdoc(call) or "").splitlines()) for name, call in PUBLIC.items()}
    assert not {name: count for name, count in lines.items() if count > 80}
    assert sum(lines.values()) > 500


@pytest.mark.parametrize("name", ["no_such_name", "_private", "__wrapped__"])
def test_an_error_of_an_unknown_name_says_nothing_else(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'sigmascope' has no attribute '{name}'$"):
        getattr(ss, name)


def test_public_packages_are_attributes() -> None:
    """They are listed before they are imported, and imported at their first use."""
    assert set(dir(ss)) >= {*ss.__all__, *ON_DEMAND, "errors"}
    code = """
import sys
import sigmascope as ss
print(*sorted(name for name in sys.modules if name.startswith("sigmascope.")))
print("numpy" in sys.modules)
print(ss.streaming.Sketch.__name__, ss.diagnosis.diagnose.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, numpy, last = done.stdout.splitlines()
    names = "_core _host _host.interrupts _host.native errors"
    assert modules.split() == [f"sigmascope.{name}" for name in names.split()]
    assert numpy == "False"
    assert last == "Sketch diagnose"


def test_numbers_need_no_folder_that_shows_them() -> None:
    """A wheel without these folders computes, compares and saves."""
    code = """
import sys
for folder in "_display report cli bench diagnosis formats sklearn".split():
    sys.modules[f"sigmascope.{folder}"] = None  # an import of it fails
import numpy as np
import sigmascope as ss
from sigmascope import *
A = np.random.default_rng(0).standard_normal((60, 40))
results = ss.svds(A, 3), ss.svdvals(A), ss.spectrum(A), ss.spectral_density(A), ss.moments(A)
assert all(result._repr_html_() for result in results if hasattr(result, "_repr_html_"))
pair = {"w": A}, {"w": A + 1}
ss.scan(pair[0]).save("scan.jsonl")
print(ss.compare(*pair).rows[0]["status"])
"""
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "analysed\n"


def test_type_checkers_see_the_names_that_are_imported_on_demand() -> None:
    """The imports for type checkers and the table of modules name the same."""
    seen = {
        alias.name: node.module
        for node, deferred in imports_of(Path(ss.__file__))
        if deferred and isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != "sigmascope"
    }
    assert seen == {name: f"sigmascope.{home}" for name, home in ss._HOMES.items()}
    assert seen.keys() == set(ss.__all__)


def test_an_unknown_name_imports_no_optional_package() -> None:
    """The command line of an installation without extras asks for modules of the package."""
    code = """
import sys
for name in ("sklearn", "scipy", "torch", "cupy", "matplotlib", "pandas"):
    sys.modules[name] = None  # as if it were not installed
import sigmascope as ss
try:
    ss.no_such_name
except AttributeError:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
