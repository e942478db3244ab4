# SPDX-License-Identifier: BSD-3-Clause
"""Docstrings of the public functions: each has an example, which runs, and names related ones."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest
from tests.support.public_names import PUBLIC

FUNCTIONS = {name for name, what in PUBLIC.items() if inspect.isfunction(what)}
ACCUMULATORS = {"GramAccumulator", "MomentsAccumulator", "Sketch"}
FLAGS = doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(recurse=inspect.isclass(PUBLIC[name]))
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    said: list[str] = []
    for test in finder.find(PUBLIC[name], name, globs={}):
        runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("name", sorted(FUNCTIONS | ACCUMULATORS))
def test_functions_have_an_example_and_related_names(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert re.search(r"^Examples\n-+\n(?:.+\n\n)?>>> ", text, re.MULTILINE)
    related = re.search(r"^See Also\n-+\n((?:\S.*\n?)+)", text, re.MULTILINE)
    assert related is not None
    for line in related[1].strip().splitlines():
        names, described, _ = line.partition(" : ")
        assert described, line
        assert set(names.split(", ")) <= PUBLIC.keys() - {name}, line
