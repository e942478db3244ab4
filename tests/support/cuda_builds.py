# SPDX-License-Identifier: BSD-3-Clause
"""Programs of kernels for the simulated device, built by the host's compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CUDA = ROOT / "cuda"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-Wno-unknown-pragmas")


@dataclass(frozen=True, slots=True)
class Build:
    """Flags of a build, for the simulator and for what it runs."""

    name: str
    simulator: tuple[str, ...] = ()
    program: tuple[str, ...] = ()


ADDRESSES = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
PLAIN = Build("plain")
ASAN = Build("asan", ADDRESSES, ADDRESSES)
# The simulator is not instrumented: what it does between fibers is no order of theirs.
TSAN = Build("tsan", ("-DSIGMASCOPE_SIMULATOR_TSAN",), ("-fsanitize=thread",))


def compiler() -> str | None:
    return os.environ.get("CXX") or shutil.which("g++")


def built(build: Build, sources: list[Path], folder: Path) -> Path:
    """Compile kernels and a main program with the simulator, and return the program."""
    folder.mkdir(parents=True, exist_ok=True)
    simulator = sorted((CUDA / "simulator").glob("*.cpp"))

    def compiled(source: Path) -> Path:
        own = build.simulator if source in simulator else build.program
        made = folder / f"{source.name}.o"
        command = [compiler() or "g++", "-std=c++20", "-O1", "-g", "-ffp-contract=off", *WARNINGS]
        command += ["-DSIGMASCOPE_SIMULATED", f"-I{CUDA}", f"-I{sources[0].parent}", *own]
        command += ["-x", "c++", "-c", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, [*simulator, *sources]))
    program = folder / "program"
    link = [compiler() or "g++", *build.program, *map(str, objects), "-pthread", "-o", str(program)]
    done = subprocess.run(link, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
