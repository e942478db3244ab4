# SPDX-License-Identifier: BSD-3-Clause
"""One case, run again in this process, and everything that there is to say of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from .calls import run
from .cases import Case, draw
from .truth import Truth


def show(name: str | None, file: Path | None) -> int:
    """Print one case, by its name or from a file, and what is wrong; 1 if anything is."""
    if file is not None:
        record = json.loads(str(np.load(file)["case"]))
        isa = record.pop("isa")
        if isa and os.environ.get("SIGMASCOPE_ISA") != isa:
            print(f"it failed with SIGMASCOPE_ISA={isa}")
        case = Case(**record)
    else:
        seed, _, index = str(name).partition(":")
        case = draw(int(seed), int(index))
    for key, value in case.record().items():
        print(f"{key:12} {value}")
    truth = Truth(case.numbers())
    shown = ", ".join(f"{value:.10g}" for value in truth.values[:8])
    print(f"{'true sigma':12} {shown} (times 2^{truth.shift})")
    outcome = run(case)
    print(f"{'converged':12} {outcome.converged}\n{'seconds':12} {outcome.seconds:.4f}")
    for measure, z in outcome.z.items():
        print(f"{measure}: {z:.3g} errors")
    for finding in outcome.findings:
        print(f"WRONG {finding.what}: {finding.detail} (ratio {finding.ratio:.4g})")
    if not outcome.findings:
        print("right")
    return 1 if outcome.findings else 0
