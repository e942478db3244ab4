# SPDX-License-Identifier: BSD-3-Clause
"""Verifications for pipelines: JUnit's XML, and SARIF 2.1.0 (OASIS, 2020)."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sigmascope.extension import writable

from .tensors import CHANGED, ESTIMATED, FAILED, SKIPPED, UNEXPLAINED, UNPAIRED, Row

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"

RULES = {
    "verify/claim": "The claims about the merged file are confirmed.",
    "verify/not-linear": "Weights of the donors explain every number of a tensor.",
    "verify/untouched-changed": "A tensor that no donor changes is that of the base.",
    "verify/unpaired": "Every tensor has a partner in the other file.",
    "verify/not-verified": "Every tensor can be read and is stored in a supported format.",
}
"""Rules, each a statement that holds if it is not broken."""

RULE_OF = {
    UNEXPLAINED: "verify/not-linear",
    CHANGED: "verify/untouched-changed",
    UNPAIRED: "verify/unpaired",
    SKIPPED: "verify/not-verified",
    ESTIMATED: "verify/not-verified",
    FAILED: "verify/not-verified",
}

ERRORS = (UNEXPLAINED, CHANGED, FAILED)


@dataclass(frozen=True)
class Report:
    """The parts of a verification that pipelines show.

    Attributes
    ----------
    merged
        Path of the merged file or folder.
    verdict
        The verdict on all claims.
    decisions
        Claim, verdict and reason of each.
    sentences
        The result in sentences.
    rows
        One row for each tensor.
    version
        Version of this program.
    name
        The command.
    """

    merged: str
    verdict: str
    decisions: Sequence[tuple[str, str, str]]
    sentences: Sequence[str]
    rows: Sequence[Row]
    version: str
    name: str = "verify"


def report_forms(report: Report) -> dict[str, Callable[[], str]]:
    """Return functions that write a report, by the suffixes of its files."""
    return {
        ".xml": lambda: junit(report),
        ".sarif": lambda: json.dumps(sarif(report), indent=1) + "\n",
    }


def junit(report: Report) -> str:
    """Return JUnit's XML: a test case for each claim, then one for each tensor."""
    cases = [*_claims(report), *(_case(row) for row in report.rows)]
    failures = sum(case.find("failure") is not None for case in cases)
    errors = sum(case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=f"sigmascope {report.name} {_plain(report.merged)}",
        tests=str(len(cases)),
        failures=str(failures),
        errors=str(errors),
        skipped=str(skipped),
    )
    suite.extend(cases)
    output = ElementTree.SubElement(suite, "system-out")
    output.text = _plain("\n".join(report.sentences))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _claims(report: Report) -> Iterator[ElementTree.Element]:
    for claim, verdict, reason in report.decisions:
        case = ElementTree.Element("testcase", classname="claims", name=_plain(claim))
        if verdict == "refuted":
            ElementTree.SubElement(case, "failure", message=_plain(reason), type=verdict)
        elif verdict == "undetermined":
            ElementTree.SubElement(case, "skipped", message=_plain(reason))
        yield case


def _case(row: Row) -> ElementTree.Element:
    name = str(row["name"] or row["merged"])
    case = ElementTree.Element("testcase", classname="tensors", name=_plain(name))
    status = row["status"]
    if status == FAILED:
        ElementTree.SubElement(case, "error", message=_plain(_message(row)), type=status)
    elif status in ERRORS:
        ElementTree.SubElement(case, "failure", message=_plain(_message(row)), type=status)
    elif status in RULE_OF:
        ElementTree.SubElement(case, "skipped", message=_plain(_message(row)))
    return case


def _message(row: Row) -> str:
    if row["reason"]:
        return str(row["reason"])
    moved = f"{row['changed']:,} of {row['numbers']:,} numbers moved"
    if row["status"] == CHANGED:
        return f"{moved}, and no donor changes this tensor"
    return f"{moved}, and no weights of the donors explain them"


def _plain(text: str) -> str:
    """Return text without characters that XML does not allow; names come from files."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in writable(text)
    )


def sarif(report: Report) -> dict[str, Any]:
    """Return a log in SARIF: a result for each claim that is not confirmed, and for each tensor
    that breaks a rule.
    """
    results = [
        _result("verify/claim", f"{claim}: {verdict}: {reason}", _level(verdict), report.merged)
        for claim, verdict, reason in report.decisions
        if verdict != "confirmed"
    ]
    for row in report.rows:
        rule = RULE_OF.get(row["status"])
        if rule is not None:
            level = "error" if row["status"] in ERRORS else "warning"
            name = str(row["name"] or row["merged"])
            results.append(_result(rule, f"{name}: {_message(row)}", level, report.merged, name))
    driver = {
        "name": "sigmascope",
        "version": report.version,
        "rules": [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()],
    }
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return {"$schema": SARIF, "version": "2.1.0", "runs": [run]}


def _level(verdict: str) -> str:
    return "error" if verdict == "refuted" else "warning"


def _result(rule: str, text: str, level: str, path: str, tensor: str = "") -> Mapping[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote(writable(path))}}
    }
    if tensor:
        location["logicalLocations"] = [{"name": writable(tensor), "kind": "member"}]
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": level,
        "message": {"text": writable(text)},
        "locations": [location],
    }
