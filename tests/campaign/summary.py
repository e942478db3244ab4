# SPDX-License-Identifier: BSD-3-Clause
"""Summary of a campaign: counts, coverage, the slowest case; as a table or as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any


class Summary:
    def __init__(self, seed: int, isas: list[str]) -> None:
        self.seed, self.isas = seed, isas
        self.cases: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.searches: Counter[str] = Counter()
        self.unconverged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.ways: Counter[tuple[str, str]] = Counter()
        self.worst: dict[tuple[str, str], tuple[float, str]] = {}
        self.classes: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.z: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.slowest: tuple[float, str] = (0.0, "none")
        self.kinds: set[str] = set()
        self.dtypes: Counter[str] = Counter()
        self.seconds = 0.0

    def add(self, record: dict[str, Any]) -> None:
        """Count one case."""
        function, name = record["function"], f"{self.seed}:{record['index']}"
        self.cases[function] += 1
        self.kinds.add(record["kind"])
        self.dtypes[record["dtype"]] += 1
        self.seconds += record["seconds"]
        if record["refused"]:
            self.refused[record["refused"]] += 1
        if record["converged"] is not None:
            self.searches[function] += 1
            self.unconverged[function] += not record["converged"]
        for measure, z in record["z"].items():
            seen = self.z[measure]
            seen[0] += 1
            seen[1] += z <= 2
            seen[2] += z <= 4
        if (record["work"] or 0) > self.slowest[0]:
            self.slowest = record["work"], f"{function} of {record['kind']}, case {name}"
        self.failed[function] += bool(record["findings"])
        for what in {finding["what"] for finding in record["findings"]}:
            way = function, what
            self.ways[way] += 1
            self.classes[way][record["kind"]] += 1
            ratio = max(f["ratio"] for f in record["findings"] if f["what"] == what)
            self.worst[way] = max(self.worst.get(way, (-1.0, "")), (ratio, name))

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "seed": self.seed,
            "instruction_sets": self.isas,
            "cases": sum(self.cases.values()),
            "failures": sum(self.failed.values()),
            "classes": len(self.kinds),
            "dtypes": dict(self.dtypes),
            "functions": {
                name: {
                    "cases": self.cases[name],
                    "failures": self.failed[name],
                    "not_converged": self.unconverged[name] if self.searches[name] else None,
                }
                for name in sorted(self.cases)
            },
            "failures_by_way": [
                {
                    "function": function,
                    "what": what,
                    "cases": count,
                    "worst_ratio": self.worst[function, what][0],
                    "worst_case": self.worst[function, what][1],
                    "classes": dict(self.classes[function, what].most_common()),
                }
                for (function, what), count in self.ways.most_common()
            ],
            "coverage": {
                name: {"cases": count, "within_2": two / count, "within_4": four / count}
                for name, (count, two, four) in sorted(self.z.items())
            },
            "refused": dict(self.refused),
            "slowest": {"work": self.slowest[0], "case": self.slowest[1]},
            "processor_seconds": self.seconds,
        }

    def text(self) -> str:
        """The same for people."""
        lines = [
            f"seed {self.seed}, {', '.join(self.isas)}: {sum(self.cases.values())} cases of "
            f"{len(self.kinds)} classes, {sum(self.failed.values())} failed",
            "",
            f"{'function':22}{'cases':>8}{'failed':>8}{'not converged':>16}",
        ]
        for name in sorted(self.cases):
            searches = self.searches[name]
            rate = f"{self.unconverged[name] / searches:.1%}" if searches else ""
            lines.append(f"{name:22}{self.cases[name]:8}{self.failed[name]:8}{rate:>16}")
        lines += ["", f"{'measure':40}{'cases':>8}{'<= 2 errors':>13}{'<= 4':>9}"]
        for name, (count, two, four) in sorted(self.z.items()):
            lines.append(f"{name:40}{count:8}{two / count:13.2%}{four / count:9.2%}")
        lines += [
            "",
            f"slowest: {self.slowest[0]:.2f} of the full decomposition, {self.slowest[1]}",
        ]
        if self.refused:
            lines.append("refused: " + ", ".join(f"{n} x {e}" for e, n in self.refused.items()))
        if self.ways:
            lines += ["", "failures:"]
        for (function, what), count in self.ways.most_common():
            ratio, case = self.worst[function, what]
            kinds = self.classes[function, what].most_common()
            shown = ", ".join(f"{kind} {n}" for kind, n in kinds[:6])
            more = f" and {len(kinds) - 6} more" if len(kinds) > 6 else ""
            lines.append(f"{count:6} {function}, {what}: worst {ratio:.3g} ({case}); {shown}{more}")
        return "\n".join(lines)
