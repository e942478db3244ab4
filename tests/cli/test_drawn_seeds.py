# SPDX-License-Identifier: BSD-3-Clause
"""Commands on files draw a seed, say which one, and take that of a journal that they resume."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_file
from tests.support.command_line import invoke
from tests.support.scans import bits, model, normal

import sigmascope as ss
from sigmascope.results import Comparison, Scan

HOW = ("-k", 4, "--effort", "top", "--quiet")
DRAWN = re.compile(r"seed (\d+), drawn for this run \(--seed (\d+) repeats its numbers\)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model", count=4)


@pytest.fixture
def family(tmp_path: Path) -> list[Path]:
    """Two models whose matrices have layers and roles."""
    names = [f"h.{i}.mlp.up_proj.weight" for i in range(2)]
    models = ([normal(name, 30, 20, seed=seed) for name in names] for seed in range(2))
    return [write_file(tmp_path / f"{i}.safetensors", *model) for i, model in enumerate(models)]


def stated(text: str) -> int:
    """The seed that a text says twice: which it was, and by which option it is repeated."""
    said = DRAWN.search(" ".join(text.split()))
    assert said is not None, text
    assert said[1] == said[2]
    return int(said[1])


def seeds(table: Any) -> set[int]:
    return {row["seed"] for row in table.analysed}


def test_a_scan_draws_a_seed_says_it_and_is_repeated_by_it(folder: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".parquet", ".html")]
    _, text, _ = invoke("scan", folder, *HOW, *(word for file in files for word in ("--out", file)))
    seed = stated(text)
    tables = [Scan.load(file) for file in files[:2]]
    assert all(seeds(table) == {seed} == {table.options["seed"]} for table in tables)
    assert f"{seed}, drawn for this run" in files[2].read_text(encoding="utf-8")
    assert stated(invoke("show", files[0])[1]) == seed
    _, again, _ = invoke("scan", folder, *HOW, "--seed", seed, "--out", tmp_path / "again.jsonl")
    assert bits(Scan.load(tmp_path / "again.jsonl")) == bits(tables[0])
    assert f"seed {seed}. " in " ".join(again.split())
    assert stated(invoke("scan", folder, *HOW)[1]) != seed


def test_a_comparison_and_an_extraction_draw_one_too(folder: Path, tmp_path: Path) -> None:
    tuned = model(tmp_path / "tuned", count=4)
    first = tuned / "model-00001-of-00002.safetensors"
    data = bytearray(first.read_bytes())
    data[-4:] = b"\0\0\0\0"  # the last number of one tensor
    first.write_bytes(data)
    out = tmp_path / "pair.jsonl"
    seed = stated(invoke("compare", folder, tuned, *HOW, "--out", out)[1])
    assert seeds(Comparison.load(out)) == {seed}
    adapter = tmp_path / "adapter"
    seed = stated(invoke("extract", folder, tuned, "--out", adapter, "--rank", 1, "-q")[1])
    header = json.loads((adapter / "extraction.jsonl").read_text().splitlines()[0])
    assert (header["options"]["seed"], header["options"]["seed_drawn"]) == (seed, True)


@pytest.mark.parametrize("command", ["trajectory", "reference"])
def test_a_series_scans_all_checkpoints_with_one_seed(command: str, family: list[Path]) -> None:
    how = ("--measure", "stable_rank", "-q")
    steps = ("--step", 1, "--step", 2) if command == "trajectory" else ()
    _, text, _ = invoke(command, *family, *steps, *how)
    seed = stated(text)
    _, given, error = invoke(command, *family, *steps, *how, "--seed", seed)
    assert error == ""
    assert "stable_rank" in text
    assert given == text[: text.index("Checkpoints scanned with")]


def test_checkpoints_after_a_saved_scan_have_one_seed(family: list[Path], tmp_path: Path) -> None:
    """All take the seed of the first checkpoint that is scanned, here the second source."""
    saved = tmp_path / "saved.jsonl"
    invoke("scan", family[0], "--quiet", "--seed", 3, "--out", saved)
    steps = [word for step in (1, 2, 3) for word in ("--step", step)]
    how = ("--measure", "stable_rank", "--json", "-q")
    _, text, error = invoke("trajectory", saved, family[1], family[0], *steps, *how)
    seeds_of_steps = {row["step"]: row["seed"] for row in map(json.loads, text.splitlines())}
    assert seeds_of_steps == {1: 3, 2: stated(error), 3: stated(error)}


def test_a_model_is_placed_by_the_seed_of_its_family(family: list[Path]) -> None:
    """With two, a part of their distance would be that of two random starts."""
    model, other = family
    status, text, error = invoke("reference", model, "--place", other, "--json", "-q")
    rows = [json.loads(line) for line in text.splitlines()]
    assert status == 0
    assert {row[name] for row in rows for name in ("seed", "reference_seed")} == {stated(error)}


@pytest.mark.parametrize("first", [("--seed", 7), ()])
def test_a_resumed_run_takes_the_seed_of_its_journal(
    first: tuple[Any, ...], folder: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "x.jsonl"
    invoke("scan", folder, *HOW, *first, "--resume", journal)
    seed = json.loads(journal.read_text().splitlines()[0])["options"]["seed"]
    whole = bits(Scan.load(journal))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    assert f"--seed {seed}" in " ".join(invoke("show", journal)[1].split())
    status, _, error = invoke("scan", folder, *HOW, "--resume", journal, "--seed", seed + 1)
    assert status == 2
    assert f"seed was {seed}, is {seed + 1}" in error
    assert invoke("scan", folder, *HOW, "--resume", journal, "--plan")[0] in (0, 1)
    invoke("scan", folder, *HOW, "--resume", journal)
    assert seeds(Scan.load(journal)) == {seed}
    assert bits(Scan.load(journal)) == whole


def test_shards_draw_seeds_of_their_own_and_are_merged(folder: Path, tmp_path: Path) -> None:
    """Each row has the seed of its part; the page and the header do not claim one for all."""
    paths = [tmp_path / f"{index}.jsonl" for index in range(2)]
    for index, path in enumerate(paths):
        invoke("scan", folder, *HOW, "--shard", f"{index}/2", "--resume", path)
    page = tmp_path / "x.html"
    _, text, _ = invoke("merge", *paths, "--out", page)
    assert "a drawn seed for each part, recorded in its rows" in " ".join(text.split())
    assert "the parts used 2 different seeds" in " ".join(text.split())
    merged = ss.merge(paths)
    assert merged.options["seed"] is None
    parts = [Scan.load(path) for path in paths]
    assert seeds(merged) == seeds(parts[0]) | seeds(parts[1])
    assert len(seeds(merged)) == 2
    for row in merged.analysed:
        own = ss.scan(folder, k=4, effort="top", include=row["name"], seed=row["seed"])
        assert bits([own[row["name"]]]) == bits([row])
    assert all(f"{seed} (" in page.read_text(encoding="utf-8") for seed in seeds(merged))
    some = tmp_path / "some.jsonl"
    ss.merge(paths, partial=True).save(some)
    assert Scan.load(some).options["seed"] is None
    invoke("scan", folder, *HOW, "--shard", "1/2", "--seed", 3, "--out", paths[1])
    with pytest.raises(ValueError, match=r"a part of another scan: seed was \d+, is 3"):
        ss.merge(paths)


def test_a_plan_claims_no_seed_that_the_scan_will_not_use(folder: Path) -> None:
    assert ss.scan(folder, seed=None, plan=True).options["seed"] is None
    assert ss.compare(folder, folder, seed=None, plan=True).options["seed"] is None
    assert ss.scan(folder, seed=5, plan=True).options["seed"] == 5
