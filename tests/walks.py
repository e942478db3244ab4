# SPDX-License-Identifier: BSD-3-Clause
"""The walks of a matrix through the package: which function calls which, over all branches.

``python -m tests.walks`` traces `svds` and `spectrum` with every combination of arguments and kind
of source that leads to another branch. It prints the union: the files that the calls enter, in the
rooms that a matrix goes through; the entries into the file of memory; and the climbs, which are
calls from a file into one that lies above it, because it imports it. Branches for CUDA devices are
left out: they need a device.
"""

from __future__ import annotations

import ast
import dis
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from inspect import unwrap
from itertools import product
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

import sigmascope as ss
from sigmascope.errors import SigmascopeError
from tests.support import known_spectra as ks

PACKAGE = Path(ss.__file__).parent
ROOMS = ("matrices", "_execution", "solvers", "analysis")
"""Rooms that a matrix goes through; what comes after is of its values alone."""

MEMORY = "_execution/memory_plan.py"


class Function(NamedTuple):
    """A function of the package."""

    file: str
    name: str


@dataclass
class Walk:
    """The calls from one file into another one, each pair of functions once."""

    calls: set[tuple[Function, Function]] = field(default_factory=set)

    @property
    def files(self) -> set[str]:
        """The files on the way."""
        return {function.file for call in self.calls for function in call}

    @property
    def climbs(self) -> list[tuple[Function, Function]]:
        """Calls into a file that imports the caller's."""
        return sorted((come, to) for come, to in self.calls if come.file in below(to.file))

    def entries(self, file: str) -> list[tuple[Function, Function]]:
        """Return the calls into a file."""
        return sorted(call for call in self.calls if call[1].file == file)


@cache
def imports(file: str) -> frozenset[str]:
    """Return the files that a file imports at its top."""
    result: set[str] = set()
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ImportFrom):
            base = _module(file, node.level, node.module)
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
            result |= {path for name in names if (path := _file(name)) is not None}
    return frozenset(result - {file})


@cache
def below(file: str) -> frozenset[str]:
    """Return the files that a file imports, and those that these import."""
    names: set[str] = set()
    todo = [file]
    while todo:
        new = imports(todo.pop()) - names
        names |= new
        todo += new
    return frozenset(names)


def _module(file: str, level: int, module: str | None) -> str:
    """Return the absolute name, below the package, of what an import statement names."""
    if level == 0:
        ours = module is not None and module.split(".")[0] == PACKAGE.name
        return module.removeprefix(PACKAGE.name).lstrip(".") if module and ours else "?"
    folder = Path(file).parent.parts
    parts = folder[: len(folder) - level + 1]
    return ".".join([*parts, *([module] if module else [])])


def _file(name: str) -> str | None:
    path = name.replace(".", "/")
    for each in (f"{path}.py", f"{path}/__init__.py"):
        if name and (PACKAGE / each).is_file():
            return each
    return None


@contextmanager
def tracing(walk: Walk) -> Iterator[None]:
    """Add the calls of this thread, and of those that it starts, to a walk."""

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_lasti > _start(frame.f_code):
            return
        to, back = _function(frame), frame.f_back
        while back is not None and (come := _function(back)) is None:
            back = back.f_back
        if to is None or back is None or come is None or come.file == to.file:
            return
        if {to.file.split("/")[0], come.file.split("/")[0]} <= set(ROOMS):
            walk.calls.add((come, to))

    for module in [m for name, m in sys.modules.items() if name.startswith("sigmascope.")]:
        for one in vars(module).values():
            if callable(forget := getattr(one, "cache_clear", None)) and _in_rooms(one):
                forget()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@cache
def _start(code: CodeType) -> int:
    """Return the place at which a call begins; a generator goes on from later ones."""
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


def _in_rooms(function: Any) -> bool:
    module = str(getattr(function, "__module__", ""))
    return module.startswith(tuple(f"sigmascope.{room}." for room in ROOMS))


@cache
def _file_of(path: str) -> str | None:
    try:
        return Path(path).relative_to(PACKAGE).as_posix()
    except ValueError:
        return None


def _function(frame: FrameType) -> Function | None:
    """Return the function of a frame; None for other packages, and while a file is imported."""
    file, name = _file_of(frame.f_code.co_filename), frame.f_code.co_qualname
    return None if file is None or "<module>" in name else Function(file, name)


# ------------------------------------------------------------------------------------- branches

Call = Callable[[], Any]


def sources(folder: Path) -> dict[str, Any]:
    """Return a matrix of every kind, whose search and whose decomposition cost differently."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((640, 520)).astype(np.float32)
    np.save(folder / "A.npy", numbers)
    np.save(folder / "half.npy", ks.exponential(300, 300, rate=0.2)[0].astype(np.float16))
    a = ss.matrix(numbers)
    return {
        "array": numbers,
        "matrix": a,
        "transposed": a.T,
        "float64": ss.matrix(numbers.astype(np.float64)),
        "sum of tiles": a - ss.matrix(rng.standard_normal((640, 520)).astype(np.float32)),
        "file": folder / "A.npy",
        "file whose values span much": folder / "half.npy",
        "values span much": ks.exponential(300, 300, rate=0.2)[0],
        "small": rng.standard_normal((40, 30)),
        "one row": rng.standard_normal((1, 30)),
        "huge entries": rng.standard_normal((300, 200)) * 1e300,
        "not finite": np.full((300, 200), np.nan),
        "stack": rng.standard_normal((3, 60, 50)),
        "matrices": [a, a],
    }


def svds_calls(at: dict[str, Any]) -> Iterator[Call]:
    """Give the calls of svds that lead to different branches."""
    svds = unwrap(ss.svds)
    sparse = scipy.sparse.csr_array(np.eye(300, 200))
    for method in ("auto", "krylov", "gram"):
        for source in at.values():
            for vectors in (True, False):
                yield lambda s=source, v=vectors, m=method: svds(s, 1, vectors=v, method=m)
        for known in (sparse, aslinearoperator(sparse)):
            yield lambda s=known, m=method: svds(s, 3, method=m, progress=lambda _: None)
        yield lambda m=method: _by_workers(svds, at["file"], k=3, method=m)
        yield lambda m=method: svds(at["matrix"], 8, method=m, max_passes=2, block=4, tol=1e-12)
    for precision in ("mixed", "split", "float32", "float64"):
        for source in (at["matrix"], at["sum of tiles"], at["transposed"]):
            yield lambda s=source, p=precision: svds(s, 6, precision=p, method="krylov")
    for limit in (10_000, 300_000, 1_000_000, "100MiB"):
        for source in (at["file"], at["file whose values span much"], at["stack"]):
            yield lambda s=source, n=limit: svds(s, 40, method="krylov", memory_limit=n)
    yield lambda: svds(ks.gaussian(300, 200)[0], 40, tol=1e-10, method="krylov")  # given up
    try:
        import torch
    except ImportError:
        return
    yield lambda: svds(torch.ones(30, 20), 3)
    yield lambda: svds(torch.ones(2, 30, 20), 3)


def spectrum_calls(at: dict[str, Any]) -> Iterator[Call]:
    """Give the calls of spectrum that lead to different branches."""
    spectrum = unwrap(ss.spectrum)
    every = ("alpha_farms", "randomized_distance", "correlation_traps")
    for effort in ("top", "density", "exact"):
        for source in at.values():
            for vectors in (True, False):
                yield lambda s=source, e=effort, v=vectors: spectrum(s, effort=e, k=2, vectors=v)
        for source in (at["small"], at["file whose values span much"], at["sum of tiles"]):
            how: dict[str, Any] = {"effort": effort, "measures": every, "k": 3}
            yield lambda s=source, how=how: spectrum(s, **how)
        for precision in ("mixed", "split", "float32", "float64"):
            how = {"effort": effort, "precision": precision, "elements": False}
            yield lambda how=how: spectrum(at["matrix"], **how)
        for name, limit in LIMITED:
            how = {"effort": effort, "k": 100, "memory_limit": limit}
            yield lambda s=at[name], how=how: spectrum(s, **how)
        how = {"effort": effort, "memory_limit": 1, "panel_rows": 8, "measures": every[0]}
        yield lambda how=how: spectrum(at["matrix"], **how)
        yield lambda e=effort: _by_workers(spectrum, at["file"], effort=e, k=3)
        yield lambda e=effort: spectrum(at["small"], effort=e, accuracy="fast", seed=None)
        yield lambda e=effort: spectrum(at["matrix"], effort=e, accuracy="fast", k=500)
        yield lambda e=effort: spectrum(ks.gaussian(300, 200)[0], effort=e, k=40, tol=1e-10)
    yield lambda: spectrum(ss.LowRank(np.ones((30, 2)), np.ones((2, 20))))


def calls_on_a_matrix(name: str, at: dict[str, Any]) -> Iterator[Call]:
    """Give the calls on one stored matrix, in memory or in a file, by every method."""
    call = unwrap(getattr(ss, name))
    ways = {"method": ("auto", "krylov", "gram"), "effort": ("top", "density", "exact")}
    option = "method" if name == "svds" else "effort"
    in_files = [ss.matrix(at[kind]) for kind in ("file", "file whose values span much")]
    stored = [a for a in (*at.values(), *in_files) if isinstance(a, ss.Matrix)]
    for way, a, k in product(ways[option], stored, (2, 100)):
        for vectors, limit in product((True, False), (None, 600_000)):
            how = {option: way, "k": k, "vectors": vectors, "memory_limit": limit}
            yield lambda a=a, how=how: call(a, **how)


def _by_workers(call: Callable[..., Any], source: Any, **how: Any) -> Any:
    with ThreadPoolExecutor(2) as executor:
        return call(source, executor=executor, **how)


LIMITED = (
    ("stack", 1),
    ("stack", "100MiB"),
    ("file", 600_000),
    ("file", 3_000_000),
    ("file whose values span much", 600_000),
    ("file whose values span much", 1_500_000),
    ("values span much", 500_000),
)
"""Sources of spectra with memory that is too small, or that lets a basis grow, or holds a part."""

CALLS = {"svds": svds_calls, "spectrum": spectrum_calls}


@cache
def walk_of(name: str, *, one_matrix: bool = False) -> Walk:
    """Trace all branches of one of the functions; a refused call has walked as far as it came.

    `one_matrix`: those of one stored matrix; else of sources of every kind.
    """
    walk = Walk()
    with tempfile.TemporaryDirectory() as folder:
        at = sources(Path(folder))
        calls = list(calls_on_a_matrix(name, at) if one_matrix else CALLS[name](at))
        with warnings.catch_warnings(), tracing(walk):
            warnings.simplefilter("ignore")
            for call in calls:
                try:
                    call()
                except (SigmascopeError, ValueError):
                    continue
    return walk


def main() -> None:
    """Print the walks."""
    for name in CALLS:
        walk, of_one = walk_of(name), walk_of(name, one_matrix=True)
        entries, climbs = walk.entries(MEMORY), walk.climbs
        print(
            f"{name}: {len(walk.calls)} pairs of functions, {len(walk.files)} files "
            f"({len(of_one.files)} of one stored matrix), {len(entries)} entries into {MEMORY}, "
            f"{len(climbs)} climbs"
        )
        for file in sorted(walk.files):
            print(f"  {len(walk.entries(file)):4d}  {file}")
        for kind, pairs in (("entry", entries), ("climb", climbs)):
            for come, to in pairs:
                print(f"  {kind}  {come.file}: {come.name} -> {to.file}: {to.name}")


if __name__ == "__main__":
    main()
