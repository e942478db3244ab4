# SPDX-License-Identifier: BSD-3-Clause
"""Kernels on more than 2^32 numbers, of which the last block of threads runs; and copies.

The numbers have addresses, but memory only where that block reads or writes. An index of 32 bits
is another place, which has none: the program ends by a segmentation fault.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.support.cuda_builds import CPP, CUDA, PLAIN, ROOT, built, compiler, run_program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unsanitized,
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"),
]

PARTS = ("copies", "elements", "main", "products", "sums", "verbs")
SOURCES = [
    *(ROOT / "tests" / "cuda" / f"large_{name}.cpp" for name in PARTS),
    *sorted((CUDA / "kernels").glob("*.cu")),
    *(CUDA / "runtime" / f"{name}.cpp" for name in ("batch", "contexts")),
    *(CUDA / "memory" / f"{name}.cpp" for name in ("pinned_memory", "upload")),
    CPP / "kernels" / "blocks" / "thread_pool.cpp",
    *(CPP / "storage" / f"{name}.cpp" for name in ("file", "memory")),
]
CASES = [
    "a large result",
    "change",
    "combine",
    "count_codes",
    "decode_columns",
    "decode_columns of a piece",
    "decode_rows",
    "decode_rows of a piece",
    "fill_words",
    "gaussian",
    "group_sums",
    "inner of long blocks",
    "inner of wide blocks",
    "moments",
    "products across rows",
    "products along rows",
    "products of many terms",
    "products that go on",
    "scale_sums",
    "set_formats",
    "split_block",
    "survey",
    "symmetric_sums",
    "tensor_products by columns",
    "tensor_products by rows",
    "tensor_products of many terms",
    "to_bf16",
    "upload of a long line",
    "upload of far elements",
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Path:
    return built(PLAIN, SOURCES, tmp_path_factory.mktemp("large"), objects=objects)


@pytest.mark.parametrize("case", CASES)
def test_the_last_block_of_threads_has_its_own_numbers(case: str, program: Path) -> None:
    status, text = run_program(PLAIN, program, case)
    assert status != -signal.SIGSEGV, "the block uses numbers of others"
    assert status == 0, text
