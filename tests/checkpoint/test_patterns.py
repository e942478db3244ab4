# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions of files: matches are those of `re`, in few steps; others are refused."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress
from inspect import stack
from pathlib import Path
from typing import Any
from unicodedata import ucd_3_2_0

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.adapters import lora, write_adapter
from tests.support.checkpoints import Stored, opened
from tests.support.coverings import grid
from tests.support.lowered_limits import lower
from tests.support.patterns import count_steps, linear_matcher, matcher, parsed
from tests.support.roles import role_alone, roles_in_model

import sigmascope as ss
from sigmascope._host.limits import MAX_PATTERN_WORK
from sigmascope.adapters import open_adapter
from sigmascope.checkpoint.naming import patterns
from sigmascope.checkpoint.naming.patterns import compiled_pattern
from sigmascope.checkpoint.naming.roles import role_of
from sigmascope.errors import CheckpointError

pytest.importorskip("re2")

EXPLOSIVE = [
    "(?:a|aa)+$",
    "(?:a*)*b",
    "(?:a+)+b",
    "(?:a|a)*b",
    "(?:a?){40}a{40}b",
    ".*.*.*.*.*.*.*b",
]
EXPLOSIVE += [r"(?:\w+\.?)*b", "(?:(?:a|aa){1,9})+b", "(?:aa?)*(?:aa?)*b", "(?:.*,){30}x"]

LETTERS = st.sampled_from(["a", "b", r"\.", ".", "[ab]", "[^a.]", "[^b]", "1", "_", "[_-b]"])
CLASSES = [r"\w", r"\d", r"\s", r"\W", r"\D", r"\S", r"[^\W]", r"[\d.]", r"[^\w\s]"]
PLACES = st.sampled_from(["^", "$", r"\A", r"\Z"])
KNOWN_TO_RE = st.sampled_from([r"\b", r"\B", "(?=a)", "(?!b)", "(?<=a)", "(?<!_)"])
REPEATS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{1,3}", "{2}", "{0,2}?", "{,2}"])


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | inner.map(lambda body: f"({body})")
        | st.tuples(LETTERS, REPEATS).map("".join)
        | st.tuples(inner, REPEATS).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    )


TEXTS = st.text("ab.1_ \u00e9\u00df\u0663\u00b2\u3000", max_size=9)
TEXTS |= st.text("ab.1_ \n", max_size=8).map("{}a".format)
POSITIVE = st.sampled_from([name for name in CLASSES if name.islower()])
SINGLE = LETTERS | st.sampled_from(CLASSES)
PATTERNS = st.recursive(LETTERS | POSITIVE | PLACES, _more, max_leaves=12)
WORDS = st.lists(st.text("ab.", max_size=4), min_size=2, max_size=5).map("|".join)
BOUNDED = st.recursive(LETTERS | PLACES | WORDS.map("(?:{})".format), _more, max_leaves=10)


@settings(max_examples=150, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=4))
def test_re2_matches_what_re_matches(pattern: str, texts: list[str]) -> None:
    ours, theirs = linear_matcher(pattern), re.compile(pattern)
    for text in texts:
        assert bool(ours.match(text)) == bool(theirs.match(text))
        assert bool(ours.fullmatch(text)) == bool(theirs.fullmatch(text))
        assert bool(ours.search(text)) == bool(theirs.search(text))


@settings(max_examples=60, deadline=None)
@given(st.recursive(SINGLE | PLACES | KNOWN_TO_RE, _more, max_leaves=12), TEXTS)
def test_what_files_may_hold_matches_as_in_re(pattern: str, text: str) -> None:
    with suppress(CheckpointError):
        assert bool(matcher(pattern).search(text)) == bool(re.search(pattern, text))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(SINGLE, REPEATS | st.just("")), max_size=6), TEXTS)
def test_re2_finds_the_same_groups(parts: list[tuple[str, str]], text: str) -> None:
    """Where no loop is over what may be empty, of which `re` has its own view."""
    pattern = "(" + "".join(map("".join, parts)) + ")([._]?)"
    theirs = re.compile(pattern).search(text)
    ours = linear_matcher(pattern).search(text)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert ours.string == text
        for group in (1, 2):
            assert (ours.start(group), ours.end(group)) == theirs.span(group)
            assert ours[group] == theirs[group]


@pytest.mark.parametrize("name", [*CLASSES, r"\n", r"[\x1c-\u0660]"])
def test_a_class_has_the_same_letters(name: str) -> None:
    """Letters of Unicode 3.2, which both tables have."""
    codes = (*range(0xD800), *range(0xE000, sys.maxunicode + 1))
    text = "".join(letter for letter in map(chr, codes) if ucd_3_2_0.category(letter) != "Cn")
    members = "".join(re.findall(name, text))
    assert linear_matcher(f"(?:{name})*x").fullmatch(f"{members}x")
    assert linear_matcher(name).search(re.sub(name, "", text) + ("" if members else "x")) is None


@settings(max_examples=200, deadline=None)
@given(BOUNDED, st.text("ab.", max_size=7))
def test_the_bound_is_above_the_steps_of_every_path(pattern: str, text: str) -> None:
    ways, steps = patterns._bound(parsed(pattern), len(text))
    assume(steps < 20_000)
    ends, tests = count_steps(pattern, text)
    assert ends <= ways
    assert tests <= steps


def test_what_follows_a_repeat_counts_for_each_of_its_ends() -> None:
    ends, tests = count_steps("a*a*a*b", "a" * 20)
    assert (ends, tests) == (0, 3794)
    assert tests <= patterns._bound(parsed("a*a*a*b"), 20)[1] <= 10 * tests


def test_a_dot_is_not_a_newline_in_re2() -> None:
    assert linear_matcher(".").match("\nb") is None


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("model.layers.3.self_attn.q_proj", 100),
        ("q_proj|k_proj|v_proj", 100),
        (r".*\.layers\.\d+\.q_proj", 10**6),
        (r"(?:(?:model|module|language|language_model|llm)\.)*[qk]_proj", 10**4),
        (r"\w*attn\.(?:q|query)", 10**4),
    ],
)
def test_the_bound_is_small_for_patterns_in_use(pattern: str, most: int) -> None:
    assert patterns._bound(parsed(pattern), 64)[1] <= most


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    """`re` never gets it, and the size of its program for RE2 bounds the steps for each letter."""
    text, ours = "a" * 999, matcher(pattern)
    for length in (64, 1000):
        engine: Any = ours._engine(length)
        assert engine is not ours._quick
        assert engine.programsize < 2000
    assert bool(ours.match(text)) == (pattern == EXPLOSIVE[0])
    assert bool(ours.search(text + "!")) is False


def test_the_length_of_a_name_chooses_who_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = matcher(".*.*.*b")
    short, long = "a" * 150, "a" * 400
    assert pattern._engine(150) is pattern._quick
    assert pattern._engine(400) is not pattern._quick
    assert pattern.work(150) == 200 + int(patterns._bound(parsed(pattern.pattern), 160)[1])
    assert pattern.work(400) < 100_000
    monkeypatch.setitem(sys.modules, "re2", None)
    pattern = matcher(".*.*.*b")
    assert pattern.match(short) is None
    with pytest.raises(
        CheckpointError, match=r"could take .* steps in a name of 400 letters: a sim"
    ):
        pattern.match(long)
    with pytest.raises(CheckpointError, match="could take"):
        pattern.search(short)  # a match may begin at each letter
    assert matcher(r"(?:^|\.)(?:.*.*.*b)").search(short) is None


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_without_re2_it_is_refused(
    pattern: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    B, A = np.eye(6, 2, dtype=np.float32), np.eye(2, 5, dtype=np.float32)
    write_adapter(tmp_path, lora("q_proj", B, A), r=2, alpha_pattern={pattern: 2})
    message = re.escape(repr(pattern)) + " could take .*sigmascope\\[re2\\]"
    with pytest.raises(CheckpointError, match=f"alpha_pattern: {message}"):
        open_adapter(tmp_path)
    with pytest.raises(CheckpointError, match=f"rules: modules, rule 1: {message}"):
        role_alone("w", rules={"modules": [["q", pattern]]})


def test_re2_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    for pattern in ("(?:(?:a|aa)+){1001}", r"(?:\w{1,50}){1,20}(?:a|aa)*"):
        with pytest.raises(CheckpointError, match="RE2, which takes linear time, cannot match it"):
            matcher(pattern)
    assert capfd.readouterr().err == ""


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
        (r"(a)\1", "contains GROUPREF, which is not supported"),
        ("(a)?(?(1)b|c)", "contains GROUPREF_EXISTS"),
        ("(?>a+)b", "contains ATOMIC_GROUP"),
        ("a++b", "contains POSSESSIVE_REPEAT"),
        ("(?i:a)", "sets flags"),
        ("(?i)a", "sets flags"),
        (r"\b(?:a|aa)+b", "exponential time .* RE2.*: it holds AT_BOUNDARY"),
        ("(?:a|aa)+(?=b)", "exponential time .* RE2.*: it holds ASSERT"),
        ("(?:a|aa)+(?<!b)", "exponential time .* RE2.*: it holds ASSERT_NOT"),
        (r"(?:[\W.]|ab)+", "exponential time .* RE2.*: it holds CATEGORY_NOT_WORD in a set"),
        ("(?:a|aa){1001}", "exponential time .* RE2.*: it holds 1001 repeats"),
        ("(?:(?:a?){50}){50}", "exponential time .* RE2.*: invalid repetition size"),
        ("(?:(?:){4000000000}){4000000000}", "it holds 4000000000 repeats"),
        ("(" * 3000, "is not a regular expression"),
        ("a" * 10_001, "10001 letters, above the limit of 10000"),
        ("a{99999999999999999999}", "is not a regular expression"),
    ],
)
def test_what_cannot_be_matched_is_refused(pattern: str, message: str, tmp_path: Path) -> None:
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


def test_a_name_that_ends_with_a_newline_is_left_to_re() -> None:
    assert matcher("a+$").match("aa\n")
    with pytest.raises(CheckpointError, match="RE2 does not accept names that end with a newline"):
        matcher("(?:a|aa)+$").match("aa\n")


@pytest.mark.parametrize("levels", [60, 200])
def test_a_pattern_too_deep_for_the_stack_is_refused(levels: int) -> None:
    pattern, most = matcher("(" * levels + ".*.*.*b" + ")" * levels), sys.getrecursionlimit()
    assert pattern.match("a" * 100) is None
    sys.setrecursionlimit(len(stack()) + 100)
    try:
        with pytest.raises(CheckpointError, match=r"here: '\(.* is nested too deeply"):
            pattern.match("a" * 900)
    finally:
        sys.setrecursionlimit(most)


def test_patterns_at_the_limit_are_taken() -> None:
    assert matcher("a{2001}").match("a" * 2001)
    assert matcher("a" * 10_000).match("a" * 10_000)
    assert matcher("a(?=.*b)").match("a" * 900 + "b")
    assert matcher("(?:a|aa){1000}").match("a" * 1000)


def test_the_work_of_all_patterns_together_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    B, A = rng.standard_normal((6, 2)), rng.standard_normal((2, 5))
    tensors: dict[str, Any] = {}
    for layer in range(3):
        tensors |= lora(f"layers.{layer}.q_proj", B, A)
    write_adapter(tmp_path, tensors, r=2, alpha_pattern={"q_proj": 2, "k_proj": 2})
    each = compiled_pattern(r"(.*\.)?(q_proj)$", "here").work(len("layers.0.q_proj"))
    lower(monkeypatch, "MAX_PATTERN_WORK", 6 * each)
    assert len(open_adapter(tmp_path)) == 3
    lower(monkeypatch, "MAX_PATTERN_WORK", 6 * each - 1)
    message = (
        f"{tmp_path / 'adapter_config.json'}: alpha_pattern: 'q_proj' may take {each} steps for a "
        f"name of 15 letters, and all 2 patterns of ranks and alphas together {6 * each} steps for "
        f"3 modules, above the limit of {6 * each - 1}"
    )
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_adapter(tmp_path)
    lower(monkeypatch, "MAX_PATTERNS", 1)
    with pytest.raises(CheckpointError, match="alpha_pattern: 2 patterns, above the limit of 1"):
        open_adapter(tmp_path)
    lower(monkeypatch, "MAX_PATTERNS", 2)
    lower(monkeypatch, "MAX_PATTERN_TEXT", 11)
    with pytest.raises(CheckpointError, match=r"12 letters in 2 patterns.* of 11; .* 'q_proj'"):
        open_adapter(tmp_path)


@pytest.mark.parametrize("pattern", ["(?:.*?.)?c", "(?:[ab.]*.)?c", "(?:a?){500}b"])
def test_all_work_within_the_limit_takes_less_than_a_minute(pattern: str) -> None:
    """These patterns take longer for each step than others that were tried."""
    hostile, name = matcher(rf"(.*\.)?({pattern})$"), "a." * 500
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert hostile.match(name) is None
        seconds.append(time.perf_counter() - began)
    assert min(seconds) / hostile.work(len(name)) * MAX_PATTERN_WORK < 60


def test_a_name_of_a_checkpoint_meets_the_rules(tmp_path: Path) -> None:
    opened(tmp_path, Stored("a" * 200, "F32", (4, 3)))
    checkpoint = ss.open_checkpoint(tmp_path, rules={"modules": [["q", "(?:a|aa)+b"], ["k", "a+"]]})
    assert checkpoint.roles["a" * 200].role == "k"
