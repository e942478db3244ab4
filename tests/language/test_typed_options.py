# SPDX-License-Identifier: BSD-3-Clause
"""Type checkers accept README, the pages and right options, and refuse wrong ones."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.sources import PACKAGE, ROOT

import sigmascope as ss

FENCED = re.MULTILINE | re.DOTALL

RIGHT = """
import numpy as np
import numpy.typing as npt
import sigmascope as ss

A = np.ones((9, 6))
options: ss.SVD = ss.svds(A, 2, tol=1e-3, num_threads=2, memory_limit="1GiB", device="cpu")
U, s, Vt = ss.randomized_svd(A, 2, passes=3, seed=1, panel_rows=4)
ss.svdvals(A, accuracy="fast", progress=print)
ss.spectral_density(A, passes=3, probes=4, memory_limit=10**9)
ss.moments(A, histogram=False, executor=None)
ss.spectrum(A, effort="top", k=2, precision="float64", num_threads=None)
found: ss.Scan = ss.scan("model", k=8, include="*.mlp.*", num_threads=2)
run: ss.Trajectory = ss.trajectory(["a-1", "a-2"], measures="fro_norm", k=8, reading="mapped")
family: ss.Reference = ss.reference([found], bands=2, effort="top")
family.place("model", confidence=0.9, k=8, measures="alpha_farms")
ss.Sketch(6, 2, seed=1).update(A, num_threads=2)


def largest(weights: npt.NDArray[np.float32]) -> float:
    result = ss.svds(weights, k=10, tol=1e-4)
    U, s, Vt = result
    assert result.converged and np.all(result.errors <= 1e-4 * s[0])
    close = np.allclose(U * s @ Vt, weights) and np.allclose(result.U.T @ result.U, np.eye(10))
    U, s, Vt = ss.randomized_svd(weights, 4)
    every = ss.svdvals(weights)
    U, s, Vt = ss.svds([weights, weights], 2)
    return float(s[0] + every.values[0] + U[0].sum() + close + result.s[0])
"""

WRONG = [
    ("ss.svds(A, 2, num_thread=2)", 'Unexpected keyword argument "num_thread"'),
    ("ss.svds(A, 2, n_iter=2)", 'Unexpected keyword argument "n_iter"'),
    ("ss.svds(A, 2, fingerprint=0)", 'Unexpected keyword argument "fingerprint"'),
    ("ss.svds(A, 2, num_threads=2.5)", 'Argument "num_threads" to "svds" has incompatible type'),
    ("ss.svds(A, 2, tol='small')", 'Argument "tol" to "svds" has incompatible type "str"'),
    ("ss.svdvals(A, memory_limit=[])", 'Argument "memory_limit" to "svdvals" has incompatible'),
    ("ss.randomized_svd(A)", 'Missing positional argument "k"'),
    ("ss.spectral_density(A, progress=True)", 'Argument "progress" to "spectral_density" has'),
    ("ss.moments(A, precision='float64')", 'Unexpected keyword argument "precision"'),
    ("ss.spectrum(A, device=0)", 'Argument "device" to "spectrum" has incompatible type "int"'),
    ("ss.trajectory(['a'], include=3)", 'Argument "include" to "trajectory" has incompatible'),
    ("ss.reference(['a'], n_jobs=3)", 'Unexpected keyword argument "n_jobs"'),
    ("ss.reference(['a']).place('b', effor='top')", 'Unexpected keyword argument "effor"'),
    ("ss.scan('a', k='8')", 'Argument "k" to "scan" has incompatible type "str"'),
    ("ss.Sketch(6, 2, random_state=1)", 'Unexpected keyword argument "random_state"'),
    ("ss.diagnose('a', alpha='b')", "No overload variant"),
    ("ss.matrix(A, dtype=3)", 'Argument "dtype" to "matrix" has incompatible type "int"'),
]


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


def test_a_users_file_is_checked(tmp_path: Path) -> None:
    """One run of mypy: a file of right lines, one of wrong lines, and the Python of every page."""
    pytest.importorskip("mypy")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    pages = dict(written_pages(tmp_path))
    assert {"README.md", "docs/tour.md", "docs/notebooks/one-matrix.md"} <= {*pages.values()}
    right.write_text(RIGHT)
    head = "import numpy as np\nimport sigmascope as ss\nA = np.ones((9, 6))\n"
    wrong.write_text(head + "".join(f"{line}\n" for line, _ in WRONG))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-pretty"),
            *("--no-error-summary", "--cache-dir", str(tmp_path / "cache")),
            *("--follow-imports", "silent", "--ignore-missing-imports"),
            *PAGES_MAY,
            *map(str, (right, wrong, *pages)),
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(PACKAGE.parent), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert not done.stderr
    assert done.returncode == 1
    told = [pages.get(tmp_path / line.split(":")[0], "") + line for line in told]
    by_line = {int(line.split(":")[1]): line for line in told if line.startswith("wrong.py")}
    assert [line for line in told if not line.startswith("wrong.py")] == []
    for number, (line, message) in enumerate(WRONG, head.count("\n") + 1):
        assert message in by_line.get(number, ""), f"{line}: {by_line.get(number)}"


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(ss.__file__).parent / "py.typed").is_file()
