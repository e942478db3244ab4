# SPDX-License-Identifier: BSD-3-Clause
"""The sentence at the head of a page, and the facts below it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests.support import known_spectra
from tests.support.html_pages import headline_of, page_of

import sigmascope as ss
from sigmascope.results import Comparison, Scan

RNG = np.random.default_rng(5)
LAYERS = 6


def weights(kinds: tuple[str, ...] = ("q", "k"), n: int = 96) -> dict[str, NDArray[Any]]:
    """Make trained-like matrices of a few roles in every layer."""
    A = known_spectra.polynomial(n, n)[0]
    return {
        f"model.layers.{i}.self_attn.{kind}_proj.weight": (
            A[RNG.permutation(n)] + 0.02 * RNG.standard_normal((n, n))
        ).astype(np.float32)
        for i in range(LAYERS)
        for kind in kinds
    }


def saved(folder: Path, name: str, tensors: Mapping[str, NDArray[Any]]) -> Path:
    save_file(dict(tensors), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def headline(table: Scan | Comparison) -> tuple[str, str]:
    """Return the sentence and the facts of a page as text, without the day at their end."""
    first = date.today()
    sentence, facts = headline_of(page_of(table))
    facts, _, day = facts.rpartition(" · page made on ")
    assert first <= date.fromisoformat(day) <= date.today()
    return sentence, facts


def test_a_checkpoint_without_faults(tmp_path: Path) -> None:
    scan = ss.scan(saved(tmp_path, "model", weights()))
    sentence, facts = headline(scan)
    wanted = "12 matrices: no sign of damage, and no outlier in any role."
    assert sentence == wanted
    assert facts == f"{12 * 96 * 96:,} parameters · 1 file"


def test_what_is_wrong_comes_first(tmp_path: Path) -> None:
    tensors = weights()
    name = next(iter(tensors))
    tensors[name] = tensors[name].copy()
    tensors[name][3, 5] = np.nan
    sentence, _ = headline(ss.scan(saved(tmp_path, "model", tensors)))
    assert sentence.startswith("11 matrices. 1 tensor failed and has no numbers.")


def test_a_checkpoint_of_vectors(tmp_path: Path) -> None:
    path = saved(tmp_path, "model", {"norm.weight": np.ones(5, np.float32)})
    assert headline(ss.scan(path)) == ("No matrix was analysed.", "5 parameters · 1 file")


def test_second_names_have_no_parameters_of_their_own(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(next(iter(weights().values())))
    torch.save({"embed_tokens.weight": w, "lm_head.weight": w}, tmp_path / "model.pt")
    assert headline(ss.scan(tmp_path / "model.pt"))[1] == f"{96 * 96:,} parameters · 1 file"


@pytest.mark.parametrize("rank", [2, 96])
def test_the_size_and_the_kind_of_a_change(rank: int, tmp_path: Path) -> None:
    before = weights()
    after = {}
    for name, W in before.items():
        update = RNG.standard_normal((96, rank)) @ RNG.standard_normal((rank, 96))
        update += 0.01 * RNG.standard_normal((96, 96))
        size = 0.05 * np.linalg.norm(W) / np.linalg.norm(update)
        after[name] = (W + size * update).astype(np.float32)
    one, other = saved(tmp_path, "before", before), saved(tmp_path, "after", after)
    sentence, facts = headline(ss.compare(one, other))
    kinds = {
        2: "lies along few directions; 2 of 96 singular values exceed the noise edge.",
        96: "is spread over many directions.",
    }
    assert sentence == (
        "The weights changed by 5.000 % (‖ΔW‖/‖W‖), with no clear difference between roles. "
        f"In a typical matrix the change {kinds[rank]}"
    )
    assert facts == f"{12 * 96 * 96:,} parameters · 2 files"


def test_the_place_of_a_change(tmp_path: Path) -> None:
    before = weights()
    after = {
        name: W + (0.1 if "q_proj" in name else 0.01) * np.linalg.norm(W) / 96
        for name, W in before.items()
    }
    one, other = saved(tmp_path, "before", before), saved(tmp_path, "after", after)
    assert ", most in q and least in k" in headline(ss.compare(one, other))[0]


def test_few_directions_are_few() -> None:
    """Ten directions that hold two thirds of the energy are not all, and 81 of 384 are not few."""
    rng = np.random.default_rng(3)
    before = weights(n=128)
    steep = np.arange(1, 129) ** -0.8
    after = {
        name: W + (0.01 * rng.standard_normal(W.shape) @ np.diag(steep)).astype(np.float32)
        for name, W in before.items()
    }
    sentence, _ = headline(ss.compare(before, after))
    assert "few" not in sentence
    assert re.search(r"ten directions hold \d+ % of the energy of the change", sentence)


def test_one_changed_matrix_of_many_is_named() -> None:
    before = weights()
    name = next(iter(before))
    sentence, _ = headline(ss.compare(before, before | {name: 2 * before[name]}))
    assert f"in 1 of 12 matrices, that is {name}" in sentence


def test_no_change(tmp_path: Path) -> None:
    path = saved(tmp_path, "model", weights())
    sentence, _ = headline(ss.compare(path, path))
    assert sentence == "The 12 pairs of matrices are identical in every entry."


def test_vectors_and_failures_are_not_passed_over(tmp_path: Path) -> None:
    before = weights() | {"norm.weight": np.ones(8, np.float32)}
    after = before | {"norm.weight": np.full(8, 2, np.float32)}
    one, other = saved(tmp_path, "before", before), saved(tmp_path, "after", after)
    sentence, _ = headline(ss.compare(one, other))
    assert sentence == (
        "The 12 pairs of matrices are identical in every entry. "
        "1 tensor without a spectrum changed."
    )
    name = next(iter(before))
    after[name] = np.full((96, 96), np.nan, np.float32)
    sentence, _ = headline(ss.compare(one, saved(tmp_path, "broken", after)))
    assert sentence.endswith(" 1 pair could not be compared.")


def test_matrices_that_were_zero(tmp_path: Path) -> None:
    one = saved(tmp_path, "before", {"lora_B.weight": np.zeros((8, 6), np.float32)})
    other = saved(tmp_path, "after", {"lora_B.weight": np.eye(8, 6, dtype=np.float32)})
    sentence, _ = headline(ss.compare(one, other))
    assert sentence == "1 matrix changed from zero."


def test_a_table_that_is_not_finished_says_so(tmp_path: Path) -> None:
    scan = ss.scan(saved(tmp_path, "model", weights()))
    part = dataclasses.replace(scan, rows=scan.rows[:5])
    sentence, _ = headline(part)
    assert sentence.startswith("Not finished: 5 of 12 tensors. 5 matrices")
