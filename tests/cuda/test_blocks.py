# SPDX-License-Identifier: BSD-3-Clause
"""Kernels on blocks and on elements under the sanitizers, in every order of threads and streams."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.cuda_builds import (
    ASAN,
    CUDA,
    PLAIN,
    ROOT,
    TSAN,
    Build,
    built,
    compiler,
    run_program,
)
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
SOURCES_OF_ELEMENTS = [
    ROOT / "tests" / "cuda" / "elements_main.cpp",
    *(CUDA / "kernels" / f"{name}.cu" for name in ("bytes", "change", "moments", "survey")),
]


@parametrize_builds(PLAIN, ASAN, TSAN)
def test_no_order_and_no_sanitizer_finds_a_mistake(
    build: Build, tmp_path: Path, objects: Path
) -> None:
    orders = [(0, 1), (1, 2), (2, 0)] if build is PLAIN else [(2, 0)]  # each order and timing
    program = built(build, SOURCES, tmp_path, objects=objects)
    for number, (order, timing) in enumerate(orders):
        status, text = run_program(build, program, order, timing, number, 1)
        assert status == 0, text


@parametrize_builds(PLAIN, TSAN)
def test_sums_over_elements_have_the_same_bits_in_any_order(
    build: Build, tmp_path: Path, objects: Path
) -> None:
    """Survey, moments, counts of codes and change: their blocks share what they add to."""
    program = built(build, SOURCES_OF_ELEMENTS, tmp_path, objects=objects)
    sizes = (300, 4200) if build is PLAIN else (40, 600)  # of stretches of 4096 numbers
    for order, timing in [(1, 1), (2, 2)] if build is PLAIN else [(2, 0)]:
        status, text = run_program(build, program, order, timing, 3, *sizes)
        assert status == 0, text


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
