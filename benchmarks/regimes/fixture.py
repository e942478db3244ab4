# SPDX-License-Identifier: BSD-3-Clause
"""Runs as a fixture of tests: spreads of the main runs, and rows of runs that were not fitted.

python -m benchmarks.regimes.fixture tests/diagnosis/runs.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .found import Found, load, of
from .run import FOLDER

COLUMNS = (
    "name",
    "status",
    "layer",
    "role",
    "tower",
    "rows",
    "columns",
    "before_dtype",
    "after_dtype",
    "relative_change",
    "decay_coefficient",
    "projected_effective_rank",
    "projected_quantiles",
    "rounding_floor",
    "rounding_effective_rank",
    "delta_fro_norm",
    "delta_mp_outliers",
)
"""Columns of a comparison that a diagnosis reads."""

OTHER_RECIPES = ("third of the rate", "higher rate", "muon", "sgd", "adapter")
DIGITS = 7


def shortened(value: Any) -> Any:
    """Round every number of a row."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return [shortened(each) for each in value] if isinstance(value, list) else value


def entry(x: Found) -> dict[str, Any]:
    rows = [
        {column: shortened(row.get(column)) for column in COLUMNS}
        for row in x.rows
        if row["layer"] is not None and row["status"] == "analysed"
    ]
    run = x.run
    facts = {"name": run.name, "group": run.group, "regime": run.regime, "base": run.base}
    return facts | {"recipe": run.recipe, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write runs as a fixture of tests.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    result = load(given.folder)
    others = [x for group in OTHER_RECIPES for x in of(result, group) if x.run.base == "base1"]
    chosen = [*of(result, "worded"), *of(result, "increments"), *others]
    record = {
        "main": [
            {
                "regime": x.run.regime,
                "base": x.run.base,
                "seed": x.run.seed,
                "spread": shortened(x.spread),
            }
            for x in of(result, "main")
        ],
        "others": [entry(x) for x in chosen],
    }
    text = json.dumps(record, separators=(",", ":"))
    given.out.write_text(text.replace('{"name":"', '\n{"name":"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
