# SPDX-License-Identifier: BSD-3-Clause
"""Help texts, the version, shell completion and the manual page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.command_line import assert_defaults_are_those_of, commands, completions, invoke

import sigmascope as ss

COMMANDS = commands()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_command_of_the_list_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = " ".join(invoke("--help")[1].split())
    for name, command in COMMANDS.items():
        sentence = " ".join(command.help.partition("\n")[0].split())
        assert f"{name} {sentence}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_a_sentence(name: str) -> None:
    status, text, _ = invoke(name, "--help")
    assert status == 0
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.help
        assert parameter.help.split()[0] in text


def test_the_help_of_a_scan_names_every_kind_of_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = " ".join(invoke("scan", "--help")[1].split())
    files = (".safetensors", ".gguf", ".onnx", ".pt", ".npy")
    folders = ("torch.distributed.checkpoint", "orbax", "LoRA", "Hugging Face Hub")
    for each in (*files, *folders, "hf://", "https://", "s3://", "gs://", "az://"):
        assert each in text, each


CALLS: dict[str, tuple[Callable[..., Any], ...]] = {
    "info": (ss.open_checkpoint,),
    "scan": (ss.scan, ss.open_checkpoint),
    "compare": (ss.compare, ss.open_checkpoint),
    "extract": (ss.extract,),
    "resize": (ss.adapters.resize,),
    "merge": (ss.merge,),
    "trajectory": (ss.series.trajectory,),
    "reference": (ss.series.reference,),
    "demo": (ss.scan,),
}
"""The calls of the library that each command makes."""

OF_COMMANDS = {
    "seed": None,  # one is drawn for files that may be those of strangers
    "reading": "buffered",  # None in a call is this mode, unless an open checkpoint has another
    "measure": None,  # an option that is not repeated; the calls have the names
}
OF_DEMO = {"effort": "exact", "seed": 0}  # of a small model that is known
"""Defaults of commands that are not those of the calls."""


@pytest.mark.parametrize("name", CALLS)
def test_options_have_the_defaults_of_the_library(name: str) -> None:
    deliberate = OF_DEMO if name == "demo" else OF_COMMANDS
    assert_defaults_are_those_of(CALLS[name], COMMANDS[name], deliberate)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    assert invoke(option)[:2] == (0, f"sigmascope {ss.__version__}\n")


def test_completion_is_offered() -> None:
    assert "--install-completion" in invoke("--help")[1]
    assert completions("comp") == ["compare"]


def test_the_manual_has_every_command_and_option() -> None:
    status, page, _ = invoke("manual")
    assert status == 0
    assert page.startswith(".TH SIGMASCOPE 1")
    plain = page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    for name, command in COMMANDS.items():
        section = plain.partition(f".SS\nsigmascope {name}")[2].partition(".SS")[0]
        assert section, name
        for parameter in command.params:
            assert " ".join(parameter.help.split()) in section, parameter.name
    assert all(not line.startswith("'") for line in page.splitlines())
