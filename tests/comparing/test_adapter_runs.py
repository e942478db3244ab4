# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons with an adapter as runs: the same bits on every route, tables, command line."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapted_model import MODULES, OPTIONS, Q, adapter, llama
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import stored, weights, written
from tests.support.checkpoints import of_array, write_file, write_sharded
from tests.support.command_line import invoke
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.comparing import Comparison

# ------------------------------------------------------------------------------ invariances


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[dict[str, Any]]]:
    """A model, an adapter of its first layer, and the rows of their comparison."""
    folder = tmp_path_factory.mktemp("adapted")
    base, lora_ = written(folder / "base", llama()), adapter(folder / "lora", *MODULES[:4])
    return base, lora_, bits(ss.compare(base, lora_, **OPTIONS).rows)


@pytest.mark.parametrize(
    "options",
    [
        {"num_threads": 1, "reading": "mapped"},
        {"num_threads": 3, "memory_limit": "64MiB"},
        {"reading": "uncached"},
    ],
    ids=lambda options: ",".join(f"{name}={value}" for name, value in options.items()),
)
def test_threads_memory_and_reading_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], options: dict[str, Any]
) -> None:
    base, folder, expected = compared
    assert bits(ss.compare(base, folder, **OPTIONS | options).rows) == expected


def test_a_large_matrix_has_the_same_bits_for_any_threads_and_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    base = written(tmp_path / "base", {f"{Q}.weight": weights(600, 700, rng)})
    B, A = factors(600, 700, 8)
    folder = write_adapter(tmp_path / "a", lora(Q, 0.01 * B, 0.02 * A), r=8)
    options: dict[str, Any] = {"k": 16, "effort": "density"}
    rows = [
        bits(ss.compare(base, folder, **options | more).rows)
        for more in (
            {"num_threads": 1, "memory_limit": "1GiB"},
            {"num_threads": 3, "memory_limit": "40MiB"},
        )
    ]
    assert rows[0] == rows[1]


def test_shards_of_the_base_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    _, folder, expected = compared
    tensors = [stored(name, x) for name, x in llama().items()]
    sharded = write_sharded(
        tmp_path / "shards", {"b.safetensors": tensors[::2], "a.safetensors": tensors[1::2]}
    )
    result = bits(ss.compare(sharded, folder, **OPTIONS).rows)
    by_name = {row["name"]: row | {"before_file": "model.safetensors"} for row in result}
    assert by_name == {row["name"]: row for row in expected}


def test_executors_and_breaks_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    base, folder, expected = compared
    with ThreadPoolExecutor(2) as pool:
        spread = ss.compare(base, folder, executor=pool, workers=2, **OPTIONS)
    assert bits(spread.rows) == expected
    journal = tmp_path / "pair.jsonl"
    ss.compare(base, folder, resume=journal, **OPTIONS)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]))
    assert bits(ss.compare(base, folder, resume=journal, **OPTIONS).rows) == expected


def test_another_adapter_is_another_comparison(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a", Q)
    ss.compare(base, folder, resume=tmp_path / "pair.jsonl", **OPTIONS)
    adapter(folder, Q, lora_alpha=9)
    with pytest.raises(ValueError, match=r"after/adapter_config.json has different content"):
        ss.compare(base, folder, resume=tmp_path / "pair.jsonl", **OPTIONS)


# -------------------------------------------------------------------------- reports, command line


def test_reports_tables_and_pages_take_it(tmp_path: Path) -> None:
    comparison = ss.compare(written(tmp_path / "base", llama()), adapter(tmp_path / "a"), **OPTIONS)
    for suffix in ("jsonl", "csv", "html"):
        comparison.save(tmp_path / f"pair.{suffix}")
    assert bits(Comparison.load(tmp_path / "pair.jsonl").rows) == bits(comparison.rows)
    page = (tmp_path / "pair.html").read_text()
    assert "8 pairs of matrices" in page
    assert math.isfinite(comparison.analysed[0]["relative_change"])


def test_the_command_line(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a", *MODULES[:4])
    status, out, err = invoke("compare", base, folder, "-k", 8, "--out", tmp_path / "pair.csv")
    assert status == 0, err
    assert "4 pairs analysed" in out
    assert "Without a partner" not in out
    assert len(Comparison.load(tmp_path / "pair.csv").analysed) == 4
    status, out, _ = invoke("compare", base, folder, "-k", 8, "--json", "--quiet")
    assert status == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == list(llama())
    status, _, err = invoke("compare", folder, base)
    assert status == 2
    assert "the base comes first" in " ".join(err.split())
    alone = adapter(tmp_path / "other", Q)
    write_file(tmp_path / "less.safetensors", of_array("w", "F32", np.ones((3, 4), np.float32)))
    status, out, _ = invoke("compare", tmp_path / "less.safetensors", alone)
    assert status == 1
    assert "Without a partner" in out


def test_notes_of_the_adapter_are_kept(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", Q, init_lora_weights="pissa")
    comparison = ss.compare(written(tmp_path / "base", llama()), folder, **OPTIONS)
    assert any("pissa" in note and note.startswith("after: ") for note in comparison.notes)
