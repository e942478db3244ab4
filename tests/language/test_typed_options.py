# SPDX-License-Identifier: BSD-3-Clause
"""Type checkers accept README, the pages and right options, and refuse wrong ones."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_overloads

import pytest
from tests.support.sources import PACKAGE, ROOT

import sigmascope as ss

FENCED = re.MULTILINE | re.DOTALL

RIGHT = """
import numpy as np
import numpy.typing as npt
import sigmascope as ss

A = np.ones((9, 6))
options: ss.results.SVD = ss.svds(A, 2, tol=1e-3, num_threads=2, memory_limit="1GiB", device="cpu")
U, s, Vt = ss.randomized_svd(A, 2, passes=3, seed=1, panel_rows=4)
ss.svdvals(A, accuracy="fast", progress=print)
ss.spectral_density(A, passes=3, probes=4, memory_limit=10**9)
ss.moments(A, histogram=False, executor=None)
ss.spectrum(A, effort="top", k=2, precision="float64", num_threads=None)
scan: ss.results.Scan = ss.scan("model", k=8, include="*.mlp.*", num_threads=2)
run: ss.series.Trajectory = ss.series.trajectory(
    ["a-1", "a-2"], measures="fro_norm", k=8, reading="mapped"
)
family: ss.series.Reference = ss.series.reference([scan], bands=2, effort="top")
family.place("model", confidence=0.9, k=8, measures="alpha_farms")
ss.streaming.Sketch(6, 2, seed=1).update(A, num_threads=2)


def largest(weights: npt.NDArray[np.float32]) -> float:
    result = ss.svds(weights, k=10, tol=1e-4)
    U, s, Vt = result
    assert result.converged and np.all(result.errors <= 1e-4 * s[0])
    close = np.allclose(U * s @ Vt, weights) and np.allclose(result.U.T @ result.U, np.eye(10))
    U, s, Vt = ss.randomized_svd(weights, 4)
    every = ss.svdvals(weights)
    U, s, Vt = ss.svds([weights, weights], 2)
    return float(s[0] + every.values[0] + U[0].sum() + close + result.s[0])


def failed(stack: npt.NDArray[np.float32]) -> int:
    result: ss.results.SVDStack = ss.svds(stack, 2)
    count = len(ss.svds([stack, stack]).failures) + len(ss.svds(stack).failures)
    spectra = ss.spectrum(stack, effort="exact")
    return count + len(spectra.failures) + int(np.sum(result.converged)) + bool(spectra.converged)
"""

HEAD = "import numpy as np\nimport sigmascope as ss\nA = np.ones((9, 6))\n"

KINDS = (
    HEAD
    + """
from collections.abc import Sequence
from pathlib import Path
from typing import Any
import numpy.typing as npt

class Sparse:
    def tocsr(self, copy: bool = False) -> object: ...

class Operator:
    def matvec(self, vector: npt.NDArray[Any]) -> object: ...

stack, deep = np.ones((2, 9, 6)), np.ones((2, 2, 9, 6))
rows: list[list[float]] = [[1.0, 2.0], [3.0, 4.0]]
path, sparse, operator = Path("a.npy"), Sparse(), Operator()
matrices: Sequence[ss.Matrix] = [ss.matrix(A)]
factors: ss.LowRank = ss.low_rank(A, 2).factors
table: object = None
anything: Any = A
unknown: npt.NDArray[np.float32] = np.ones((9, 6), np.float32)
"""
)

FUNCTIONS = {
    "svds({}, 2)": ("SVD", "SVDStack"),
    "randomized_svd({}, 2)": ("SVD", "SVDStack"),
    "svdvals({})": ("SingularValues", "SingularValuesStack"),
    "spectral_density({}, seed=1)": ("Density", "Stack[Density]"),
    "spectrum({}, measures='alpha')": ("Spectrum", "Stack[Spectrum]"),
}
"""Each function that takes stacks: its result of one matrix, and of a stack."""

ONE = ["A", "A.T", "A.astype(np.float32)", "ss.matrix(A)", "'a.npy'", "path", "rows"]
MANY = ["stack", "deep", "matrices", "[A, A]", "[ss.matrix(A)]", "[unknown, unknown]"]
NOT_KNOWN = ["unknown", "unknown.T @ unknown", "np.stack([A, A])", "anything", "table"]
ELSEWHERE = {"sparse": ["svds", "randomized_svd"], "operator": ["svds", "randomized_svd"]}
ELSEWHERE["factors"] = ["spectrum"]


def calls_of_each_kind() -> Iterator[tuple[str, str]]:
    """Give a call of each function with each kind of argument, and the type of its result."""
    for call, (one, many) in FUNCTIONS.items():
        kinds = {one: ONE, many: MANY, "Any": NOT_KNOWN}
        name = call.split("(")[0]
        kinds[one] = ONE + [argument for argument, names in ELSEWHERE.items() if name in names]
        for result, arguments in kinds.items():
            yield from ((f"ss.{call.format(argument)}", result) for argument in arguments)


UNPACKED = [
    f"ss.{call}({argument})"
    for call in ("svds", "randomized_svd")
    for argument in (
        "A, 2",
        "A.T, 2",
        "path, 2",
        "sparse, 2",
        "operator, 2",
        "stack, 2",
        "[A, A], 2",
    )
]
"""Calls whose result is unpacked as U, s, Vt."""

ARRAY = "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]"

MATCHES = 'matches argument types "ndarray[tuple[int, int], dtype[float64]]"'
"""The argument that is wrong is not named where an overload is looked for: its type is."""

WRONG = [
    ("ss.svds(A, 2, num_thread=2)", 'Unexpected keyword argument "num_thread"'),
    ("ss.svds(A, 2, n_iter=2)", 'Unexpected keyword argument "n_iter"'),
    ("ss.svds(A, 2, fingerprint=0)", 'Unexpected keyword argument "fingerprint"'),
    ("ss.svds(A, 2, num_threads=2.5)", f'No overload variant of "svds" {MATCHES}, "int", "float"'),
    ("ss.svds(A, 2, tol='small')", f'No overload variant of "svds" {MATCHES}, "int", "str"'),
    ("ss.svdvals(A, memory_limit=[])", f'No overload variant of "svdvals" {MATCHES}, "list[Never]'),
    ("ss.randomized_svd(A)", 'No overload variant of "randomized_svd" matches argument type'),
    ("ss.spectral_density(A, progress=True)", f'variant of "spectral_density" {MATCHES}, "bool"'),
    ("ss.moments(A, precision='float64')", 'Unexpected keyword argument "precision"'),
    ("ss.spectrum(A, device=0)", f'No overload variant of "spectrum" {MATCHES}, "int"'),
    (
        "ss.series.trajectory(['a'], include=3)",
        'Argument "include" to "trajectory" has incompatible',
    ),
    ("ss.series.reference(['a'], n_jobs=3)", 'Unexpected keyword argument "n_jobs"'),
    ("ss.series.reference(['a']).place('b', effor='top')", 'Unexpected keyword argument "effor"'),
    ("ss.scan('a', k='8')", 'No overload variant of "scan" matches argument types "str", "str"'),
    ("ss.streaming.Sketch(6, 2, random_state=1)", 'Unexpected keyword argument "random_state"'),
    ("ss.diagnosis.diagnose('a', alpha='b')", "No overload variant"),
    ("ss.matrix(A, dtype=3)", 'Argument "dtype" to "matrix" has incompatible type "int"'),
]


LARGE = ("torch", "transformers", "peft", "lightning", "dask", "sklearn", "scipy")
"""Packages that pages import and whose types no line here depends on: mypy would take a minute."""

PAGES_MAY = ["--allow-untyped-defs", "--allow-untyped-calls", "--allow-subclassing-any"]
"""Functions of a reader's own have no types on a page; calls of the package have."""


def written_pages(folder: Path) -> Iterator[tuple[Path, str]]:
    """Write the Python of each page, in the order in which it is read, to a file of its own."""
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(pycon|python|\{code-cell\}.*)\n(.*?)^```", text, FENCED)
        code = "\n".join(
            "".join(one.source for one in doctest.DocTestParser().get_examples(block))
            if kind == "pycon"
            else re.sub(r"^[%!:].*", "", block, flags=re.MULTILINE)
            for kind, block in blocks
        )
        if code:
            name = str(page.relative_to(ROOT))
            path = folder / f"page_{re.sub(r'[^a-z]', '_', name.lower())}.py"
            path.write_text(code, encoding="utf-8")
            yield path, name


@pytest.mark.slow
def test_a_users_file_is_checked(tmp_path: Path) -> None:
    """One run of mypy: right lines, wrong lines, kinds of arguments, the Python of every page."""
    pytest.importorskip("mypy")
    right, wrong, kinds = (tmp_path / f"{name}.py" for name in ("right", "wrong", "kinds"))
    pages = dict(written_pages(tmp_path))
    assert {"README.md", "docs/tour.md", "docs/notebooks/one-matrix.md"} <= {*pages.values()}
    right.write_text(RIGHT)
    wrong.write_text(HEAD + "".join(f"{line}\n" for line, _ in WRONG))
    calls = dict(calls_of_each_kind())
    lines = [f"reveal_type({call})" for call in calls]
    for i, call in enumerate(UNPACKED):
        lines += [f"U{i}, s{i}, Vt{i} = {call}"]
        lines += [f"reveal_type({name}{i})" for name in ("U", "s", "Vt")]
    kinds.write_text(KINDS + "\n".join(lines))
    names = ",".join(f"{name}.*" for name in LARGE)
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\n[mypy-{names}]\nfollow_imports = skip\n")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--config-file",
                str(config),
                "--no-pretty",
            ),
            *("--no-error-summary", "--cache-dir", str(tmp_path / "cache")),
            *("--follow-imports", "silent", "--ignore-missing-imports"),
            *PAGES_MAY,
            *map(str, (right, wrong, kinds, *pages)),
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(PACKAGE.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert not done.stderr
    assert done.returncode == 1
    complaints = [pages.get(tmp_path / line.split(":")[0], "") + line for line in complaints]
    by_line: dict[int, str] = {}  # a wrong keyword of overloads has two errors
    for line in complaints:
        if line.startswith("wrong.py"):
            number = int(line.split(":")[1])
            by_line[number] = by_line.get(number, "") + line
    assert [line for line in complaints if not line.startswith("wrong.py")] == []
    for number, (line, message) in enumerate(WRONG, HEAD.count("\n") + 1):
        assert message in by_line.get(number, ""), f"{line}: {by_line.get(number)}"
    revealed = re.findall(r"^kinds.py:.*Revealed type is \"(.*)\"", done.stdout, re.MULTILINE)
    types = [re.sub(r"sigmascope\.[a-z_.]*", "", name) for name in revealed]
    count = len(calls)
    assert dict(zip(calls, types[:count], strict=True)) == calls
    unpacked = dict(zip(UNPACKED, zip(*[iter(types[count:])] * 3, strict=True), strict=True))
    assert unpacked == dict.fromkeys(UNPACKED, (ARRAY,) * 3)


@pytest.mark.parametrize("call", FUNCTIONS)
def test_overloads_have_the_options_of_the_function(call: str) -> None:
    function = getattr(ss, call.split("(")[0])
    own = [*inspect.signature(function.__wrapped__, follow_wrapped=False).parameters.values()]
    overloads = get_overloads(function.__wrapped__)
    assert len(overloads) == 4
    for overload in overloads:
        parameters = [*inspect.signature(overload).parameters.values()]
        assert [parameters[0].replace(annotation="Any"), *parameters[1:]] == own


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(ss.__file__).parent / "py.typed").is_file()
