# SPDX-License-Identifier: BSD-3-Clause
"""Every planted mistake has its place, and the harness tells what is noticed from what is not."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.planted import overlay
from tests.planted.command import describe, summarize
from tests.planted.mistake import ROOT, Mistake, read_mistakes
from tests.planted.overlay import Outcome, Overlay
from tests.support.sources import text_of

MISTAKES = list(read_mistakes())


def test_there_are_many_of_every_room() -> None:
    counts = Counter(mistake.room for mistake in MISTAKES if not mistake.equivalent)
    assert counts.total() >= 150
    assert len(set(MISTAKES)) == len({(each.room, each.name) for each in MISTAKES})


@pytest.mark.parametrize("room", sorted({mistake.room for mistake in MISTAKES}))
def test_every_mistake_has_its_place_and_its_tests(room: str) -> None:
    """A change of the source that removes the place of a mistake moves the mistake as well."""
    for mistake in MISTAKES:
        if mistake.room != room:
            continue
        text = text_of(ROOT / mistake.file)
        planted = mistake.plant(text)
        assert planted != text, mistake
        if mistake.file.endswith(".py"):
            ast.parse(planted)
        for each in mistake.tests:
            path, _, name = each.partition("::")
            assert (ROOT / path).exists(), (mistake, each)
            if name:
                defined = f"\ndef {name.partition('[')[0]}("
                assert defined in text_of(ROOT / path), (mistake, each)


SOURCE = "def double(x):\n    return 2 * x\n"
TEST = "from small import double\n\ndef test_double():\n    assert double({}) == {}\n"


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        pytest.param(TEST.format(3, 6), "noticed", id="noticed"),
        pytest.param(TEST.format(0, 0), "missed", id="missed"),  # a fixed point of the mistake
        pytest.param(
            TEST.format(0, 0) + "    while True:\n        pass\n",
            "out of time",
            id="out of time",
            marks=pytest.mark.slow,
        ),
        pytest.param("", "broken", id="broken", marks=pytest.mark.slow),
    ],
)
def test_a_mistake_is_noticed_where_a_test_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str, verdict: str
) -> None:
    root = tmp_path / "repository"
    (root / "python").mkdir(parents=True)
    (root / "python" / "small.py").write_text(SOURCE)
    (root / "test_small.py").write_text(test)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.setattr(overlay, "ROOT", root)
    small = Overlay(tmp_path / "overlay")
    mistake = Mistake("small", "triples", "python/small.py", "2 * x", "3 * x", ("test_small.py",))
    outcome = small.try_mistake(mistake, 2.0 if "while" in test else 60.0, ())
    assert outcome.verdict == verdict
    assert (outcome.by == "test_small.py::test_double") == (verdict == "noticed")
    assert (small.folder / "python" / "small.py").read_text() == SOURCE
    if verdict == "noticed":
        assert small.passes_without(outcome, ())


@pytest.mark.slow
def test_the_nearest_tests_run_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "small.py").write_text(SOURCE)
    (root / "test_small.py").write_text(
        "from small import double\n\ndef test_far():\n    assert double(1) == 2\n\n"
        "import pytest\n\n@pytest.mark.parametrize('x', [3], ids=['a small one'])\n"
        "def test_near(x):\n    assert double(x) == 6\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.setattr(overlay, "ROOT", root)
    tests = ("test_small.py::test_near", "test_small.py")
    mistake = Mistake("small", "triples", "small.py", "2 * x", "3 * x", tests)
    small = Overlay(tmp_path / "overlay")
    outcome = small.try_mistake(mistake, 60.0, ())
    assert (outcome.verdict, outcome.by) == ("noticed", "test_small.py::test_near[a small one]")
    assert small.passes_without(outcome, ())


def test_an_overlay_has_no_file_of_an_earlier_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, folder = tmp_path / "repository", tmp_path / "overlay"
    root.mkdir()
    (root / ".gitignore").write_text("*.so\n")
    (root / "test_small.py").write_text(SOURCE)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.setattr(overlay, "ROOT", root)
    Overlay(folder)
    (folder / "built.so").write_bytes(b"")
    (root / "test_small.py").rename(root / "test_moved.py")
    Overlay(folder)
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {".gitignore", "built.so", "test_moved.py"}


def test_a_mistake_without_a_place_is_refused() -> None:
    mistake = Mistake("small", "triples", "small.py", "2 * x", "3 * x", ())
    for text in ("", "2 * x + 2 * x"):
        with pytest.raises(ValueError, match="small: triples"):
            mistake.plant(text)


def test_the_summary_counts_by_room() -> None:
    tried = (("cli", "noticed"), ("cli", "missed"), ("bench", "noticed"))
    outcomes = [
        Outcome(Mistake(room, "m", "f.py", "a", "b", ()), verdict, "test", 1.0)
        for room, verdict in tried
    ]
    lines = summarize(outcomes, Counter({"cli": 2})).splitlines()
    assert "| cli | 1 | 1 | 0 | 0 | 2 |" in lines
    assert "| all | 2 | 1 | 0 | 0 | 2 |" in lines
    assert lines[-1] == "67% of 3 mistakes were noticed"
    assert describe(outcomes[0]) == "noticed       1.0 s  cli: m by test"
