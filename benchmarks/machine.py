# SPDX-License-Identifier: BSD-3-Clause
"""The same cores and the same number of threads for every library, and what machine that was."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import threadpoolctl

import sigmascope as ss

DISTRIBUTIONS = ("numpy", "scipy", "scikit-learn", "torch")


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return find_spec(package) is not None


def physical_cores(processors: Iterable[int]) -> list[int]:
    """One logical processor of every core among these."""
    first: dict[str, int] = {}
    for cpu in sorted(processors):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = siblings.read_text(encoding="ascii") if siblings.exists() else str(cpu)
        first.setdefault(core, cpu)
    return list(first.values())


def pin(threads: int | None) -> int:
    """Keep the process on as many whole cores as it has threads; set every library to that number.

    Returns the number: as asked, at most and by default that of the physical cores.
    """
    cores = physical_cores(os.sched_getaffinity(0))
    count = min(threads or len(cores), len(cores))
    os.sched_setaffinity(0, cores[:count])
    # Only libraries that are loaded can be limited.

    if installed("sklearn"):
        import sklearn.utils.extmath  # noqa: F401
    if installed("torch"):
        import torch

        torch.set_num_threads(count)
    threadpoolctl.threadpool_limits(count)
    ss.set_num_threads(count)
    return count


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe(threads: int) -> dict[str, Any]:
    """What a reader must know to repeat a timing; no host name."""
    config = ss.show_config()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = {"python": platform.python_version(), "sigmascope": ss.__version__}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": len(physical_cores(range(os.cpu_count() or 1))),
        "threads": threads,
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": config["isa"],
        "blas": config["blas"],
        "versions": versions,
    }
