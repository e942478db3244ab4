# SPDX-License-Identifier: BSD-3-Clause
"""The same cores and the same number of threads for every library of this process."""

from __future__ import annotations

import os

import threadpoolctl

import sigmascope as ss
from sigmascope.bench import machine


def pin(threads: int | None) -> int:
    """Keep the process on as many whole cores as it has threads; set every library to that number.

    Returns the number: as asked, at most and by default that of the physical cores.
    """
    cores = machine.chosen_cores(threads)
    os.sched_setaffinity(0, cores)
    if machine.installed("torch"):
        import torch

        torch.set_num_threads(len(cores))
    threadpoolctl.threadpool_limits(len(cores))  # of the libraries that are loaded
    ss.set_num_threads(len(cores))
    return len(cores)
