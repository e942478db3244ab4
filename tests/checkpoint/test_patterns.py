# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions of files: what `re` finds, in linear time; what cannot be so is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.adapters import lora, write_adapter
from tests.support.checkpoints import Stored, opened
from tests.support.coverings import grid
from tests.support.lowered_limits import lower
from tests.support.patterns import linear_matcher, matcher
from tests.support.roles import role_alone, roles_in_model

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.checkpoint import role_of
from sigmascope.errors import CheckpointError

EXPLOSIVE = [
    "(?:a|aa)+$",
    "(?:a*)*b",
    "(?:a+)+b",
    "(?:a|a)*b",
    "(?:a?){40}a{40}b",
    ".*.*.*.*.*.*.*b",
]
EXPLOSIVE += [
    r"(?:\w+\.?)*b",
    "(?:(?:a|aa){1,9})+b",
    "(?:aa?)*(?:aa?)*b",
    "(?:(?=(?:a|aa){9}b)a?){9}c",
]

LETTERS = st.sampled_from(["a", "b", r"\.", ".", "[ab]", "[^a.]", r"\w", r"\d", r"\s", "1", "_"])
PLACES = st.sampled_from(["^", "$", r"\b", r"\B", r"\A", r"\Z"])
REPEATS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{1,3}", "{2}", "{0,2}?"])


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | inner.map(lambda body: f"({body})")
        | st.tuples(LETTERS, REPEATS).map("".join)
        | st.tuples(inner, REPEATS).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
        | st.tuples(st.sampled_from(["=", "!"]), LETTERS).map(lambda pair: f"(?{''.join(pair)})")
    )


TEXTS = st.text("ab.1_", max_size=9)
PATTERNS = st.recursive(LETTERS | PLACES, _more, max_leaves=12)


@settings(max_examples=120, deadline=None)
@given(PATTERNS, st.lists(st.text("ab.1_ \n", max_size=9), min_size=1, max_size=4))
def test_it_matches_what_re_matches(pattern: str, texts: list[str]) -> None:
    ours, theirs = linear_matcher(pattern), re.compile(pattern)
    for text in texts:
        assert bool(ours.match(text)) == bool(theirs.match(text))
        assert bool(ours.fullmatch(text)) == bool(theirs.fullmatch(text))
        assert bool(ours.search(text)) == bool(theirs.search(text))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(LETTERS, REPEATS | st.just("")), max_size=6), st.text("ab.1_", max_size=9)
)
def test_it_finds_the_same_groups(parts: list[tuple[str, str]], text: str) -> None:
    """Where no loop is over what may be empty, of which `re` has its own view."""
    pattern = "(?P<first>" + "".join(map("".join, parts)) + ")(?P<rest>[._]?)"
    theirs = re.compile(pattern).search(text)
    found = linear_matcher(pattern, ("first", "rest")).search(text)
    assert (found is None) == (theirs is None)
    if found is not None and theirs is not None:
        for group in ("first", "rest"):
            assert (found.start(group), found.end(group)) == theirs.span(group)
            assert found[group] == theirs[group]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    text = "a" * 300
    for found in (matcher(pattern), linear_matcher(pattern)):
        assert bool(found.match(text)) == (pattern == EXPLOSIVE[0])
        assert bool(found.search(text + "!")) is False


@pytest.mark.parametrize("member", ["alpha_pattern", "rank_pattern"])
@pytest.mark.parametrize("pattern", [*EXPLOSIVE, "(a|aa)+$", "(a*)*b"])
def test_adapters_cannot_hang_a_scan(pattern: str, member: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    B, A = rng.standard_normal((6, 2)), rng.standard_normal((2, 5))
    write_adapter(tmp_path, lora(f"{'a' * 300}!", B, A), r=2, **{member: {pattern: 2}})
    assert ss.scan(tmp_path).complete


MEMBERS = ["modules", "towers", "prefixes", "layers", "experts", "wrappers", "shorthands"]


@grid(member=MEMBERS, pattern=EXPLOSIVE[::3])
def test_rules_cannot_hang_a_scan(member: str, pattern: str) -> None:
    own: dict[str, object] = {"modules": [["q", "^z|z"]]}
    if member in ("layers", "experts", "wrappers"):
        own[member] = [pattern]
    elif member == "shorthands":
        own = {"modules": [["q", "^z|<x>|z"]], "shorthands": {"x": pattern}}
    else:
        own[member] = [["q", pattern]]
    names = ("a" * 60 + "!", "z_" + "a" * 60 + "!")
    assert roles_in_model(names, rules=own).keys() == {*names}


@pytest.mark.slow  # compiles every rule
def test_rules_for_parts_cannot_hang_a_scan() -> None:
    rules = {"modules": [["q", "z"]], "parts": [["q", EXPLOSIVE[0]]]}
    assert role_alone("z_" + "a" * 60 + "!", rules=rules).role


def test_the_rules_of_this_package_take_any_name() -> None:
    names = ["attn." * 200, "a" * 1000, "model." * 170, "weight." * 140, "lora_A" + ".w" * 490]
    names += ["attention" * 110 + ".q.weight.", "." * 1000, "layers.1." * 110, "x_weight" * 120]
    for name in names:
        assert role_of(name).role


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", "holds GROUPREF, which takes more than linear time"),
        ("(a)?(?(1)b|c)", "holds GROUPREF_EXISTS"),
        ("(?>a+)b", "holds ATOMIC_GROUP"),
        ("a++b", "holds POSSESSIVE_REPEAT"),
        ("(?i:a)", "sets flags"),
        ("(?i)a", "sets flags"),
        ("a(?=.*b)", "looks ahead by more than 32 letters"),
        ("a(?!b{33})", "looks ahead by more than 32 letters"),
        ("a{2001}", "is above the limit of 2000 steps"),
        ("(?:(?:a{50}){50}){50}", "is above the limit of 2000 steps"),
        ("(?:(?:){4000000000}){4000000000}", "is above the limit of 2000 steps"),
        ("(" * 3000, "is no regular expression"),
        ("a" * 10_001, "10001 letters, above the limit of 10000"),
        ("a{99999999999999999999}", "is no regular expression"),
    ],
)
def test_what_is_not_linear_is_refused(pattern: str, message: str, tmp_path: Path) -> None:
    B, A = np.eye(6, 2, dtype=np.float32), np.eye(2, 5, dtype=np.float32)
    write_adapter(tmp_path, lora("q_proj", B, A), r=2, alpha_pattern={pattern: 2})
    with pytest.raises(CheckpointError) as caught:
        open_adapter(tmp_path)
    where = f"{tmp_path / 'adapter_config.json'}: alpha_pattern: "
    assert str(caught.value).startswith(where + repr(pattern)[:40])
    with pytest.raises(CheckpointError, match=message) as caught:
        role_alone("w", rules={"modules": [["q", pattern]]})
    where = "rules: modules, rule 1: "
    assert str(caught.value).startswith(where + repr(pattern)[:40])


def test_patterns_at_the_limit_are_taken() -> None:
    most = 2000 - 2  # begin and end are steps, and so is the mark of every repeat
    assert matcher(f"a{{{most // 2}}}").match("a" * most)
    assert matcher("a" * most).match("a" * most)
    with pytest.raises(CheckpointError):
        matcher("a" * (most + 1))
    assert matcher("a(?=b{32})").match("a" + "b" * 32)


def test_the_work_of_all_patterns_together_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    B, A = rng.standard_normal((6, 2)), rng.standard_normal((2, 5))
    tensors: dict[str, Any] = {}
    for layer in range(3):
        tensors |= lora(f"layers.{layer}.q_proj", B, A)
    write_adapter(tmp_path, tensors, r=2, alpha_pattern={"q_proj": 2, "k_proj": 2})
    lower(monkeypatch, "MAX_PATTERN_WORK", 6)
    assert len(open_adapter(tmp_path)) == 3
    lower(monkeypatch, "MAX_PATTERN_WORK", 5)
    with pytest.raises(
        CheckpointError, match=r"2 patterns of ranks and alphas for 3 modules.* 6 st"
    ):
        open_adapter(tmp_path)
    lower(monkeypatch, "MAX_PATTERNS", 1)
    with pytest.raises(CheckpointError, match="alpha_pattern: 2 patterns, above the limit of 1"):
        open_adapter(tmp_path)


def test_a_name_of_a_checkpoint_meets_the_rules(tmp_path: Path) -> None:
    opened(tmp_path, Stored("a" * 200, "F32", (4, 3)))
    checkpoint = ss.open_checkpoint(tmp_path, rules={"modules": [["q", "(?:a|aa)+b"], ["k", "a+"]]})
    assert checkpoint.roles["a" * 200].role == "k"
