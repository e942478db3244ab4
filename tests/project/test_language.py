# SPDX-License-Identifier: BSD-3-Clause
"""Words of the code: docstrings, retired identifiers, and the terms of docs/glossary.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.sources import CPP, CUDA, sources, text_of, tree_of

ROOT = Path(__file__).parents[2]
NATIVE = (".cpp", ".hpp", ".cu", ".cuh")
PACKAGE = ROOT / "python" / "sigmascope"
GLOSSARY = ROOT / "docs" / "glossary.md"

FRAGMENTS = ("What", "How", "Of")
"""First words of sentences that are fragments: the subject or the noun is missing."""

VAGUE = ("asked", "found", "told")
"""Words that do not name what a variable holds."""

RETIRED = {
    "apart": "distance, difference, gap or stride",
    "begun": "started or initial",
    "beside": "plus, remainder, concurrently or sibling",
    "turned": "transposed or packed",
}
"""Words that no identifier has, since each had several meanings, and the terms to use instead."""


class Place(NamedTuple):
    """A line of a source file, and the text at fault."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.text}"


def python_files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".pyi"})


def scripts() -> list[Path]:
    return sorted(p for name in ("tests", "benchmarks") for p in (ROOT / name).rglob("*.py"))


def listed(places: list[Place]) -> str:
    return f"{len(places)} places:\n" + "\n".join(map(str, places))


# -------------------------------------------------------------------------------- docstrings


def docstrings(path: Path, tree: ast.Module) -> Iterator[Place]:
    """Yield the docstrings of modules, classes and functions, and strings after assignments."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for before, statement in zip([None, *node.body], node.body, strict=False):
            value = statement.value if isinstance(statement, ast.Expr) else None
            text = value.value if isinstance(value, ast.Constant) else None
            if isinstance(text, str) and (
                before is None or isinstance(before, ast.Assign | ast.AnnAssign)
            ):
                yield Place(path, statement.lineno, text.strip().partition("\n")[0])


FRAGMENT = re.compile(rf"[\"'](?:\s|\\n|\\)*(?:{'|'.join(FRAGMENTS)})\b")
"""The start of any string that could be one."""


def is_fragment(text: str) -> bool:
    return re.match(rf"(?:{'|'.join(FRAGMENTS)})\b", text) is not None


def test_docstrings_are_not_fragments() -> None:
    faults = [
        place
        for path in [*python_files(), *scripts()]
        if FRAGMENT.search(text_of(path))  # most are not parsed
        for place in docstrings(path, tree_of(path))
        if is_fragment(place.text)
    ]
    assert not faults, f"begin with a verb or a noun, not with {FRAGMENTS}: {listed(faults)}"


def test_comments_of_cpp_files_are_not_fragments() -> None:
    faults = []
    for path in sources(CPP, *NATIVE) + sources(CUDA, *NATIVE):
        second = path.read_text(encoding="utf-8").splitlines()[1]
        if second.startswith("//") and is_fragment(second.removeprefix("//").strip()):
            faults.append(Place(path, 2, second))
    assert not faults, f"begin with a noun, not with {FRAGMENTS}: {listed(faults)}"


# ------------------------------------------------------------------------------- identifiers


def identifiers(path: Path, tree: ast.Module) -> Iterator[Place]:
    """Yield the names of functions, classes, parameters and attributes where they are defined."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield Place(path, node.lineno, node.name)
        elif isinstance(node, ast.arg):
            yield Place(path, node.lineno, node.arg)
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                for name in assigned(statement, ast.Name):
                    yield Place(path, statement.lineno, name)
        else:
            for name in assigned(node, ast.Attribute):
                yield Place(path, getattr(node, "lineno", 0), name)


def assigned(node: ast.AST, kind: type[ast.Name] | type[ast.Attribute]) -> Iterator[str]:
    """Yield the names or the attributes that an assignment binds."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        for part in ast.walk(target):
            if isinstance(part, kind) and isinstance(part.ctx, ast.Store):
                yield part.id if isinstance(part, ast.Name) else part.attr


def words_of(name: str) -> set[str]:
    """Return the words of an identifier, snake_case or CamelCase."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_retired_words_are_in_no_identifier() -> None:
    retired = re.compile("|".join(RETIRED), re.IGNORECASE)
    faults = [
        Place(place.path, place.line, f"{place.text} ({word}: write {RETIRED[word]})")
        for path in python_files()
        if retired.search(text_of(path))  # no other file is parsed
        for place in identifiers(path, tree_of(path))
        for word in sorted(words_of(place.text) & RETIRED.keys())
    ]
    assert not faults, listed(faults)


def vague_variables(path: Path, tree: ast.Module) -> Iterator[Place]:
    """Yield variables and parameters that say how their values came to be there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE:
            yield Place(path, node.lineno, node.id)
        elif isinstance(node, ast.arg) and node.arg in VAGUE:
            yield Place(path, node.lineno, node.arg)


def test_variables_are_named_after_things() -> None:
    files = [*sources(PACKAGE, ".py"), *scripts()]
    places = [place for path in files for place in vague_variables(path, tree_of(path))]
    assert not places, f"say what it is: {listed(places)}"


# ---------------------------------------------------------------------------- what is checked


def of_source(find: Callable[[Path, ast.Module], Iterator[Place]], source: str) -> list[str]:
    return [place.text for place in find(PACKAGE / "x.py", ast.parse(source))]


def test_every_kind_of_docstring_is_seen() -> None:
    source = '''
"""Module."""
X = 1
"""Constant."""
print("no docstring")
"""Stray."""
class A:
    """Class."""
    y: int = 0
    """
    Attribute.
    """
    async def f(self):
        """Method."""
        def g():
            """Inner."""
'''
    assert sorted(of_source(docstrings, source)) == sorted(
        ["Module.", "Constant.", "Class.", "Attribute.", "Method.", "Inner."]
    )
    assert all(map(is_fragment, ("Of both.", "What it is", "How")))
    assert not any(map(is_fragment, ("Offset", "However small", "A", "")))


def test_every_kind_of_identifier_is_seen() -> None:
    source = """
class CamelCase:
    attribute: int
    constant = 1
    def method(self, parameter, *args, keyword=1, **options):
        self.member, self.other = local = 0, 1
        return lambda inner: inner
"""
    assert set(of_source(identifiers, source)) == {
        *("CamelCase", "attribute", "constant", "method", "self", "parameter", "args"),
        *("keyword", "options", "member", "other", "inner"),
    }
    assert words_of("_TurnedBESIDE_apart2") == {"turned", "beside", "apart"}


def test_every_kind_of_variable_is_seen() -> None:
    source = """
def f(found, *, told=1):
    while (found := told):
        for found, other in []:
            x.found = found
"""
    assert of_source(vague_variables, source).count("found") == 3
    assert of_source(vague_variables, source).count("told") == 1


# ---------------------------------------------------------------------------------- glossary


class Term(NamedTuple):
    """A row of the glossary."""

    term: str
    identifier: str
    place: str
    meaning: str


def terms() -> list[Term]:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in GLOSSARY.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| term |")
    ]
    return [Term(row[0], row[1].strip("`"), row[2], row[3]) for row in rows]


def exists_in_cpp(identifier: str, folder: Path) -> bool:
    texts = (p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file())
    return any(re.search(rf"\b{re.escape(identifier)}\b", text) for text in texts)


def exists_in_python(identifier: str, module: str) -> bool:
    """Return whether a name, an attribute of a class, or a parameter of a function exists."""
    match = re.fullmatch(r"(\w+)(?:\.(\w+)|\((\w+)\))?", identifier)
    assert match, f"{identifier} is neither a name, nor Class.attribute, nor function(parameter)"
    name, attribute, parameter = match.groups()
    owner = getattr(importlib.import_module(module), name, None)
    if owner is None:
        return False
    if parameter is not None:
        return parameter in inspect.signature(owner).parameters
    if attribute is None or hasattr(owner, attribute):
        return True
    bound = rf"(?:self\.|^\s+){attribute}\b[^=\n]*="  # in a method of the class
    return re.search(bound, inspect.getsource(owner), re.MULTILINE) is not None


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.term)
def test_identifiers_of_the_glossary_exist(term: Term) -> None:
    if term.place.startswith("cpp/"):
        assert exists_in_cpp(term.identifier, ROOT / term.place)
    else:
        assert exists_in_python(term.identifier, term.place), term


def test_an_unknown_identifier_is_found() -> None:
    assert not exists_in_python("SVD.resduals", "sigmascope")
    assert not exists_in_python("svds(tolerance)", "sigmascope")
    assert not exists_in_python("Svd", "sigmascope")
    assert not exists_in_python("Sketch.colums", "sigmascope")
    assert not exists_in_cpp("Pannel", CPP / "matrix")


def test_terms_and_identifiers_are_unique() -> None:
    """Each idea has one word, and each word one idea."""
    for column in ("term", "identifier"):
        counts = Counter(getattr(term, column) for term in terms())
        assert not [name for name, count in counts.items() if count > 1], column


def test_every_term_has_a_meaning_of_one_line() -> None:
    for term in terms():
        assert term.meaning, term
        assert not is_fragment(term.meaning), term
