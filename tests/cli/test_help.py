# SPDX-License-Identifier: BSD-3-Clause
"""Help texts, the version, shell completion and the manual page."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import typer
from tests.support.command_line import invoke
from typer.testing import CliRunner

import sigmascope as ss
from sigmascope.cli.app import app

GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)


def run(*arguments: str, width: int = 80) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "sigmascope", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": str(width)},
    )
    return " ".join(found.stdout.split())


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_command_of_the_list_is_cut(width: int) -> None:
    text = run("--help", width=width)
    for name, command in GROUP.commands.items():
        sentence = " ".join(command.help.partition("\n")[0].split())
        assert f"{name} {sentence}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_a_sentence(name: str) -> None:
    status, text, _ = invoke(name, "--help")
    assert status == 0
    for parameter in GROUP.commands[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.help
        assert parameter.help.split()[0] in text


def test_the_help_of_a_scan_names_every_kind_of_input() -> None:
    text = run("scan", "--help", width=160)
    files = (".safetensors", ".gguf", ".onnx", ".pt", ".npy")
    folders = ("torch.distributed.checkpoint", "orbax", "LoRA", "Hugging Face Hub")
    for each in (*files, *folders, "hf://", "https://", "s3://", "gs://", "az://"):
        assert each in text, each


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    assert invoke(option)[:2] == (0, f"sigmascope {ss.__version__}\n")


def test_completion_is_offered() -> None:
    assert "--install-completion" in run("--help")
    asked = {
        "_SIGMASCOPE_COMPLETE": "complete_bash",
        "COMP_WORDS": "sigmascope comp",
        "COMP_CWORD": "1",
    }
    found = CliRunner().invoke(app, [], env=asked, prog_name="sigmascope")
    assert found.stdout.split() == ["compare"]


def test_the_manual_has_every_command_and_option() -> None:
    status, page, _ = invoke("manual")
    assert status == 0
    assert page.startswith(".TH SIGMASCOPE 1")
    plain = page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    for name, command in GROUP.commands.items():
        section = plain.partition(f".SS\nsigmascope {name}")[2].partition(".SS")[0]
        assert section, name
        for parameter in command.params:
            assert " ".join(parameter.help.split()) in section, parameter.name
    assert all(not line.startswith("'") for line in page.splitlines())
