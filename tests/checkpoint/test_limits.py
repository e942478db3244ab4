# SPDX-License-Identifier: BSD-3-Clause
"""Files that ask for more than the limits are refused at little cost; at them they are read."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support import hostile
from tests.support.adapters import lora, write_adapter
from tests.support.checkpoints import entry, framed
from tests.support.lowered_limits import lower
from tests.support.sources import PACKAGE, text_of

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.errors import CheckpointError
from sigmascope.results import Comparison, Scan

# Opens paths in a process of its own, which is ended where that takes minutes, or gigabytes.
OPENS = """import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (200, 200))
import sigmascope as ss
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (2_600 << 20),) * 2)
for name, path, rules in json.load(sys.stdin):
    try:
        outcome = len(ss.open_checkpoint(path, rules=rules).info())
    except ss.errors.CheckpointError as error:
        outcome = str(error)
    print(json.dumps([name, path, outcome]), flush=True)
"""


COSTLY = {"_lists_looked_through", "_nested_names", "many dimensions", "many lists"}
"""Hostile files that take more time than all others together."""


@pytest.mark.unsanitized
@pytest.mark.parametrize(
    "costly",
    [pytest.param(False, id="most"), pytest.param(True, id="costly", marks=pytest.mark.slow)],
)
def test_hostile_files_are_refused_within_bounds(costly: bool, tmp_path: Path) -> None:
    jobs = []
    files = [(name, build) for name, build in hostile.FILES if (name in COSTLY) == costly]
    assert len(files) >= len(COSTLY)
    for number, (name, build) in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        rules = str(folder / "rules.toml") if name == "headings" else None
        jobs.append((name, str(build(folder)), rules))
    done = subprocess.run(
        [sys.executable, "-c", OPENS],
        input=json.dumps(jobs),
        check=False,
        capture_output=True,
        text=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {answers[-1:]}: {done.stderr[-2000:]}"
    for name, path, result in answers:
        if name in hostile.READ:
            assert result == hostile.READ[name]
        else:
            assert isinstance(result, str), name
            assert path in result
            assert len(result) < 2000


@pytest.mark.parametrize(("name", "text"), [*hostile.journals()])
def test_hostile_journals_are_refused(name: str, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(text)
    for read in (Scan.load, Comparison.load, lambda path: ss.merge([path])):
        with pytest.raises(ValueError, match=r"x\.jsonl"):
            read(path)


def header(names: list[str]) -> bytes:
    return framed({name: entry("U8", [0], [0, 0]) for name in names})


def test_names_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(header(["é" * 1000]))
    assert len(ss.open_checkpoint(path).info()) == 1
    path.write_bytes(header(["é" * (1001)]))
    with pytest.raises(CheckpointError, match=r"x\.safetensors: .* 1001 letters, .* limit of 1000"):
        ss.open_checkpoint(path)


def test_joined_names_at_the_limit(tmp_path: Path) -> None:
    def nested(length: int) -> Path:
        return hostile.archive(
            tmp_path / "x.pt", pickle.dumps({"a" * 500: {"b" * (length - 501): 1}}, 2)
        )

    assert len(ss.open_checkpoint(nested(1000)).info()[0]["name"]) == 1000
    with pytest.raises(CheckpointError, match=r"x\.pt: .* 1001 letters, above .* of 1000"):
        ss.open_checkpoint(nested(1001))


def test_nesting_at_the_limit(tmp_path: Path) -> None:
    def nested(depth: int) -> Path:
        value: dict[str, object] = {"x": 1}
        for _ in range(depth - 1):
            value = {"a": value}
        return hostile.archive(tmp_path / "x.pt", pickle.dumps(value, 2))

    assert len(ss.open_checkpoint(nested(100)).info()) == 1
    with pytest.raises(CheckpointError, match=r"x\.pt: .*nested too deeply, in .* 100 dicts"):
        ss.open_checkpoint(nested(101))


def test_dimensions_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(framed({"w": entry("U8", [1] * 64, [0, 1])}, b"1"))
    assert len(ss.open_checkpoint(path).info()) == 1
    path.write_bytes(framed({"w": entry("U8", [1] * (65), [0, 1])}, b"1"))
    with pytest.raises(CheckpointError, match=r"'w': 65 dimensions, above the limit of 64"):
        ss.open_checkpoint(path)


# What is counted, at a limit of its own: (limit, value, where it is used, a path of that many).


def _tensors(folder: Path, count: int) -> Path:
    (folder / "x.safetensors").write_bytes(header([str(i) for i in range(count)]))
    return folder / "x.safetensors"


def _entries(folder: Path, count: int) -> Path:
    values = pickle.dumps({str(i): 1 for i in range(count)}, 2)
    return hostile.archive(folder / "x.pt", values)


def _letters(folder: Path, count: int) -> Path:
    return hostile.archive(folder / "x.pt", pickle.dumps({"a" * 7: 1, "b" * (count - 7): 1}, 2))


def _instructions(folder: Path, count: int) -> Path:
    return hostile.archive(folder / "x.pt", b"\x80\x02}" + b"0}" * ((count - 3) // 2) + b".")


def _pickle(folder: Path, size: int) -> Path:
    return hostile.archive(folder / "x.pt", b"\x80\x02}" + b"." * (size - 3))


def _settings(folder: Path, size: int) -> Path:
    write_adapter(folder, lora("q", np.eye(6, 4, dtype="f"), np.eye(4, 5, dtype="f")))
    text = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text(text.ljust(size))
    return folder


def _values(folder: Path, count: int) -> Path:
    (folder / "x.safetensors").write_bytes(
        framed({"w": entry("U8", [1] * (count - 6), [0, 1])}, b"1")
    )
    return folder / "x.safetensors"


COUNTS = {
    "tensors": ("MAX_TENSORS", 10, _tensors, "11 entries, above the limit of 10"),
    "entries of a pickle": ("MAX_TENSORS", 10, _entries, "more than 10 entries"),
    "letters of all names": ("MAX_NAMES", 20, _letters, "more than 20 letters together"),
    "instructions": ("MAX_PICKLE_STEPS", 21, _instructions, "more than 21 instruct"),
    "bytes of a pickle": ("MAX_PICKLE_BYTES", 40, _pickle, "41 bytes, above the limit"),
    "values of JSON": ("MAX_JSON_VALUES", 12, _values, "13 values, above the limit"),
}


@pytest.mark.parametrize(("limit", "most", "build", "message"), COUNTS.values(), ids=list(COUNTS))
def test_counts_at_their_limits(
    limit: str,
    most: int,
    build: Callable[[Path, int], Path],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = 2 if build is _instructions else 1
    lower(monkeypatch, limit, most)
    assert ss.open_checkpoint(build(tmp_path, most)).info() is not None
    path = build(tmp_path, most + step)
    with pytest.raises(CheckpointError, match=rf"{re.escape(path.name)}: .*{message}"):
        ss.open_checkpoint(path)


def test_settings_at_the_limit_of_bytes(tmp_path: Path) -> None:
    assert len(open_adapter(_settings(tmp_path, 10_000_000))) == 1
    _settings(tmp_path, 10_000_001)
    with pytest.raises(CheckpointError, match="10000001 bytes, above the limit of 10000000"):
        open_adapter(tmp_path)


def test_rules_at_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.safetensors").write_bytes(header(["w"]))
    ss.open_checkpoint(tmp_path)  # reads the rules of the package, of which there are more
    lower(monkeypatch, "MAX_RULES", 3)
    for count, refused in ((3, False), (4, True)):
        rules = {"modules": [["q", f"m{i}"] for i in range(count)]}
        if not refused:
            assert ss.open_checkpoint(tmp_path, rules=rules)._pieces
            continue
        with pytest.raises(CheckpointError, match="modules: 4 rules, above the limit of 3"):
            ss.open_checkpoint(tmp_path, rules=rules)


def test_every_limit_is_documented_and_used() -> None:
    (limits,) = (p for p in PACKAGE.rglob("*.py") if "\nMAX_JSON_BYTES = " in text_of(p))
    text = text_of(limits)
    names = re.findall(r"^(MAX_\w+) = ", text, re.MULTILINE)
    assert len(re.findall(r'^MAX_\w+ = [\d_]+\n"""', text, re.MULTILINE)) == len(names) > 15
    used = Counter(
        word
        for path in PACKAGE.rglob("*.py")
        if path != limits
        for word in re.findall(r"\bMAX_\w+", text_of(path))
    )
    assert [name for name in names if used[name] < 2] == []
