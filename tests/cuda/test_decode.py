# SPDX-License-Identifier: BSD-3-Clause
"""Decoding and surveying panels on the simulated device gives the bits of the processor."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.cuda_builds import (
    ASAN,
    CPP,
    CUDA,
    PLAIN,
    ROOT,
    Build,
    built,
    compiler,
    processor_runs,
)
from tests.support.tiers import parametrize_builds

ISAS = ("avx2",)
"""The instruction set that the device is compared with; test_elements.py compares with all."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unsanitized,
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"),
    pytest.mark.skipif(not processor_runs(ISAS[0]), reason="needs fused multiply-adds, of AVX2"),
]

HERE = ROOT / "tests" / "cuda"
SOURCES = [
    *(HERE / name for name in ("decode_main.cpp", "survey_check.cpp")),
    *(CUDA / "kernels" / name for name in ("bytes.cu", "decode.cu", "survey.cu")),
    *(CPP / "matrix" / name for name in ("matrix.cpp", "panel.cpp")),
    *(CPP / "storage" / name for name in ("file.cpp", "memory.cpp")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decode")


@parametrize_builds(PLAIN, ASAN)
def test_panels_have_the_bits_of_the_processor(build: Build, folder: Path, objects: Path) -> None:
    program = built(build, SOURCES, folder / build.name, objects=objects, isas=ISAS)
    pairs, cases = ([(0, 1), (1, 2), (2, 0)], 80) if build is PLAIN else ([(2, 0)], 30)
    for order, timing in pairs:  # each order and each timing
        command = [str(program), *map(str, (order, timing, 3 * order + timing, cases))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
