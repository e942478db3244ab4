# SPDX-License-Identifier: BSD-3-Clause
"""Valid arguments of native functions, for tests of what these read and return."""

from __future__ import annotations

from typing import Any

SHARED: dict[str, Any] = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None}
"""Options of every algorithm."""

BY_NAME: dict[str, dict[str, Any]] = {
    "krylov": {
        "k": 3,
        "tol": 1e-3,
        "block": 4,
        "max_steps": 9,
        "soft_restart_columns": 0,
        "hard_restart_columns": 0,
        "refusal_columns": 0,
        "full_readout_columns": 0,
        "seed": 0,
        "vectors": True,
        "bounded": False,
        "density": False,
        "products": "full",
        "tolerance_of": "residuals",
        "rounded_copy": False,
        "f64": True,
    },
    "gram_top": {
        "k": 3,
        "tol": 1e-3,
        "vectors": True,
        "may_complete": False,
        "at_once": False,
        "value_tol": 1e-4,
        "seed": 0,
    },
}
"""Arguments of the functions that read all of theirs by name."""
