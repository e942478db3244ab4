# SPDX-License-Identifier: BSD-3-Clause
"""The mistakes that docs/check.md names: each command prints what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.support.command_line import invoke
from tests.support.public_cases import CASES, write_model
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Mistakes that were reported in public")[2].partition("\n## ")[0]
EXAMPLES = dict(re.findall(r"^### (.*)\n((?:.|\n)*?)(?=^### |\Z)", SECTION, re.MULTILINE))
NUMBER = re.compile(r"\d[\d.,]*")


def words_of(text: str) -> str:
    """The text in one line, with each number as 0: other builds of torch draw other numbers."""
    return NUMBER.sub("0", " ".join(text.split()))


def test_each_case_is_on_the_page_and_each_example_is_a_case() -> None:
    assert list(EXAMPLES) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_command_prints_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_files, merge = CASES[name]
    files = open_files(tmp_path)
    merged = merge(files)
    missing = name == "A shard is missing"
    write_model(tmp_path / "base", files.base)
    write_model(tmp_path / "merged", merged, shards=2 if missing else 1)
    if missing:
        (tmp_path / "merged" / "model-00002-of-00002.safetensors").unlink()
    monkeypatch.chdir(tmp_path)
    lines = [line[4:] for line in EXAMPLES[name].splitlines() if line.startswith("    ")]
    command, *printed, question, status = lines
    assert question == "$ echo $?"
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "sigmascope"
    code, output, error = invoke(*arguments)
    assert code == int(status)
    result = (output + error).replace(str(tmp_path), "/models")
    assert words_of(result) == words_of("\n".join(printed))


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("Scaled by alpha / r instead of alpha / √r", "0.35355"),
        ("Scaled by alpha instead of alpha / r", "8.0"),
    ],
)
def test_the_weights_on_the_page_are_those_of_the_mistake(name: str, weight: str) -> None:
    assert f"is base + {weight}" in EXAMPLES[name]
