# SPDX-License-Identifier: BSD-3-Clause
"""Files, links, commands, options and arguments that comments and pages name are there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import commands
from tests.support.public_names import PUBLIC
from tests.support.sources import (
    FOLDERS,
    PAGES,
    ROOT,
    SOURCES,
    docstrings,
    each_page,
    line_of,
    name_of,
    text_of,
)

import sigmascope as ss

# ------------------------------------------------------------------------- files, links, names

FILE = re.compile(
    r"(?<![\w./\-{<*:])((?:[\w.-]+/)*\w[\w-]*\.(?:py|pyi|hpp|cpp|md|js|css))(?![\w/(])"
)

OUTSIDE = {
    "llama.cpp": "a project",
    "matrix.py": "of others",
}


@cache
def files() -> set[str]:
    faults = [*SOURCES, *PAGES, *(p for f in FOLDERS for p in (ROOT / f).rglob("*.json"))]
    faults += [ROOT / name for name in ("pyproject.toml", "CMakeLists.txt", ".ci/run")]
    return {name_of(path) for path in faults}


def leads_to_a_file(name: str, beside: Path) -> bool:
    """A path from the root, from the page, from its results, or the end of one."""
    starts = (beside.parent, beside.parent / "results")
    if name in files() or any((start / name).exists() for start in starts):
        return True
    return any(path.endswith(f"/{name}") for path in files())


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and docstrings, or a page's text."""
    text = text_of(path)
    if path.suffix == ".md":
        yield 1, text
    elif path.suffix in (".py", ".pyi"):
        yield from docstrings(path)
        yield from ((i, s) for i, line in enumerate(text.split("\n"), 1) for s in comment(line))
    elif path.suffix in (".cpp", ".hpp", ".cu", ".cuh"):
        yield from (
            (line_of(text, result.start()), result[0])
            for result in re.finditer(r"//[^\n]*|/\*.*?\*/", text, re.DOTALL)
        )


def comment(line: str) -> list[str]:
    return re.findall(r"(?:^|\s)#(?!:)\s(.*)", line)


def by_room(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by the folder and the room that they are in."""
    rooms: dict[str, list[Path]] = {}
    for path in paths:
        rooms.setdefault("/".join(path.relative_to(ROOT).parts[:-1][:3]) or ".", []).append(path)
    return rooms


OWN = [path for path in SOURCES if path.parent.name != "peers"]  # which names files of others
ROOMS = by_room([*OWN, *PAGES])


@pytest.mark.parametrize("room", ROOMS)
def test_files_that_are_named_are_there(room: str) -> None:
    for path in ROOMS[room]:
        if FILE.search(text_of(path)) is None:  # most are not parsed
            continue
        for line, text in prose(path):
            for result in FILE.finditer(text):
                where = f"{name_of(path)}:{line + text.count(chr(10), 0, result.start())}"
                known = result[1] in OUTSIDE or leads_to_a_file(result[1], path)
                assert known, f"{where}: no file {result[1]}"


LINK = re.compile(r"\]\(([^()\s]+)\)")


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    results: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", without_blocks(text_of(path)), re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = results[name] = results.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def without_blocks(text: str) -> str:
    """A page without its fenced code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@each_page
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(text_of(path)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), f"{name_of(path)}: {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(path)}: no heading {target}"


CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@cache
def words() -> set[str]:
    """Every word of the sources and of the settings."""
    result = {path.stem for path in SOURCES} | PUBLIC.keys()
    result.update(re.findall(r"\w+", text_of(ROOT / "pyproject.toml")))
    for path in SOURCES:
        if path != Path(__file__):
            result.update(re.findall(r"\w+", text_of(path)))
    return result


@cache
def all_words() -> str:
    """The words of the sources, in lines: a part of a word is a part of this."""
    return "\n".join(words())


def argument_names(text: str) -> set[str]:
    """Return the placeholders of arguments in a command, such as BEFORE."""
    return {word for line in command_lines(text) for word in line.split() if word.isupper()}


@each_page
def test_names_in_code_are_those_of_the_sources(path: Path) -> None:
    """Identifiers in backticks; of `X_…` and `_99`, beginnings and ends of names, the rest."""
    text = without_blocks(text_of(path))
    for code in CODE.findall(text):
        if re.fullmatch(r"[A-Za-z_][\w.]*(\([^)]*\))?", code) is None or FILE.fullmatch(code):
            continue
        for name in re.split(r"\.", code.partition("(")[0]):
            if not name or name in words() or name in argument_names(text):
                continue
            assert name.removesuffix("X") in all_words(), f"{name_of(path)}: no {code}"


# ------------------------------------------------------------------------- commands and calls

COMMANDS = commands()
OTHERS = {"--benchmark-autosave", "--benchmark-compare", "--no-build-isolation", "--no-deps"}


def options_of(command: Any) -> set[str]:
    return {name for param in command.params for name in param.opts} | {"-h", "--help"}


COMMAND = re.compile(r"(?:\$ )?(?:\w+=\S+ )*((?:python -m )?sigmascope [a-z-].*)")


def command_lines(text: str) -> Iterator[str]:
    """Give the commands that a reader may type: in blocks of code, and in backticks."""
    joined = re.sub(r"\\\n\s*", " ", text)
    fenced = False
    for line in joined.split("\n"):
        fenced ^= line.startswith("```")
        result = COMMAND.match(line.strip())
        if result and (fenced or line.startswith("    ")):
            yield result[1].partition("  #")[0]
    yield from (code for code in CODE.findall(joined) if re.match(r"sigmascope [a-z-]", code))


@each_page
def test_commands_have_their_options(path: Path) -> None:
    for line in command_lines(text_of(path)):
        for part in re.split(r"\s+(?:&&|\|)\s+", line):
            typed = part.removeprefix("python -m ").split()
            if typed[0] != "sigmascope":
                continue
            where = f"{name_of(path)}: {line}"
            if typed[1].startswith("-"):
                continue
            assert typed[1] in COMMANDS, where
            used = {word.partition("=")[0] for word in typed if re.match(r"--?[a-zA-Z]", word)}
            assert used <= options_of(COMMANDS[typed[1]]), where


@cache
def other_commands() -> str:
    """The text of the commands outside the package."""
    commands = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    commands += (ROOT / "tests" / "campaign").glob("*.py")
    commands += (ROOT / "tests" / "probabilities").glob("*.py")
    return "\n".join(map(text_of, commands))


@each_page
def test_options_in_code_are_those_of_a_command(path: Path) -> None:
    ours = set().union(*(options_of(command) for command in COMMANDS.values())) | {
        "--version",
        "--install-completion",
    }
    for code in CODE.findall(text_of(path)):
        if re.match(r"--[a-z]", code):
            option = re.match(r"--[\w-]+", code)
            assert option is not None
            known = option[0] in ours | OTHERS or option[0] in other_commands()
            assert known, f"{name_of(path)}: {code}"


def test_what_is_not_there_is_found() -> None:
    page = ROOT / "docs" / "roles.md"
    assert leads_to_a_file("matrix/panel.hpp", page)
    assert leads_to_a_file("streaming.md", page)
    assert not leads_to_a_file("matrix/panels.hpp", page)
    assert FILE.findall("see `docs/nowhere.md`, (cpp/kernels/none.hpp) and x.py.") == [
        "docs/nowhere.md",
        "cpp/kernels/none.hpp",
        "x.py",
    ]
    assert "three-ideas-that-keep-it-small" in anchors(ROOT / "docs" / "architecture.md")
    assert list(command_lines("sigmascope is\n    sigmascope scan x --fast  # soon\n")) == [
        "sigmascope scan x --fast"
    ]
    assert "--fast" not in options_of(COMMANDS["scan"])
    assert "effective_rank" in words()
    assert "not_a_name_of_ours"[::-1] not in words()


def test_help_names_every_command_and_option_once() -> None:
    assert {"info", "scan", "compare", "merge", "trajectory", "reference", "bench"} <= {*COMMANDS}
    for name, command in COMMANDS.items():
        shown = [option for param in command.params for option in param.opts]
        assert len(shown) == len(set(shown)), name


def calls(path: Path) -> Iterator[ast.Call]:
    """Calls of ours in a page's blocks of Python."""
    for block in re.findall(r"^```python\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call):
                yield node


@each_page
def test_calls_on_pages_have_their_arguments(path: Path) -> None:
    for call in calls(path):
        if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
            continue
        if call.func.value.id not in ("ss", "sigmascope"):
            continue
        function = getattr(ss, call.func.attr)
        parameters = inspect.signature(function).parameters
        for keyword in call.keywords:
            known = keyword.arg is None or keyword.arg in parameters
            assert known, f"{name_of(path)}: {ast.unparse(call)}"
