# SPDX-License-Identifier: BSD-3-Clause
"""Pages of the documentation site: examples run, every public name and measure is described."""

from __future__ import annotations

import doctest
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from docs.extensions import docstrings, measures, notebooks, pages
from tests.support.measures import explained, of_scans
from tests.support.public_names import PLACES
from tests.support.sources import PAGES, ROOT, each_page, text_of

import sigmascope.sklearn

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))


def test_examples_of_the_tour_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = "".join(re.findall(r"^```pycon\n(.*?)^```", text_of(DOCS / "tour.md"), re.M | re.S))
    test = doctest.DocTestParser().get_doctest(examples, {}, "tour.md", "tour.md", 0)
    assert len(test.examples) > 30
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path) -> None:
    text = notebooks.executed(f"notebooks/{path.stem}", text_of(path))
    assert text.count("```text\n") >= 2
    assert text.count('<img class="figure"') == 1


def test_a_cell_that_fails_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"x\.md, cell at line 3: ZeroDivisionError"):
        notebooks.executed("x", "\n```python\n1 / 0\n```\n")


def test_the_reference_has_every_public_name_once() -> None:
    described = Counter(
        f"{module}.{name}"
        for path in (DOCS / "reference").glob("*.rst")
        for module, names in re.findall(
            r"currentmodule:: (\S+)\n(.*?)(?=\.\. currentmodule|\Z)", text_of(path), re.DOTALL
        )
        for name in re.findall(r"^\.\. auto\w+:: (\w+)", names, re.MULTILINE)
        if "._" not in module
    )
    public = [f"{module}.{name}" for name, module in PLACES.items()]
    public += [f"sigmascope.sklearn.{name}" for name in sigmascope.sklearn.__all__]
    assert described == Counter(public)


def test_every_measure_has_formula_range_and_cost() -> None:
    defined = measures.definitions()
    for name in (explained() | of_scans()) - {"abs_max"}:  # an entry, not a measure of a spectrum
        cells = defined[name].cells
        assert all(cells[column] for column in ("formula", "range", "cost")), name
        assert defined[name].efforts, name
    text = measures.sections()
    assert text.count("\n### `") >= len(explained())
    assert "### `mp_outliers`" in text
    assert ":formula: #{σ > mp_edge}" in text
    assert ":source: Johnstone 2001" in text


def test_a_note_belongs_to_all_measures_that_it_names() -> None:
    defined = measures.definitions()
    assert defined["shoulder_200"].note == defined["shoulder_400"].note != ""
    assert defined["concentration_k"].note.startswith('"A few dominant singular values"')
    assert defined["mp_edge"].note == defined["mp_softrank"].note != defined["alpha"].note


def test_links_to_the_sources_become_names_of_files() -> None:
    text = "[how](../python/x/chances.py), [roles](roles.md) and [it](../CONTRIBUTING.md)"
    assert pages.prepared("streaming", text) == (
        "how (`python/x/chances.py` in the repository), [roles](roles.md) and "
        "it (`CONTRIBUTING.md` in the repository)"
    )


def test_signs_of_docstrings_are_escaped() -> None:
    assert doctest.testmod(docstrings).failed == 0
    lines = docstrings.escaped(["x_ : array", "    ||A||_F, ``a|b``", "    a `c|d` *.mlp.*"])
    assert lines == ["x_ : array", r"    \|\|A\|\|_F, ``a|b``", r"    a `c|d` \*.mlp.\*"]
    assert docstrings.escaped(["see docs/roles.md"]) == ["see :doc:`/roles`"]


@each_page
def test_pages_of_the_site_are_in_its_contents(path: Path) -> None:
    """A page that no table of contents names cannot be found by readers."""
    if DOCS not in path.parents or path == DOCS / "index.md":
        return
    named = {
        (page.parent / entry).resolve()
        for page in PAGES
        for block in re.findall(r"^```{toctree}\n(.*?)^```", text_of(page), re.M | re.S)
        for entry in block.split()
    }
    assert path.with_suffix("") in named


def test_the_citation_has_the_version_of_the_package() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    cited = dict(re.findall(r"^(\w+): (.+)$", text_of(ROOT / "CITATION.cff"), re.MULTILINE))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert f"version = {{{project['version']}}}" in text_of(DOCS / "citing.md")


def test_the_readme_begins_with_the_picture_of_the_report() -> None:
    readme = text_of(ROOT / "README.md")
    assert readme.index("](docs/report.png)") < readme.index("## Two commands")
