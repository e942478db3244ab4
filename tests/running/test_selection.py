# SPDX-License-Identifier: BSD-3-Clause
"""Patterns of names: what they match, and what the message says of those that match nothing."""

from __future__ import annotations

import pytest

from sigmascope._running.selection import Selection

NAMES = [
    *(f"model.layers.{i}.self_attn.q_proj.weight[head {j}]" for i in (1, 11) for j in (3, 4)),
    "model.layers.1.mlp.experts[3]",
    "model.embed.weight",
]


def matched(pattern: str, names: list[str] = NAMES) -> list[str]:
    selection = Selection([pattern], [])
    return [name for name in names if selection.reason({name}) is None]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (NAMES[0], NAMES[:1]),
        ("…layers.1.self_attn.q_proj.weight[head 3]", NAMES[:1]),
        ("…1.self…[head 3]", [NAMES[0], NAMES[2]]),
        ("*[head 4]", [NAMES[1], NAMES[3]]),
        ("*experts[3]", [NAMES[4]]),
        ("*.[1]1.*", NAMES[2:4]),
        ("*embed*", NAMES[-1:]),
    ],
)
def test_names_are_taken_as_tables_show_them(pattern: str, expected: list[str]) -> None:
    assert matched(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "names", "message"),
    [
        ("zzz", NAMES, "model: no tensor matches 'zzz'"),
        (
            "q_proj",
            NAMES,
            f"model: no tensor matches 'q_proj' ('*q_proj*' would match {NAMES[0]!r} and 3 more)",
        ),
        (
            "model.embed.wieght",
            NAMES,
            "model: no tensor matches 'model.embed.wieght' (similar: 'model.embed.weight')",
        ),
        (
            "*[head 3]",
            NAMES[4:],
            "model: no tensor matches '*[head 3]' (attention heads are matrices of their own only "
            "with the option heads)",
        ),
    ],
)
def test_a_message_says_what_would_have_matched(
    pattern: str, names: list[str], message: str
) -> None:
    selection = Selection([pattern], [])
    for name in names:
        assert selection.reason({name}) == "matches no pattern to include"
    with pytest.raises(ValueError, match="no tensor") as caught:
        selection.check("model")
    assert str(caught.value) == message
