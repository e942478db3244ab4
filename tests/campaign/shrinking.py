# SPDX-License-Identifier: BSD-3-Clause
"""A case that fails, made smaller as long as it fails in the same way, and saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .calls import run
from .cases import Case
from .outcome import Outcome
from .stored import PRODUCTS

SECONDS = 6.0
"""Seconds that are spent on a smaller case."""


def shrunk(case: Case, outcome: Outcome) -> tuple[Case, Outcome]:
    """The smallest case that was found to fail in the same way, and what it does."""
    wrong = outcome.main.what
    until = time.monotonic() + SECONDS
    going = True
    while going:
        going = False
        for smaller in candidates(case):
            if time.monotonic() > until:
                return case, outcome
            seen = run(smaller)
            if seen.findings and seen.main.what == wrong:
                case, outcome, going = smaller, seen, True
                break
    return case, outcome


def candidates(case: Case) -> Iterator[Case]:
    """Simpler cases: of the plainest call first, then of smaller matrices."""
    if case.layout != "plain":
        yield case.smaller(layout="plain")
    if case.exponent:
        yield case.smaller(exponent=0)
    for name in case.options:
        if name in ("num_threads", "memory_limit", "panel_rows", "precision", "block", "passes"):
            yield case.smaller(options={x: y for x, y in case.options.items() if x != name})
    if case.options.get("seed"):
        yield case.smaller(options=case.options | {"seed": 0})
    for divisor in (4, 2, 1.3):
        yield from _of_shape(case, int(case.m / divisor), int(case.n / divisor))
    for m, n in ((case.m // 2, case.n), (case.m, case.n // 2), (case.m - 1, case.n - 1)):
        yield from _of_shape(case, m, n)
    k = case.options.get("k", 1)
    for fewer in {k // 2, k - 1} - {0}:
        yield case.smaller(options=case.options | {"k": fewer})
    for dtype in ("f64", "f32"):
        if case.dtype not in (dtype, "f64") and case.exponent == 0:
            yield case.smaller(dtype=dtype)


def _of_shape(case: Case, m: int, n: int) -> Iterator[Case]:
    if min(m, n) >= 1:
        options = dict(case.options)
        if "k" in options:
            options["k"] = min(options["k"], m, n)
        yield case.smaller(m=m, n=n, options=options)


def save(case: Case, outcome: Outcome, isa: str, folder: Path) -> str:
    """Write the matrix as NAME.npz; return one line for people, and how to run it again."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{case.function}-{case.kind}-{case.seed}-{case.index}"
    path = folder / f"{name}.npz"
    record = json.dumps(case.record() | {"isa": isa})
    np.savez_compressed(path, A=case.numbers(), case=record)
    worst = outcome.main
    options = ", ".join(f"{key}={value!r}" for key, value in case.options.items())
    return (
        f"{case.function}({options}) | {case.kind} {case.m} x {case.n} {case.dtype}"
        f"{f' 2^{case.exponent}' if case.exponent else ''}"
        f"{'' if case.layout == 'plain' else ' ' + case.layout} | {worst.what}: {worst.detail}, "
        f"ratio {worst.ratio:.3g} | {python_line(case, path)}"
    )


def python_line(case: Case, path: Path) -> str:
    """A line of Python that makes the call, of the functions that take a matrix as it is."""
    dtype = {"f64": "'f8'", "f32": "'f4'", "f16": "'f2'"}.get(case.dtype)
    imports = "import numpy as np, sigmascope as ss"
    if dtype is None:
        imports += ", ml_dtypes"
        names = {"bf16": "bfloat16", "f8_e4m3": "float8_e4m3fn", "f8_e5m2": "float8_e5m2"}
        dtype = f"ml_dtypes.{names[case.dtype]}"
    load = f"A = np.load({str(path)!r})['A']"
    plain = ("svds", "randomized_svd", "svdvals", "spectrum", "spectral_density", "moments")
    if case.function not in plain or case.layout in PRODUCTS:
        return f"python -m tests.campaign --file {path}"
    options: dict[str, Any] = dict(case.options)
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    made = f"r = ss.{case.function}(A.astype({dtype}){given})"
    shown = {
        "svds": "print(r.s, r.errors, np.linalg.svd(A, compute_uv=False))",
        "randomized_svd": "print(r.s, r.errors, np.linalg.svd(A, compute_uv=False))",
        "svdvals": "print(r.values, r.errors, np.linalg.svd(A, compute_uv=False))",
        "spectrum": "print(r.measures)",
        "spectral_density": "print(r.nuclear_norm(), np.linalg.svd(A, compute_uv=False).sum())",
        "moments": "print(r)",
    }[case.function]
    return f'python -c "{imports}; {load}; {made}; {shown}"'
