# SPDX-License-Identifier: BSD-3-Clause
"""Programs of kernels for the simulated device, built by the host's compiler."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CPP, CUDA = ROOT / "cpp", ROOT / "cuda"
DOUBLES = ROOT / "tests" / "cuda"
"""The folder of the simulator, below which its headers have their paths."""

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
# The simulator is not instrumented: what it does between fibers does not order them.
TSAN = Build("tsan", ("-DSIGMASCOPE_SIMULATOR_TSAN",), ("-fsanitize=thread",))


def compiler() -> str | None:
    return os.environ.get("CXX") or shutil.which("g++")


def processor_runs(isa: str) -> bool:
    """Tell whether the processor has an instruction set of x86."""
    described = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not described.exists():
        return False
    has = set(re.sub("[_-]", "", described.read_text(encoding="utf-8")).split())
    flags = (flag for flag in isa_flags(isa) if not flag.startswith("-mprefer"))
    return {re.sub("[_-]", "", flag[2:]) for flag in flags} <= has  # Linux writes avx512_bf16


def native_isas() -> str:
    """Return CMake's list of the instruction sets that the processor has, scalar among them."""
    known = ("avx2", "avx512", "avx512bf16", "amx")
    return ";".join(("scalar", *filter(processor_runs, known)))


def isa_flags(isa: str) -> list[str]:
    """Return the flags of an instruction set in a build of the package."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(rf"set\(FLAGS_{isa} ([^)]*)\)", text)
    assert match, isa
    inherited = re.sub(r"\$\{FLAGS_(\w+)\}", lambda name: " ".join(isa_flags(name[1])), match[1])
    return inherited.split()


def _compiled(source: Path, flags: tuple[str, ...], objects: Path) -> Path:
    """Compile a source; a simulator or a kernel that several programs have is compiled once."""
    command = [compiler() or "g++", "-std=c++20", *WARNINGS, *flags]
    command += [f"-I{folder}" for folder in (CUDA, CPP, DOUBLES)]
    command += ["-x", "c++", "-c", str(source)]
    made = objects / f"{source.stem}-{hashlib.sha256(repr(command).encode()).hexdigest()[:16]}.o"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            command += ["-o", str(part)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            part.rename(made)
    return made


def _simulator(objects: Path) -> Path:
    """Join the simulator into one source, which compiles in a quarter of the time of its parts."""
    parts = sorted((DOUBLES / "simulator").glob("*.cpp"))
    source = objects / "simulator.cpp"
    with source.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not source.exists():
            source.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
    return source


def built(
    build: Build,
    sources: list[Path],
    folder: Path,
    *,
    objects: Path,
    isas: tuple[str, ...] = (),
) -> Path:
    """Compile kernels and a main program with the simulator, and return the program.

    `objects` is the fixture: the folder of what is compiled already. `isas` names the instruction
    sets of which it has the processor's kernels, without sanitizers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    usual = ("-O1", "-g1", "-ffp-contract=off", "-DSIGMASCOPE_SIMULATED")
    own = (*usual, *build.program)
    wanted = [(_simulator(objects), (*usual, *build.simulator))]
    wanted += [(source, own) for source in sources]
    for isa in isas:
        named = (f"-DSIGMASCOPE_ISA={isa}", f"-DSIGMASCOPE_ISA_{isa}")
        flags = ("-O2", "-ffp-contract=fast", "-fno-math-errno", *isa_flags(isa), *named)
        wanted.append((CPP / "kernels" / "simd" / "isa.cpp", flags))

    with ThreadPoolExecutor(2) as pool:
        compiled = list(pool.map(lambda each: _compiled(*each, objects), wanted))
    program = folder / "program"
    link = [compiler() or "g++", *build.program, *map(str, compiled)]
    link += ["-pthread", "-o", str(program)]
    done = subprocess.run(link, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run_program(build: Build, program: Path, *arguments: object) -> tuple[int, str]:
    """Return the exit status and what was printed; skip the test if a sanitizer cannot run here."""
    import pytest  # programs are also built where it is not installed

    command = [str(program), *map(str, arguments)]
    if build is TSAN:  # which wants its addresses where they are without randomisation
        if shutil.which("setarch") is None:
            pytest.skip("needs setarch, to fix the addresses of a process")
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if build is TSAN and "Operation not permitted" in done.stderr:
        pytest.skip("the addresses of a process cannot be fixed here")
    return done.returncode, done.stdout + done.stderr
