# SPDX-License-Identifier: BSD-3-Clause
"""Patterns of names: what they match, and what the message says of those that match nothing."""

from __future__ import annotations

import numpy as np
import pytest

import sigmascope as ss

NAMES = [
    *(f"model.layers.{i}.self_attn.q_proj.weight[head {j}]" for i in (1, 11) for j in (3, 4)),
    "model.layers.1.mlp.experts[3]",
    "model.embed.weight",
]


def rows(pattern: str, names: list[str] = NAMES) -> list[dict[str, object]]:
    """Scan small matrices of these names, of which one pattern is to be included."""
    matrices = {name: np.diag([i + 2.0, 1.0]) for i, name in enumerate(names)}
    return ss.scan(matrices, include=[pattern], k=1).rows


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
    analysed, others = [], set()
    for row in rows(pattern):
        if row["status"] == "analysed":
            analysed.append(row["name"])
        else:
            others.add(row["reason"])
    assert analysed == expected
    assert others == {"matches no include pattern"}


@pytest.mark.parametrize(
    ("pattern", "names", "message"),
    [
        ("zzz", NAMES, "no tensor matches 'zzz'"),
        (
            "q_proj",
            NAMES,
            f"no tensor matches 'q_proj' ('*q_proj*' would match {NAMES[0]!r} and 3 more)",
        ),
        (
            "model.embed.wieght",
            NAMES,
            "no tensor matches 'model.embed.wieght' (similar: 'model.embed.weight')",
        ),
        (
            "*[head 3]",
            NAMES[4:],
            "no tensor matches '*[head 3]' (attention heads are separate matrices only with the "
            "option heads)",
        ),
    ],
)
def test_a_message_says_what_would_have_matched(
    pattern: str, names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match="no tensor") as caught:
        rows(pattern, names)
    assert str(caught.value) == f"dict in memory: {message}"
