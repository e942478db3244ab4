# SPDX-License-Identifier: BSD-3-Clause
"""Tables of docs/regimes.md, from what the report found.

python -m benchmarks.regimes.page build/regimes/found.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "regimes.md"
BEGIN, END = "<!-- tables: made by benchmarks/regimes/page.py -->", "<!-- end of tables -->"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def pairs(result: Mapping[str, Mapping[str, Any]]) -> str:
    rows = (
        (
            group,
            each["pairs"],
            each["broad_above"],
            *(f"{mean:.3f}" for mean in each["means"]),
        )
        for group, each in result.items()
    )
    return table(("runs", "pairs", "broad above", "benchmark", "broad"), rows)


def means(result: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(
        f"{regime} {each['effective_rank']:.3f} ({each['runs']} runs)"
        for regime, each in result.items()
    )


def ladder(result: Mapping[str, Mapping[str, float]]) -> str:
    rows = (
        (
            name,
            each["runs"],
            f"{each['spearman']:.2f}",
            f"{each['residual_octaves']:.2f}",
            f"{each['auc']:.2f}",
            f"{each['auc_unseen_regimes']:.2f}",
        )
        for name, each in result.items()
    )
    head = ("score", "runs", "Spearman", "residual, octaves", "AUC", "AUC, regimes never fitted")
    return table(head, rows)


def counts(said: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {key}" for key, count in said.items())


def verdicts(groups: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """Return verdicts on runs that the calibration has not seen, by group and regime."""
    rows, refused = [], []
    for group, by_regime in groups.items():
        if all(set(said) == {"refused"} for each in by_regime.values() for said in each.values()):
            runs = sum(each["declared"]["refused"] for each in by_regime.values())
            refused.append(f"{group} ({runs})")
            continue
        for regime, said in by_regime.items():
            rows.append((group, regime, counts(said["undeclared"]), counts(said["declared"])))
    text = table(("runs", "data", "recipe not declared", "recipe declared"), rows)
    return f"{text}\n\nRefused, all of them, declared or not: {', '.join(refused)}."


def design(result: Mapping[str, Any]) -> str:
    few, many = result["cells"]
    rows = []
    for novelty, words in (("known", "best"), ("new", "least")):
        ranks = [result["effective_rank"][f"{novelty}, {cells}"] for cells in (few, many)]
        losses = [result["first_loss"][f"{novelty}, {cells}"] for cells in (few, many)]
        rows.append(
            (
                words,
                *(f"{rank:.3f} ({loss:.2f})" for rank, loss in zip(ranks, losses, strict=True)),
                f"{result['broad_above'][novelty]} of {result['bases']}",
            )
        )
    return table(
        ("cells that the base knows", f"{few} cells", f"{many} cells", "broad above"), rows
    )


def behaviour(result: Mapping[str, Mapping[str, float]]) -> str:
    sets = [name for name in next(iter(result.values())) if name != "runs"]
    rows = (
        (regime, each["runs"], *(f"{each[name]:.2f}" for name in sets))
        for regime, each in result.items()
    )
    return table(("data", "runs", *sets), rows)


def two_models(paired: Mapping[str, Mapping[str, int]]) -> str:
    ways = {
        "flips of signs over blocks": paired["blocks"],
        "spread within classes, calibration of the other bases": paired["calibrated"],
    }
    return table(
        [
            "p-value from",
            "same data, other seed: p ≤ 0.05",
            "benchmark and broad: sign right",
            "benchmark and broad: p ≤ 0.05",
        ],
        [
            [
                way,
                f"{counts['same_data_rejected']} of {counts['same_data']}",
                f"{counts['sign_right']} of {counts['benchmark_broad']}",
                f"{counts['significant']} of {counts['benchmark_broad']}",
            ]
            for way, counts in ways.items()
        ],
    )


def tables(result: Mapping[str, Any]) -> str:
    """Return all tables, each under its heading."""
    rate, own, paired = result["verdicts"]["error_rate"], result["own"], result["paired"]
    novelty = result["novelty"]
    parts = [
        "### The sign in matched pairs",
        pairs(result["pairs"]),
        f"Means of exp(E) over the runs of the main recipe: {means(result['levels'])}.",
        "### The ladder of breadth",
        ladder(result["ladder"]),
        f"With breadths exchanged at random within bases: p of the first row "
        f"{result['permutation']['p']:.3f}, mean AUC {result['permutation']['auc']:.2f}.",
        "### Verdicts",
        result["verdicts"]["text"],
        f"Right, wrong and undecided of narrow runs: {triple(rate['narrow'])}; of broad runs: "
        f"{triple(rate['broad'])}.",
        verdicts(result["verdicts"]["groups"]),
        f"Of the calibration's own {own['runs']} runs, each judged by all others, {own['refused']} "
        "are refused.",
        "### Two models of one base",
        two_models(paired),
        "### Breadth and novelty",
        f"Rank correlations on the ladder, within bases: of the spread with breadth "
        f"{novelty['breadth']:.2f}, with the base's loss on the data {novelty['loss']:.2f}; with "
        f"breadth at a fixed loss {novelty['breadth_at_fixed_loss']:.2f}, with the loss at a fixed "
        f"breadth {novelty['loss_at_fixed_breadth']:.2f}.",
    ]
    if result["novelty_design"]:
        parts += [
            "Few cells and many, with the same loss of the base before: exp(E), and in brackets "
            "the mean loss of the first five steps.",
            design(result["novelty_design"]),
        ]
    if result["behaviour"]:
        parts += [
            "### Behaviour",
            "Share of examples whose whole answer is right: the base, of width 128, and 250 steps "
            "on.",
            behaviour(result["behaviour"]),
        ]
    return "\n\n".join(parts)


def triple(counted: Mapping[str, int]) -> str:
    return ", ".join(str(counted[name]) for name in ("right", "wrong", "undecided"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tables of docs/regimes.md.")
    parser.add_argument("found", type=Path, help="what the report wrote")
    given = parser.parse_args()
    result = json.loads(given.found.read_text(encoding="utf-8"))
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{PAGE}: no markers for the tables")
    text = f"{before}{BEGIN}\n\n{tables(result)}\n\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
