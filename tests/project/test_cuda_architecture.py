# SPDX-License-Identifier: BSD-3-Clause
"""The folders of `cuda/`: arrows between them go one way, and none leads to the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.support.sources import CPP, CUDA, ROOT, sources

NATIVE = (".cpp", ".hpp", ".cu", ".cuh")
SIMULATOR = ROOT / "tests" / "cuda" / "simulator"


class Room(NamedTuple):
    may: str = ""
    """Folders of `cuda/` that it may use, besides itself."""
    engine: str = ""
    """Folders of `cpp/` that it may use."""
    outside: str = ""
    """Libraries that it may use, besides the std and the runtime of CUDA."""


CUDA_ROOMS = {
    "runtime": Room(),
    "kernels": Room("runtime", engine="kernels/blocks kernels/simd matrix"),
    "memory": Room("runtime kernels", engine="kernels/blocks matrix storage"),
    "libraries": Room("runtime", outside="dlfcn.h"),
    "panels": Room("kernels memory", engine="kernels/blocks matrix"),
    "backend": Room(
        "runtime kernels memory libraries panels",
        engine="kernels/blocks kernels/eigenvalues kernels/elements matrix",
    ),
    "bindings": Room(
        "runtime memory libraries panels backend",
        engine="algorithms bindings",
        outside="pybind11 unistd.h",
    ),
}
"""The folders of the CUDA sources, each after those that it may use."""

ARROWS_PER_FOLDER = 3
"""Largest mean of arrows between the folders."""

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
SIMULATED = re.compile(r"defined\(SIGMASCOPE_SIMULATED\)")


class Include(NamedTuple):
    header: str
    quoted: bool
    simulated: bool
    """Read only where SIGMASCOPE_SIMULATED is defined."""


def includes_of(text: str) -> Iterator[Include]:
    """Give the includes of a source, each with the conditions that it is under."""
    conditions: list[str] = []
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b(.*)", line)
        if directive:
            word, rest = directive[1], directive[2]
            if word in ("elif", "else", "endif"):
                conditions.pop()
            if word != "endif":
                conditions.append(rest if word in ("if", "elif") else "")
        elif result := INCLUDE.match(line):
            simulated = any(re.fullmatch(rf"\s*{SIMULATED.pattern}", each) for each in conditions)
            yield Include(result[1] or result[2], bool(result[1]), simulated)


def files() -> Iterator[tuple[str, str, list[Include]]]:
    """Give the sources of the folders: the folder, the name and the includes of each."""
    for path in sources(CUDA, *NATIVE):
        room, _, name = path.relative_to(CUDA).as_posix().rpartition("/")
        yield room, name, list(includes_of(path.read_text(encoding="utf-8")))


def room_of(header: str) -> str:
    return header.rpartition("/")[0]


def test_every_file_lies_in_a_folder_of_the_table() -> None:
    assert {room for room, _, _ in files()} == set(CUDA_ROOMS)


def test_rooms_use_those_before_them() -> None:
    """No arrow goes up, so that there is no circle."""
    before: set[str] = set()
    for name, room in CUDA_ROOMS.items():
        assert set(room.may.split()) <= before, f"{name} uses a folder after it"
        before.add(name)


def test_cuda_file_includes_only_what_its_room_may_use() -> None:
    for home, name, includes in files():
        for each in includes:
            check_include(home, name, each)


def check_include(home: str, name: str, include: Include) -> None:
    """Check one include of a file against the table of its folder."""
    header, room, where = include.header, CUDA_ROOMS[home], f"cuda/{home}/{name}"
    if not include.quoted:
        always = "." not in header or header.startswith("cuda_runtime")
        assert always or header.partition("/")[0] in room.outside.split(), (
            f"{where} may not include <{header}>"
        )
    elif (CUDA / header).is_file():
        assert room_of(header) in {home, *room.may.split()}, f"{where} may not include {header}"
    elif (CPP / header).is_file():
        assert room_of(header) in room.engine.split(), f"{where} may not include {header}"
    else:
        assert header.startswith("simulator/"), (
            f"{where}: {header} is not a path below cuda/ or cpp/"
        )


def test_every_arrow_of_the_table_is_used_and_there_are_few() -> None:
    used: dict[str, set[str]] = {name: set() for name in CUDA_ROOMS}
    engine: dict[str, set[str]] = {name: set() for name in CUDA_ROOMS}
    for home, _, includes in files():
        for header in (each.header for each in includes if each.quoted):
            if (CUDA / header).is_file():
                used[home].add(room_of(header))
            else:
                engine[home].add(room_of(header))
    for name, room in CUDA_ROOMS.items():
        idle = set(room.may.split()) - used[name] | set(room.engine.split()) - engine[name]
        assert not idle, f"{name} does not use {', '.join(sorted(idle))}"
    arrows = sum(len(rooms - {name}) for name, rooms in used.items())
    print(f"{len(CUDA_ROOMS)} folders, {arrows} arrows")
    assert arrows <= ARROWS_PER_FOLDER * len(CUDA_ROOMS)


def test_no_header_has_one_path_in_two_folders_of_the_include_path() -> None:
    """An include means the same file whichever of `cuda/` and `cpp/` comes first."""
    headers = [
        {path.relative_to(folder) for path in sources(folder, ".hpp", ".cuh")}
        for folder in (CUDA, CPP, SIMULATOR.parent)
    ]
    assert not headers[0] & headers[1]
    assert not (headers[0] | headers[1]) & headers[2]


def test_the_simulator_is_included_only_where_it_is_built() -> None:
    seen = 0
    for home, name, includes in files():
        for each in includes:
            if each.header.startswith("simulator/"):
                assert each.simulated, f"cuda/{home}/{name}: {each.header}"
                assert (SIMULATOR.parent / each.header).is_file()
                seen += 1
    assert seen > 0
    for path in sources(CPP, ".cpp", ".hpp"):
        assert '#include "simulator/' not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    ("text", "simulated"),
    [
        ("#if defined(SIGMASCOPE_SIMULATED)\n{}#endif\n", True),
        ("#if defined(__CUDACC__)\n#elif defined(SIGMASCOPE_SIMULATED)\n{}#endif\n", True),
        ("#if defined(SIGMASCOPE_SIMULATED)\n#if 1\n{}#endif\n#endif\n", True),
        ("#if defined(SIGMASCOPE_SIMULATED)\n#else\n{}#endif\n", False),
        ("#if !defined(SIGMASCOPE_SIMULATED)\n{}#endif\n", False),
        ("#if defined(SIGMASCOPE_SIMULATED)\n#endif\n{}", False),
    ],
)
def test_conditions_of_an_include_are_read(text: str, *, simulated: bool) -> None:
    (result,) = includes_of(text.format('#include "simulator/runtime.hpp"\n'))
    assert result == ("simulator/runtime.hpp", True, simulated)
