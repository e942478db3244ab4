# SPDX-License-Identifier: BSD-3-Clause
"""The experiment on breadth of data in small: the sign, a calibration of it, and its material."""

from __future__ import annotations

import random

import numpy as np
import pytest
from benchmarks.regimes import corpus, images, text
from benchmarks.regimes.data import cells_by_loss, matched_cells, stream_of
from benchmarks.regimes.found import Found, load
from benchmarks.regimes.plan import (
    behaviour_plan,
    dose_plan,
    main_plan,
    novelty_plan,
    smoke_plan,
    text_plan,
    vision_plan,
    width_plan,
)
from benchmarks.regimes.run import execute
from benchmarks.regimes.train import model_of

import sigmascope as ss
from sigmascope.diagnosis import Calibration

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    folder = tmp_path_factory.mktemp("regimes")
    execute(smoke_plan(), folder, 1)
    return load(folder)


def test_every_run_has_a_spread_at_every_place(runs: list[Found]) -> None:
    """Fifty steps of a small model show that all parts work together, and nothing of breadth."""
    assert [x.label for x in runs].count("narrow") == 6
    assert [x.label for x in runs].count("broad") == 3
    for x in runs:
        assert len(x.update.places) == 16
        assert -2.0 < x.spread < 0.0


def test_a_run_that_the_calibration_never_saw_is_told(runs: list[Found]) -> None:
    for left_out in runs:
        known = [x for x in runs if x is not left_out]
        calibration = Calibration.fit([(x.rows, x.label, "base") for x in known], score="spread")
        diagnosis = ss.diagnosis.diagnose(left_out.rows, calibration, group="base")
        assert diagnosis.verdict in (left_out.label, "not distinguishable", "refused")


def test_every_run_learns(runs: list[Found]) -> None:
    assert len({x.run.name for x in runs}) == 9
    assert all(x.record["loss"] < x.record["first_loss"] for x in runs)


def test_every_answer_of_the_corpus_is_right() -> None:
    """Written formats hold the answer that the skill gives; a claim is true where it says so."""
    r = random.Random(0)
    for skill, form in corpus.CELLS:
        for _ in range(20):
            made = corpus.example(r, skill, form)
            assert all(token in corpus.CODES for token in (*made.prompt, *made.answer))
            if form == corpus.CHOICE:
                offered = dict(zip(made.prompt[-9:-1:2], made.prompt[-8:-1:2], strict=True))
                assert offered[made.answer[1]] == made.answer[0]
                assert len(set(offered.values())) == 4
    assert not corpus.HELD_CELLS - set(corpus.CELLS)


def test_a_breadth_has_so_many_cells() -> None:
    for cells in (1, 2, 64, len(corpus.CELLS)):
        assert len(set(corpus.breadth(cells, 13))) == cells
    assert corpus.breadth(8, 1) == corpus.breadth(8, 1) != corpus.breadth(8, 2)


@pytest.mark.parametrize("regime", ["base", "benchmark", "narrow", "broad", "domains"])
def test_text_is_of_printable_characters(regime: str) -> None:
    stream = text.TextStream(regime, 1, 3)
    (tokens,), targets, weights = stream.batch(3)
    assert tokens.shape == targets.shape == weights.shape == (3, text.LENGTH)
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < text.VOCABULARY
    assert bool((tokens[:, 1:] == targets[:, :-1]).all())


@pytest.mark.parametrize("regime", ["base", "benchmark", "narrow", "broad"])
def test_questions_about_images_have_right_answers(regime: str) -> None:
    r = random.Random(3)
    for _ in range(300):
        things, prompt, answer = images.example(regime, r)
        assert all(word in images.CODES for word in (*prompt, *answer))
        words = prompt[1:] if prompt[0] == "Q" else prompt
        if words[:2] in (["colour", "at"], ["shape", "at"]):
            thing = things[images.PLACES.index(words[2])]
            assert thing is not None
            assert answer[0] == thing[("colour", "shape").index(words[0])]
        if words == ["count", "->"]:
            assert answer == [str(sum(thing is not None for thing in things))]
    picture = images.drawn(things, 5)
    assert picture.shape == (24, 24, 3)
    for place, thing in enumerate(things):
        y, x = 8 * (place // 3), 8 * (place % 3)
        assert (np.abs(picture[y : y + 8, x : x + 8]).max() > 0.5) == (thing is not None)


def test_every_run_of_every_plan_has_a_model_and_data() -> None:
    plans = (
        main_plan, width_plan, dose_plan, novelty_plan, text_plan, vision_plan, behaviour_plan
    )  # fmt: skip
    for plan in plans:
        runs = plan()
        names = [run.name for run in runs]
        bases = {run.name for run in runs if not run.base}
        assert all(run.base in bases for run in runs if run.base)
        assert len(names) == len(set(names)), plan.__name__
        seen = {(run.data, run.regime, run.cells, run.pool, run.width): run for run in runs}
        for run in seen.values():
            model, stream = model_of(run), stream_of(run, 64)
            inputs, targets, weights = stream.batch(2)
            assert model(*inputs).shape[:2] == targets.shape == weights.shape


def test_few_and_many_cells_are_matched_by_the_loss_of_the_base() -> None:
    runs = [run for run in novelty_plan(1) if run.base]
    model = model_of(runs[0])
    ranked = cells_by_loss(model)
    losses = {cell: loss for loss, cell in ranked}
    means = {}
    for run in runs:
        cells = matched_cells(ranked, run)
        assert len(set(cells)) == run.cells
        assert cells == matched_cells(ranked, run)
        means[run.novelty, run.cells] = float(np.mean([losses[cell] for cell in cells]))
    ordered = sorted(losses.values())
    gap = np.mean(ordered[-32:]) - np.mean(ordered[:32])
    for novelty in ("known", "new"):
        assert abs(means[novelty, 2] - means[novelty, 32]) < 0.05 * gap
    assert means["new", 2] - means["known", 32] > 0.9 * gap
