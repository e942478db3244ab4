# SPDX-License-Identifier: BSD-3-Clause
"""Kernels on blocks under the sanitizers, in every order of threads, blocks and streams."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.cuda_builds import ASAN, CUDA, PLAIN, ROOT, TSAN, Build, built, compiler
from tests.support.tiers import parametrize_builds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unsanitized,
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"),
]

KERNELS = ("bf16_parts", "group_sums", "products", "symmetric_sums", "tensor_products", "verbs")
SOURCES = [
    ROOT / "tests" / "cuda" / "blocks_main.cpp",
    *(CUDA / "kernels" / f"{name}.cu" for name in KERNELS),
]


@parametrize_builds(PLAIN, ASAN, TSAN)
def test_no_order_and_no_sanitizer_finds_a_mistake(
    build: Build, tmp_path: Path, objects: Path
) -> None:
    orders = [(0, 1), (1, 2), (2, 0)] if build is PLAIN else [(2, 0)]  # each order and timing
    command = [str(built(build, SOURCES, tmp_path, objects=objects))]
    if build is TSAN:  # which wants its addresses where they are without randomisation
        if shutil.which("setarch") is None:
            pytest.skip("needs setarch, to fix the addresses of a process")
        command = ["setarch", "-R", *command]
    for number, (order, timing) in enumerate(orders):
        given = [*command, *map(str, (order, timing, number, 1))]
        done = subprocess.run(given, capture_output=True, text=True, check=False, timeout=300)
        if build is TSAN and "Operation not permitted" in done.stderr:
            pytest.skip("the addresses of a process cannot be fixed here")
        assert done.returncode == 0, done.stdout + done.stderr


def test_sums_of_groups_take_at_most_64_mib(tmp_path: Path, objects: Path) -> None:
    """As many groups as fit are computed at once, of one result that is larger at least one."""
    wide = 2**14  # rows whose results of 64 columns take 2^20 numbers: a sixteenth of 64 MiB
    cases = {
        (70, 3, 0, 5000): (5, 5),
        (70, 3, 992, 64): (2, 2),  # the end of a group, and the start of the next
        (wide, 64, 0, 16 * 1024): (16, 16),
        (wide, 64, 0, 16 * 1024 + 1): (17, 16),
        (wide + 1, 64, 0, 16 * 1024): (16, 15),
        (16 * wide, 64, 0, 2048): (2, 1),
        (32 * wide, 64, 0, 2048): (2, 1),
        (0, 64, 0, 2048): (2, 2),
    }
    kernels = [
        CUDA / "kernels" / f"{name}.cu" for name in ("bf16_parts", "group_sums", "tensor_products")
    ]
    sources = [ROOT / "tests" / "cuda" / "groups_main.cpp", *kernels]
    program = built(PLAIN, sources, tmp_path, objects=objects)
    arguments = [str(number) for case in cases for number in case]
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=True)
    lines = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    expected = [(*counts, counts[1] * case[0] * case[1]) for case, counts in cases.items()]
    assert lines == expected
