# SPDX-License-Identifier: BSD-3-Clause
"""A BLAS whose kernels compute wrong products on a processor: the module does not load with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sigmascope as ss

# How many arguments each routine takes, which of them is its result, and which the order.
ROUTINES = {
    "dgemm": (13, 11, 2),
    "dsymm": (12, 10, 2),
    "dsyrk": (10, 8, 2),
    "dtrmm": (11, 9, 4),
    "dsymv": (10, 8, 1),
    "dgemv": (11, 9, 1),
}

# The routine itself, and a change of the last entry of its result where the order is ORDER.
_SHIM = r"""
#include <dlfcn.h>

void scipy_{routine}_({parameters}) {{
  void* blas = dlopen(BLAS, RTLD_NOW);
  void (*next)({types}) = (void (*)({types}))dlsym(blas, "scipy_{routine}_");
  next({arguments});
  double* result = (double*)a{result};
  if (*(int*){order} == ORDER) result[LAST] {change};
}}
"""


def load_with(
    tmp_path: Path, routine: str, order: int, change: str
) -> subprocess.CompletedProcess[str]:
    """Import sigmascope in a process in which a routine of BLAS is changed."""
    count, result, order_argument = ROUTINES[routine]
    source = _SHIM.format(
        routine=routine,
        parameters=", ".join(f"void* a{i}" for i in range(count)),
        types=", ".join(["void*"] * count),
        arguments=", ".join(f"a{i}" for i in range(count)),
        result=result,
        order=f"a{order_argument}",
        change=change,
    )
    library = tmp_path / "shim.so"
    blas = Path(ss.__file__).with_name("_libs") / "libscipy_openblas.so"
    last = order - 1 if routine.endswith("v") else order**2 - 1
    defined = [f"-DORDER={order}", f"-DLAST={last}", f'-DBLAS="{blas}"']
    subprocess.run(
        ["g++", "-x", "c", "-shared", "-fPIC", *defined, "-o", library, "-", "-ldl"],
        input=source,
        text=True,
        check=True,
    )
    return subprocess.run(
        [sys.executable, "-c", "import sigmascope as ss; print(ss.svdvals([[3.0, 4.0]]))"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.unsanitized  # a sanitizer must be the first that is preloaded
@pytest.mark.parametrize(
    ("routine", "order"),
    [
        pytest.param(routine, order, marks=[] if routine == "dgemm" else pytest.mark.slow)
        for routine in ROUTINES
        for order in (3, 37)
    ],
)
def test_a_wrong_product_is_refused(routine: str, order: int, tmp_path: Path) -> None:
    run = load_with(tmp_path, routine, order, "+= 1")
    assert run.returncode == 1
    assert not run.stdout
    message = run.stderr.splitlines()[-1]
    assert message.startswith("ImportError: OpenBLAS computes wrong products on this processor")
    assert f"an entry of {routine} of two integer matrices of order {order} is" in message
    assert "OPENBLAS_CORETYPE=" in message


@pytest.mark.unsanitized
def test_a_product_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    run = load_with(tmp_path, "dgemm", 3, '*= __builtin_nan("")')
    assert run.returncode == 1
    assert "order 3 is nan" in run.stderr


@pytest.mark.slow
@pytest.mark.unsanitized
def test_right_products_load(tmp_path: Path) -> None:
    run = load_with(tmp_path, "dgemm", 3, "+= 0")
    assert run.returncode == 0
    assert "sigma = [5]" in run.stdout
