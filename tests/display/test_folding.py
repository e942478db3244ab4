# SPDX-License-Identifier: BSD-3-Clause
"""Lists of names become few lines, from which every name can be read back."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmascope._display.folding import fold_names


def unfolded(text: str) -> list[str]:
    """Return the names that a line stands for, by its text alone."""
    start, colon, endings = text.partition(": ")
    slots = [
        [
            str(number)
            for part in slot.split(", ")
            for ends in [[int(end) for end in part.split(" to ")]]
            for number in range(ends[0], ends[-1] + 1)
        ]
        for slot in re.findall(r"\{([^}]*)\}", start)
    ]
    texts = re.split(r"\{[^}]*\}", start)
    starts = [
        "".join(itertools.chain(*itertools.zip_longest(texts, numbers, fillvalue="")))
        for numbers in itertools.product(*slots)
    ]
    if not colon:
        return starts
    return [f"{begin}.{end}" for begin in starts for end in endings.split(", ")]


names_of_models = st.lists(
    st.one_of(
        st.builds(
            "model.layers.{}.{}.weight".format,
            st.integers(0, 12),
            st.sampled_from(["q", "k", "mlp.up"]),
        ),
        st.builds("h.{}.experts.{}.w".format, st.integers(0, 3), st.integers(0, 3)),
        st.builds("codes.{}".format, st.sampled_from(["0", "1", "2", "3", "07", "x"])),
        st.sampled_from(["embed.weight", "norm.weight", "7", "layers.a.b"]),
    ),
    unique=True,
)


@given(names_of_models)
def test_every_name_is_in_one_line_and_can_be_read_back(names: list[str]) -> None:
    folds = fold_names(names)
    assert sorted(name for fold in folds for name in fold.names) == sorted(names)
    for fold in folds:
        assert sorted(unfolded(fold.text)) == sorted(fold.names)


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ([], []),
        (["a.0.w", "a.1.w"], ["a.0.w", "a.1.w"]),  # two names are shorter than a pattern
        ([f"a.{i}.w" for i in (0, 1, 2, 7)], ["a.{0 to 2, 7}.w"]),
        ([f"blk.{i}" for i in range(9)], ["blk.{0 to 8}"]),
        (["a/0/w", "a/1/w", "a/2/w", "b"], ["a/{0 to 2}/w", "b"]),
        (
            ["e", *(f"l.{i}.{x}.bias" for i in range(6) for x in ("k", "ln")), "z"],
            ["e", "l.{0 to 5}: k.bias, ln.bias", "z"],
        ),
    ],
)
def test_patterns_of_names(names: list[str], texts: list[str]) -> None:
    assert [fold.text for fold in fold_names(names)] == texts


def test_a_whole_model_takes_a_few_lines() -> None:
    roles = ("q", "k", "v", "o", "gate", "up", "down", "ln1", "ln2")
    names = [f"model.layers.{i}.{role}.weight" for i in range(80) for role in roles]
    assert len(fold_names([*names, "embed.weight", "lm_head.weight"])) == 3
