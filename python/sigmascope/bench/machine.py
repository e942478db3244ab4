# SPDX-License-Identifier: BSD-3-Clause
"""Cores and threads that are the same for every library, and a description of the machine."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sigmascope import __version__, show_config

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables from which libraries take their number of threads when they are loaded."""


def installed(package: str) -> bool:
    """Return True if a package can be imported."""
    return find_spec(package) is not None


def physical_cores(processors: Iterable[int]) -> list[int]:
    """Return one logical processor of every core among these processors."""
    first: dict[str, int] = {}
    for cpu in sorted(processors):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = siblings.read_text(encoding="ascii") if siblings.exists() else str(cpu)
        first.setdefault(core, cpu)
    return list(first.values())


def chosen_cores(threads: int | None) -> list[int]:
    """Return one processor each of `threads` cores; at most, and by default, all allowed ones."""
    cores = physical_cores(os.sched_getaffinity(0))
    return cores[: min(threads or len(cores), len(cores))]


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment of this process with the number of threads for every library."""
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def nvidia_driver(path: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """Return the version of the NVIDIA driver; None if the system does not give it."""
    try:
        match = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", path.read_text(encoding="utf-8"))
    except OSError:
        return None
    return match[1] if match else None


def version_of(distribution: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def busy_note(load: float, cores: int) -> str:
    """Return a warning if other programs take a quarter of the cores or more; else ""."""
    if load < 0.25 * cores:
        return ""
    return (
        f"The machine was busy when the benchmark began (load {load:.3g} on "
        f"{cores} core{'s' if cores > 1 else ''}): times may be too long and vary."
    )


def describe(threads: int, distributions: Iterable[str] = ()) -> dict[str, Any]:
    """Return what is needed to repeat a timing: processor, threads, versions; no host name."""
    config = show_config()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = {"python": platform.python_version(), "sigmascope": __version__}
    others = {name: version_of(name) for name in dict.fromkeys(["numpy", *distributions])}
    versions |= {name: version for name, version in others.items() if version}
    return {
        "processor": processor(),
        "cores": len(physical_cores(range(os.cpu_count() or 1))),
        "threads": threads,
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": config["isa"],
        "blas": config["blas"],
        "nvidia_driver": nvidia_driver(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": versions,
    }
