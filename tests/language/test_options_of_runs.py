# SPDX-License-Identifier: BSD-3-Clause
"""The table of options, held against signatures, types, flags, journals and the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docs.extensions import pages
from tests.support.changed import weights, written
from tests.support.command_line import commands
from tests.support.sources import ROOT, text_of

import sigmascope as ss
from sigmascope._tables.options import MAY_DIFFER, MUST_MATCH, Option, may_differ, must_match
from sigmascope._tables.provenance import differences
from sigmascope._tables.scan_options import OPENING, SCAN
from sigmascope.comparing.extracting.options import EXTRACT
from sigmascope.scanning.keywords import LiveOptions, ScanOptions, ScanOptionsWithMeasures

CALLS: dict[str, tuple[Callable[..., Any], Mapping[str, Option]]] = {
    "scan": (ss.scan, SCAN),
    "compare": (ss.compare, SCAN),
    "extract": (ss.extract, EXTRACT),
}
FACTS = {"criterion", "seed_drawn", "device_memory"}
"""Members of a journal's options that are not keywords."""


@pytest.mark.parametrize("name", CALLS)
def test_a_signature_is_the_table(name: str) -> None:
    function, options = CALLS[name]
    parameters = inspect.signature(function).parameters.values()
    keywords = {p.name: (p.annotation, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert keywords == {o.name: (o.type, o.default) for o in options.values()}
    assert all(option.name in (function.__doc__ or "") for option in options.values())


def test_options_for_opening_are_keywords_of_open_checkpoint() -> None:
    parameters = inspect.signature(ss.open_checkpoint).parameters
    for name, option in OPENING.items():
        assert (parameters[name].annotation, parameters[name].default) == (
            option.type,
            option.default,
        )


def test_types_for_type_checkers_are_those_of_the_table() -> None:
    of_all = inspect.get_annotations(ScanOptionsWithMeasures)
    types = {name: annotation.__forward_arg__ for name, annotation in of_all.items()}
    assert types == {o.name: o.type for o in SCAN.values() if o.name != "plan"}
    of_scan, live = (inspect.get_annotations(each) for each in (ScanOptions, LiveOptions))
    assert of_scan.keys() == of_all.keys() - {"measures"}
    assert live.keys() < of_scan.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_command_has_the_flags_of_the_table(name: str) -> None:
    options = CALLS[name][1] | (OPENING if name != "extract" else {})
    flags = {param.name: param for param in commands()[name].params}
    for option in options.values():
        if option.flag:
            flag = flags.pop(option.name)
            assert (sorted(flag.opts), flag.help) == (sorted(option.flag.split()), option.help)
            assert flag.default == option.default_of_command
    terminal = {"as_json", "quiet"}
    arguments = {name for name, param in flags.items() if param.param_type_name == "argument"}
    own = {"compare": {"reference", "recipe"}, "extract": {"out", "edge"}}
    assert flags.keys() == terminal | arguments | own.get(name, set())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two checkpoints of one matrix."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("models")
    name = "model.layers.0.self_attn.q_proj.weight"
    both = folder / "a", folder / "b"
    for each in both:
        written(each, {name: weights(16, 12, rng, spikes=2)})
    return both


def recorded_options(name: str, folders: tuple[Path, Path], folder: Path) -> dict[str, Any]:
    """Return the options in the journal of a small run."""
    if name == "scan":
        return ss.scan(folders[0], k=2, resume=folder / "x.jsonl").options
    if name == "compare":
        return ss.compare(*folders, k=2, resume=folder / "x.jsonl").options
    return ss.extract(*folders, folder / "adapter", rank=2).options


@pytest.mark.parametrize("name", CALLS)
def test_a_journal_records_the_options_that_the_table_says(
    name: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    options = CALLS[name][1]
    record = recorded_options(name, folders, tmp_path)
    expected = {*must_match(options), *may_differ(options)} - {"device"}  # of the CPU
    assert record.keys() - FACTS == expected


@pytest.mark.parametrize("option", [*SCAN.values(), *EXTRACT.values(), *OPENING.values()])
def test_resuming_compares_what_the_table_says(option: Option) -> None:
    headers: list[dict[str, Any]] = [
        {"files": (), "options": {option.name: value}} for value in ("this", "that")
    ]
    changes = differences(headers[0], headers[1])
    if option.journal == MUST_MATCH:
        assert changes == [f"{option.name} was 'this', is 'that'"]
    elif option.journal == MAY_DIFFER:
        assert changes == []


def test_the_reference_has_a_row_for_each_option() -> None:
    page = "reference/run-options"
    text = pages.prepared(page, text_of(ROOT / "docs" / f"{page}.md"))
    for option in (*SCAN.values(), *EXTRACT.values(), *OPENING.values()):
        rows = [line for line in text.splitlines() if line.startswith(f"| `{option.name}`")]
        assert any(option.help in row and row.endswith(f" {option.journal} |") for row in rows)
