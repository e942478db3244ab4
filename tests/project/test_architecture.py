# SPDX-License-Identifier: BSD-3-Clause
"""The arrows of docs/architecture.md, held against the includes and imports as they are."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.sources import CPP, PACKAGE, ROOT, imports_of, sources


class Room(NamedTuple):
    may: str
    """Rooms, single headers or outside libraries that it may use, besides itself and the std."""
    never: str = ""
    """Headers of the standard library that it may not use."""


CLOCKS_AND_PRINTING = "chrono ctime iostream cstdio fstream print"
THREADS = "thread mutex atomic condition_variable future"
TABLE = "kernels/simd/isa.hpp"
"""The one header of kernels/simd for other rooms; the rest is compiled per instruction set."""

CPP_ROOMS = {
    "storage": Room("os"),
    "matrix": Room("storage", f"{CLOCKS_AND_PRINTING} {THREADS} cmath numeric"),
    "kernels/simd": Room("matrix/dtype.hpp intrinsics", f"{CLOCKS_AND_PRINTING} {THREADS}"),
    "kernels/blocks": Room(f"{TABLE} matrix", CLOCKS_AND_PRINTING),
    "kernels/panels": Room(f"{TABLE} kernels/blocks matrix", CLOCKS_AND_PRINTING),
    "kernels/elements": Room(f"{TABLE} kernels/blocks matrix", CLOCKS_AND_PRINTING),
    "kernels/encodings": Room(f"{TABLE} matrix", CLOCKS_AND_PRINTING),
    "kernels/gram": Room(f"{TABLE} kernels/blocks matrix", CLOCKS_AND_PRINTING),
    "kernels/eigenvalues": Room(f"{TABLE} kernels/blocks matrix", CLOCKS_AND_PRINTING),
    "kernels": Room(
        f"{TABLE} kernels/blocks kernels/panels kernels/gram kernels/eigenvalues matrix",
        CLOCKS_AND_PRINTING,
    ),
    "algorithms": Room("matrix/small.hpp matrix/sizes.hpp", f"{CLOCKS_AND_PRINTING} {THREADS}"),
    "bindings": Room(
        "pybind11 storage matrix kernels kernels/blocks kernels/panels kernels/elements "
        "kernels/encodings kernels/gram kernels/eigenvalues algorithms",
        "iostream cstdio print",
    ),
}
"""The folders of the C++ sources, each after those that it may use."""

CPP_MORE = {
    "algorithms/matrix_operator.hpp": "matrix/matrix.hpp",  # it alone knows what a Matrix is
    "kernels/blocks/block.hpp": "storage/memory.hpp",
    # Times decide which threads work, and no bit depends on these.
    "kernels/blocks/thread_pool.hpp": "<chrono>",
    "kernels/simd/dispatch.cpp": "<sys/syscall.h> <unistd.h>",  # asks the system for tile registers
}

BLAS = (
    "kernels/blocks/lapack.",
    "kernels/gram/",
    "kernels/eigenvalues/",
    "kernels/cpu_",
    "algorithms/small_dense.cpp",
    "algorithms/small_eigen.cpp",
    "algorithms/small_svd.cpp",
    "algorithms/small_tridiagonal.cpp",
    "bindings/module.cpp",
)
"""Where BLAS and LAPACK may be named."""


class Folder(NamedTuple):
    may: str = ""
    """Rooms that its modules may use, besides NumPy and the standard library."""
    outside: str = ""
    """Packages that they may import; at the top of a file only in rooms that an extra installs."""
    extra: bool = False


PYTHON_ROOMS = {
    "errors": Folder(),
    "_host": Folder("_core errors"),
    "_distributions": Folder(),
    "_words": Folder(),
    "_display": Folder("_distributions _words", outside="matplotlib"),
    "spectra": Folder("_distributions _words _display"),
    "matrices": Folder("_host errors", outside="scipy ml_dtypes"),
    "_execution": Folder("_words _host errors matrices", outside="cuda"),
    "solvers": Folder("_words _execution _host errors matrices spectra"),
    "analysis": Folder("_words _execution _host errors matrices solvers spectra"),
    "streaming": Folder("_distributions _words _execution _host errors matrices solvers spectra"),
    "checkpoint": Folder("_words _host errors matrices", outside="obstore huggingface_hub re2"),
    "adapters": Folder("_host analysis checkpoint errors matrices spectra"),
    "_tables": Folder("_words _display _host adapters checkpoint errors", outside="pandas pyarrow"),
    "_running": Folder("_execution _host _tables adapters analysis checkpoint errors spectra"),
    "scanning": Folder(
        "_words _execution _host _running _tables adapters analysis checkpoint errors matrices "
        "solvers spectra",
        outside="pandas",
    ),
    "comparing": Folder(
        "_words _execution _host _running _tables adapters analysis checkpoint errors matrices "
        "scanning solvers spectra"
    ),
    "series": Folder("_distributions _words _host _tables adapters checkpoint comparing scanning"),
    "report": Folder(
        "_words _display _running _tables adapters checkpoint comparing scanning series",
        outside="rich",
        extra=True,
    ),
    "cli": Folder(
        "_words _display _host _tables adapters checkpoint comparing errors report scanning series "
        "package",
        outside="typer rich",
        extra=True,
    ),
    "extension": Folder(
        "_distributions _words _display _execution _host _tables adapters checkpoint cli comparing "
        "matrices report series spectra"
    ),
    # Annexes: nothing imports them, and they import public names alone.
    "sklearn": Folder("errors extension streaming package", outside="scipy sklearn", extra=True),
    "diagnosis": Folder("extension package", outside="matplotlib typer rich"),
    "bench": Folder(
        "errors extension package",
        outside="scipy sklearn fbpca primme dask torch cupy cupyx cuml cuda ml_dtypes matplotlib "
        "typer rich",
    ),
    "formats": Folder("checkpoint errors extension", outside="h5py tensorstore"),
    "provenance": Folder(
        "adapters checkpoint errors extension package", outside="scipy typer rich"
    ),
    "package": Folder(
        "_execution _host adapters analysis bench checkpoint cli comparing diagnosis errors "
        "extension matrices provenance scanning series sklearn solvers spectra streaming"
    ),
}
"""The folders of the package, each after those that it may use; `package` is its own files.

Nothing of the terminal, and nothing that an extra installs, is read with the package.
"""

ANNEXES = ("bench", "diagnosis", "formats", "provenance", "sklearn")
"""Packages that come last, and that nothing imports: see test_annexes.py."""

OF_THE_TERMINAL = ("commands.py", "terminal.py")
"""The files of annexes that the command line loads: there typer and rich are installed."""

ARROWS_PER_ROOM = 6
"""Largest mean of the package. Arrows of its own files do not count."""

# ---------------------------------------------------------------------------------------- C++


def cpp_files() -> list[str]:
    return [p.relative_to(CPP).as_posix() for p in sources(CPP, ".cpp", ".hpp")]


def includes(name: str) -> list[str]:
    """Return the includes of a file: our headers by their path, others in angle brackets."""
    text = (CPP / name).read_text(encoding="utf-8")
    pattern = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|(<[^>]+>))', re.MULTILINE)
    return [ours or others for ours, others in pattern.findall(text)]


def code(name: str) -> str:
    """A C++ file without its comments and strings."""
    text = (CPP / name).read_text(encoding="utf-8")
    return re.sub(r'//[^\n]*|"(?:[^"\\\n]|\\.)*"', "", text)


def supplier(header: str) -> str:
    """The room, or the outside library, that a header belongs to."""
    if not header.startswith("<"):
        return header.rpartition("/")[0]
    if header.startswith("<pybind11/"):
        return "pybind11"
    if header in ("<immintrin.h>", "<arm_neon.h>"):
        return "intrinsics"
    return "os" if header.endswith(".h>") else "std"


def test_cpp_file_includes_only_what_its_room_may_use() -> None:
    for name in cpp_files():
        check_includes(name)


def check_includes(name: str) -> None:
    """Check each include of a file against the table of its room."""
    home = supplier(name)
    room = CPP_ROOMS[home]
    more = CPP_MORE.get(name, "").split()
    allowed = {"std", home, *room.may.split(), *more}
    for header in includes(name):
        assert {header, supplier(header)} & allowed, f"cpp/{name} may not include {header}"
        never = set() if header in more else set(room.never.split())
        assert header.strip("<>") not in never, f"cpp/{name}: {header} in {home}"
        if not header.startswith("<"):
            assert (CPP / header).is_file(), f"cpp/{name}: {header} is not a path below cpp/"


def test_cpp_rooms_use_those_before_them() -> None:
    """No arrow goes up, so that there is no circle."""
    before = {"os", "intrinsics", "pybind11"}
    for name, room in CPP_ROOMS.items():
        used = {supplier(word) if word.endswith(".hpp") else word for word in room.may.split()}
        assert used <= before, f"{name} uses a room after it"
        before.add(name)


def test_every_arrow_of_the_cpp_table_is_used() -> None:
    used: dict[str, set[str]] = {name: set() for name in CPP_ROOMS}
    for name in cpp_files():
        for header in includes(name):
            used[supplier(name)] |= {header, supplier(header)}
    for name, room in CPP_ROOMS.items():
        idle = set(room.may.split()) - used[name]
        assert not idle, f"{name} does not use {', '.join(sorted(idle))}"


def test_kernels_and_algorithms_meet_only_in_bindings() -> None:
    for name in cpp_files():
        tops = {header.split("/")[0] for header in [name, *includes(name)]}
        if {"kernels", "algorithms"} <= tops:
            assert name.startswith("bindings/")


def test_only_bindings_know_python() -> None:
    for name in cpp_files():
        if not name.startswith("bindings/"):
            assert not re.search(r"\b(pybind11|Py[A-Z]\w+|gil_scoped\w+)\b", code(name)), name


def test_only_matrix_operator_names_matrices_among_algorithms() -> None:
    for name in cpp_files():
        if name.startswith("algorithms/") and name not in CPP_MORE:
            assert not re.search(r"\b(Matrix|MatrixView|Tile|Panel|PanelStream)\b", code(name)), (
                name
            )


def test_blas_is_named_only_where_it_is_called() -> None:
    for name in cpp_files():
        if "scipy_" in code(name):
            assert name.startswith(BLAS), name


def test_isa_sources_bring_no_inline_functions_of_the_standard_library() -> None:
    """The linker keeps one copy of an inline function: it must not be one compiled for AVX-512.

    dtype.hpp declares inline functions that no kernel calls; that none is compiled into the
    objects is checked on the objects themselves when they are built (.ci/run).
    """
    allowed = {"<cstdint>", "<cstddef>", "<immintrin.h>", "<arm_neon.h>"}
    seen: set[str] = set()
    pending = ["kernels/simd/isa.cpp"]
    while pending:
        name = pending.pop()
        seen.add(name)
        for header in includes(name):
            if header.startswith("<"):
                assert header in allowed or name == "matrix/dtype.hpp", (name, header)
            elif header not in seen:
                pending.append(header)
    assert "matrix/dtype.hpp" in seen


# ------------------------------------------------------------------------------------- Python


class Import(NamedTuple):
    target: str
    """A module of ours by its first name, or an outside package after a colon."""
    line: int
    deferred: bool
    """Inside a function, or for the type checker alone."""


def room_of(names: list[str]) -> str:
    """The room of a module of ours, by the parts of its name."""
    first = names[1] if len(names) > 1 else ""
    if first in ("_core", "_cuda"):
        return "_core"
    return first if first in PYTHON_ROOMS else "package"


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """The imports of a module of the package."""
    return tuple(each_import(path))


def each_import(path: Path) -> Iterator[Import]:
    package = ["sigmascope", *path.relative_to(PACKAGE).parts[:-1]]
    for node, deferred in imports_of(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            inside = module == "sigmascope"  # from . import a, b: each may be a room
            names = [f"{module}.{alias.name}" for alias in node.names] if inside else [module]
        for name in names:
            parts = name.split(".")
            ours = parts[0] == "sigmascope"
            yield Import(room_of(parts) if ours else f":{parts[0]}", node.lineno, deferred)


def home_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = room_of(["sigmascope", *parts])
    assert room != "package" or len(parts) == 1, f"{path}: its folder is not in PYTHON_ROOMS"
    return room


def test_python_module_imports_only_what_its_room_may_use() -> None:
    for path in sources(PACKAGE, ".py"):
        check_imports(path)


def check_imports(path: Path) -> None:
    """Check each import of a module against the table of its room."""
    home = home_of(path)
    room = PYTHON_ROOMS[home]
    for result in imports(path):
        where = f"{path.relative_to(ROOT)}:{result.line}"
        if result.target.startswith(":"):
            package = result.target[1:]
            if package == "numpy" or package in sys.stdlib_module_names:
                continue
            assert package in room.outside.split(), f"{where}: {package} in {home}"
            always = room.extra or (home in ANNEXES and path.name in OF_THE_TERMINAL)
            assert always or result.deferred, f"{where}: {package} is not always installed"
        else:
            assert result.target in {home, *room.may.split()}, (
                f"{where}: {home} may not use {result.target}"
            )


def test_one_module_imports_the_extension() -> None:
    users = {path for path in sources(PACKAGE, ".py") for i in imports(path) if i.target == "_core"}
    assert users == {PACKAGE / "_host" / "native.py"}


def test_rooms_use_those_before_them() -> None:
    """No arrow goes up, so that there is no circle; `package` is for what stands on all of it."""
    before: set[str] = {"_core", "package"}
    for name, room in PYTHON_ROOMS.items():
        assert set(room.may.split()) <= before, f"{name} uses a room after it"
        before.add(name)


def test_every_arrow_of_the_table_is_used_and_there_are_few() -> None:
    used: dict[str, set[str]] = {name: set() for name in PYTHON_ROOMS}
    for path in sources(PACKAGE, ".py"):
        home = home_of(path)
        used[home] |= {result.target for result in imports(path)} - {home}
    for name, room in PYTHON_ROOMS.items():
        idle = set(room.may.split()) - used[name]
        assert not idle, f"{name} does not use {', '.join(sorted(idle))}"
    counted = {
        (name, other)
        for name, others in used.items()
        for other in others
        if other in PYTHON_ROOMS and "package" not in (name, other)
    }
    print(f"{len(PYTHON_ROOMS)} rooms, {len(counted)} arrows")
    assert len(counted) <= ARROWS_PER_ROOM * len(PYTHON_ROOMS)


def test_every_name_at_the_top_of_the_package_is_a_room() -> None:
    own = {"__init__", "__main__", "results", "_core", "_cuda", "py", "_libs", "__pycache__"}
    names = {path.name.split(".")[0] for path in PACKAGE.iterdir()} - own
    assert names == set(PYTHON_ROOMS) - {"package"}
