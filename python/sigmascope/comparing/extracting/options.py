# SPDX-License-Identifier: BSD-3-Clause
"""Every option of extract."""

from __future__ import annotations

from dataclasses import replace

from sigmascope._tables.options import MUST_MATCH, Option, table_of
from sigmascope._tables.scan_options import SCAN

EXTRACT = table_of(
    Option(
        "rank",
        "int | str | None",
        None,
        "Rank of every product.",
        "-r --rank",
        metavar="R",
        least=1,
    ),
    Option(
        "energy",
        "float | None",
        None,
        "Smallest share of the squared norm of each change that its product must hold, such as "
        "0.9. The rank follows from it.",
        "--energy",
        metavar="X",
    ),
    Option(
        "error",
        "float | None",
        None,
        "Largest part of the norm of each change that may remain, such as 0.1. The rank follows "
        "from it.",
        "--error",
        metavar="X",
    ),
    Option(
        "dtype",
        "str",
        "float32",
        "Format of the stored factors. The error is that of rounded factors.",
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        journal=MUST_MATCH,
    ),
    Option(
        "fan_in_fan_out",
        "bool | None",
        None,
        "Whether weights are stored with inputs as rows, as GPT-2 stores them.",
        journal=MUST_MATCH,
    ),
    Option(
        "whole",
        "bool",
        False,
        "Also write changed norms and biases in full, as modules_to_save and bias of PEFT.",
        "--whole",
        journal=MUST_MATCH,
    ),
    Option(
        "overwrite",
        "bool",
        False,
        "Replace an adapter in the folder, once the new one is complete.",
        "--overwrite",
    ),
    replace(
        SCAN["tol"],
        default=1e-4,
        help="Largest residual of the search, as a fraction of the largest value.",
    ),
    Option(
        "max_passes",
        "int",
        300,
        "Largest number of passes of a search.",
        journal=MUST_MATCH,
    ),
    Option(
        "precision",
        "str | None",
        None,
        "Precision of the blocks of a search.",
        journal=MUST_MATCH,
    ),
    *(SCAN[name] for name in ("seed", "num_threads", "memory_limit", "reading", "include")),
    *(SCAN[name] for name in ("exclude", "device", "resources", "executor", "workers", "progress")),
)
"""The keywords of extract. A journal records rank, energy or error as one text, `criterion`."""
