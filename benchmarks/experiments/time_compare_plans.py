# SPDX-License-Identifier: BSD-3-Clause
"""Times of comparisons over the times that their plans expect, of pairs of several sizes.

    python benchmarks/experiments/time_compare_plans.py FOLDER...    # each has before/ and after/

A folder is made by make_pair.py. A plan says "to within a factor of 2": the last line is the range.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import sigmascope as ss


def main() -> None:
    """Print a line for each folder, effort and number of threads, and the range of all ratios."""
    ratios = []
    for folder in map(Path, sys.argv[1:]):
        both = folder / "before", folder / "after"
        for threads in (1, 2):
            for effort in ("top", "density", "exact"):
                how: dict[str, Any] = {"effort": effort, "num_threads": threads}
                planned = ss.compare(*both, **how, plan=True).seconds
                began = time.perf_counter()
                comparison = ss.compare(*both, **how)
                ratios.append((time.perf_counter() - began) / planned)
                assert not comparison.failed
                print(
                    f"{folder.name}, {threads} threads, {effort}: {planned:.2f} s planned, "
                    f"{ratios[-1]:.2f} times as long",
                    flush=True,
                )
    print(f"{min(ratios):.2f} to {max(ratios):.2f} times as long as planned")


if __name__ == "__main__":
    main()
