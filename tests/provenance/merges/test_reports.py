# SPDX-License-Identifier: BSD-3-Clause
"""Reports for pipelines: XML of JUnit, and SARIF."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmascope.provenance import Verification, verify

Q, K, NORM = (
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.norm.weight",
)

STRANGE = "strange \x00\x1b[2J name"


def weights(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    matrices = {name: rng.standard_normal((40, 40)).astype(np.float32) for name in (Q, K)}
    return matrices | {NORM: np.ones(40, np.float32), STRANGE: np.ones((3, 4), np.float32)}


def verification(**changed: Any) -> Verification:
    merged = {name: x for name, x in (weights() | changed).items() if x is not None}
    return verify(weights(), merged, weights(1), expect=["linear", "identical"])


@pytest.fixture
def result() -> Verification:
    """Q is another matrix, K is missing, and the norm and the strange name are as they were."""
    return verification(**{Q: weights(2)[Q], K: None})


def test_a_test_case_for_each_claim_and_tensor(result: Verification, tmp_path: Path) -> None:
    result.save(tmp_path / "x.xml")
    root = ElementTree.parse(tmp_path / "x.xml").getroot()
    (suite,) = root.findall("testsuite")
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert set(cases) >= {"linear", "identical", Q, K, NORM}
    assert suite.get("tests") == str(len(suite.findall("testcase"))) == "6"
    assert (suite.get("failures"), suite.get("errors")) == ("3", "0")
    failure = cases[Q].find("failure")
    assert failure is not None
    assert failure.get("type") == "unexplained"
    assert "of 1,600 numbers moved" in str(failure.get("message"))
    assert cases["linear"].find("failure") is not None
    assert cases[K].find("skipped") is not None
    assert len(cases[NORM]) == 0
    text = suite.findtext("system-out")
    assert text is not None
    assert text.startswith("Not a linear merge")


def test_names_from_files_cannot_break_the_report(tmp_path: Path) -> None:
    result = verification(**{STRANGE: np.full((3, 4), 2, np.float32)})
    for suffix in (".xml", ".sarif"):
        result.save(tmp_path / f"x{suffix}")
        text = (tmp_path / f"x{suffix}").read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert "\x00" not in text
    ElementTree.parse(tmp_path / "x.xml")


def test_findings_name_rule_level_and_tensor(result: Verification, tmp_path: Path) -> None:
    result.save(tmp_path / "x.sarif")
    log = json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    findings = {
        (each["ruleId"], each["level"]): each
        for each in run["results"]
        if rules[each["ruleIndex"]] == each["ruleId"]
    }
    assert len(findings) == len(run["results"]) - 1  # two claims share a rule
    assert set(findings) == {
        ("verify/claim", "error"),
        ("verify/not-linear", "error"),
        ("verify/unpaired", "warning"),
    }
    location = findings["verify/not-linear", "error"]["locations"][0]
    assert location["logicalLocations"] == [{"name": Q, "kind": "member"}]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "dict%20in%20memory"


def test_a_right_file_has_no_findings(tmp_path: Path) -> None:
    result = verification()
    result.save(tmp_path / "x.sarif")
    result.save(tmp_path / "x.xml")
    assert result.verdict == "confirmed"
    run = json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8"))["runs"][0]
    assert run["results"] == []
    suite = ElementTree.parse(tmp_path / "x.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")


def test_a_format_that_is_not_supported_is_a_warning(tmp_path: Path) -> None:
    result = verification(**{STRANGE: np.ones((3, 4))})
    result.save(tmp_path / "x.sarif")
    assert result.verdict == "undetermined"
    run = json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8"))["runs"][0]
    assert {each["level"] for each in run["results"]} == {"warning"}
    assert "F64" in run["results"][-1]["message"]["text"]
