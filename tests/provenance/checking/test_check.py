# SPDX-License-Identifier: BSD-3-Clause
"""Checks for pipelines: claims, verdicts, statuses and files."""

from __future__ import annotations

import json
import tomllib
import xml.etree.ElementTree as ElementTree
from math import log2
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.command_line import invoke
from tests.support.gguf_files import write_gguf
from tests.support.lineage_models import random_model, tuned
from tests.support.sources import ROOT

from sigmascope.errors import CheckpointError
from sigmascope.provenance import check

SCHEMA = ROOT / "docs" / "schemas" / "check.schema.json"
A, B = random_model(1), random_model(2)


def changed(relative: float) -> dict[str, Any]:
    """Return the model with changes of one relative size in every tensor."""
    rng = np.random.default_rng(3)
    made = {}
    for name, x in A.items():
        noise = rng.standard_normal(x.shape)
        made[name] = (x + relative * np.linalg.norm(x) / np.linalg.norm(noise) * noise).astype(
            x.dtype
        )
    return made


@pytest.mark.parametrize(
    ("after", "expect", "verdict"),
    [
        (A, ["identical", "relative<=0"], "confirmed"),
        (tuned(A, 1), "lineage", "confirmed"),
        (tuned(A, 1), "related", "confirmed"),
        (tuned(A, 1), "independent", "refuted"),
        (B, "independent", "undetermined"),
        (B, "related", "undetermined"),
        (tuned(A, 1), "identical", "refuted"),
        (tuned(A, 1), ["related", "identical"], "refuted"),
        (B, ["relative<=.5", "related"], "refuted"),
    ],
)
def test_claims(after: dict[str, Any], expect: Any, verdict: str) -> None:
    result = check(A, after, expect)
    assert result.verdict == verdict, result
    assert len(result.decisions) == (len(expect) if isinstance(expect, list) else 1)
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    jsonschema.validate(record, json.loads(SCHEMA.read_text(encoding="utf-8")))


@pytest.mark.parametrize("relative", [0.003, 0.04, 0.3])
def test_limits_of_the_change(relative: float) -> None:
    after = changed(relative)
    bits = -log2(relative)
    confirmed = f"relative<={1.01 * relative}", f"bits>={bits - 0.02}"
    refuted = f"relative<={0.99 * relative}", f"bits>={bits + 0.02}"
    assert {each.verdict for each in check(A, after, confirmed).decisions} == {"confirmed"}
    assert {each.verdict for each in check(A, after, refuted).decisions} == {"refuted"}
    for row in check(A, after, confirmed[0]).rows:
        assert row["relative"] == pytest.approx(relative, rel=1e-5)
        assert row["bits"] == pytest.approx(bits, rel=1e-5)


def test_a_tensor_of_zeros_and_a_missing_one() -> None:
    name = next(iter(A))
    zeros = A | {name: np.zeros_like(A[name])}
    result = check(zeros, A, "relative<=1000")
    assert result.verdict == "refuted"
    assert "zeros became other numbers" in result.decisions[0].reason
    assert check(zeros, zeros, "relative<=0").verdict == "confirmed"
    fewer = {other: x for other, x in A.items() if other != name}
    result = check(A, fewer, "relative<=.1")
    assert result.verdict == "undetermined"
    assert name in result.decisions[0].reason
    broken = A | {
        name: np.where(np.arange(A[name].size).reshape(A[name].shape) == 5, np.nan, A[name])
    }
    assert "not finite" in check(A, broken, "relative<=.1").decisions[0].reason


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ([], "nothing is expected"),
        ("better", "is not an expectation"),
        ("relative<=much", "'much' is not a finite number"),
        ("bits>=", "'' is not a finite number"),
        ("weights=1", "has 1 weights for 0 donors"),
    ],
)
def test_wrong_claims_are_named(expect: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(A, A, expect)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, weights in (("a", A), ("tuned", tuned(A, 1)), ("b", B)):
        save_file(
            {n: np.ascontiguousarray(x) for n, x in weights.items()}, folder / f"{name}.safetensors"
        )
    return folder


@pytest.mark.parametrize(
    ("after", "options", "status"),
    [
        ("a", ["--expect", "identical"], 0),
        ("tuned", ["--expect", "lineage", "--expect", "relative<=1"], 0),
        ("tuned", ["--expect", "identical"], 3),
        ("b", ["--expect", "independent"], 4),
        ("b", ["--expect", "independent", "--allow-undetermined"], 0),
        ("tuned", ["--expect", "independent", "--allow-undetermined"], 3),
        ("a", [], 2),
        ("a", ["--expect", "x"], 2),
        ("nothing", ["--expect", "identical"], 2),
    ],
)
def test_the_status_tells_the_verdict(
    files: Path, after: str, options: list[str], status: int
) -> None:
    paths = files / "a.safetensors", files / f"{after}.safetensors"
    assert invoke("check", *paths, *options)[0] == status


def test_several_files_are_written(files: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"x.{suffix}" for suffix in ("json", "xml", "sarif")]
    options = [part for path in outputs for part in ("--out", path)]
    paths = files / "a.safetensors", files / "tuned.safetensors"
    status, output, _ = invoke(
        "check", *paths, "--expect", "identical", "--expect", "lineage", *options
    )
    assert status == 3
    assert "identical: refuted" in output
    assert json.loads(outputs[0].read_text())["verdict"] == "refuted"
    suite = ElementTree.parse(outputs[1]).getroot().find("testsuite")
    assert suite is not None
    assert str(suite.get("name")).startswith("sigmascope check")
    assert json.loads(outputs[2].read_text())["runs"][0]["results"]
    with pytest.raises(ValueError, match=r"saved as \.json, \.html, \.xml or \.sarif"):
        check(A, A, "identical").save(tmp_path / "x.pdf")


def test_adapters_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        check(A, tmp_path / "nothing", "identical")


def test_the_hook_runs_the_command() -> None:
    """The file for pre-commit and the action call a command that is installed."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text()
    assert "entry: sigmascope check" in hook
    assert "sigmascope" in scripts
    action = (ROOT / ".github" / "actions" / "check" / "action.yml").read_text()
    assert "sigmascope check" in action
    assert "using: composite" in action


@pytest.mark.parametrize(("layout", "least"), [("Q4_0", 3.0), ("Q8_0", 6.5)])
def test_blocks_of_codes_are_measured_as_decoded_numbers(
    layout: str, least: float, tmp_path: Path
) -> None:
    gguf = pytest.importorskip("gguf")
    name, kind = "blk.0.ffn_up.weight", gguf.GGMLQuantizationType[layout]
    x = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    codes = gguf.quantize(x, kind)
    path = write_gguf(tmp_path / "x.gguf", {name: (layout, codes)}, general__architecture="llama")
    decoded = gguf.dequantize(codes, kind).astype(np.float64)
    bits = -log2(np.linalg.norm(decoded - x) / np.linalg.norm(x))
    assert bits > least
    (row,) = check({name: x}, path, f"bits>={bits - 0.01}").rows
    assert row["bits"] == pytest.approx(bits, rel=1e-6)
    assert check({name: x}, path, f"bits>={bits - 0.01}").verdict == "confirmed"
    assert check({name: x}, path, f"bits>={bits + 0.01}").verdict == "refuted"
