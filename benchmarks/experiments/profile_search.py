# SPDX-License-Identifier: BSD-3-Clause
r"""Time of the three spectra of one pair of matrices: of W, of W' and of W' - W.

    python benchmarks/experiments/make_pair.py FOLDER
    python benchmarks/experiments/profile_search.py FOLDER model.layers.0.mlp.gate_proj.weight \
        --threads 1

The times are milliseconds, the median of some calls, of `spectrum` at effort "density" with
vectors, as `compare` calls it. Both matrices are in memory. To compare two builds, run them in
turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import sigmascope as ss
from sigmascope._host.threads import set_numpy_threads


def main() -> None:
    arguments = argparse.ArgumentParser(description="Spectra of one pair, timed.")
    arguments.add_argument("folder", type=Path, help="with before/ and after/")
    arguments.add_argument("name", help="of the weight")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--calls", type=int, default=7)
    given = arguments.parse_args()
    set_numpy_threads(1)
    w, after = (
        ss.open_checkpoint(given.folder / s)[given.name].load() for s in ("before", "after")
    )
    how = {"k": 64, "vectors": True, "elements": False, "num_threads": given.threads}
    for what, a in (("W", w), ("W'", after), ("W' - W", after - w)):
        times = []
        for _ in range(given.calls):
            started = time.perf_counter()
            spectrum = ss.spectrum(a, effort="density", **how)
            times.append(1e3 * (time.perf_counter() - started))
        m, n = a.shape
        print(f"{what:<7} {m} x {n}  {np.median(times):8.1f} ms  {spectrum.columns} columns")


if __name__ == "__main__":
    main()
