# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings of other vocabularies: rows are paired by the texts of their tokens, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.support.lineage_files import save_gguf, saved
from tests.support.lineage_models import EMBED, HEAD, VOCABULARY, Weights, random_model, tuned

import sigmascope as ss
from sigmascope.provenance import fingerprint, lineage
from sigmascope.provenance.lineages.extraction import CheckpointModel
from sigmascope.provenance.lineages.tokens import read_tokens, tokens_of_json
from sigmascope.provenance.lineages.vocabularies import Vocabulary, share_rows

A, B = random_model(1), random_model(2)
TEXTS = [f"tok{number}" for number in range(VOCABULARY)]
ORDER = np.random.default_rng(3).permutation(VOCABULARY)[:80]
"""Another vocabulary: 80 of the tokens in another order, and 30 new ones."""


def with_tokens(weights: Weights, rows: Sequence[int], new: int) -> Weights:
    """The model with other rows of its embedding and head."""
    rng, result = np.random.default_rng(4), dict(weights)
    for key in (EMBED, HEAD):
        fresh = rng.normal(size=(new, weights[key].shape[1])) / 8
        result[key] = np.concatenate([weights[key][rows], fresh]).astype(np.float32)
    return result


def write_tokenizer(folder: Path, texts: Sequence[str], added: Sequence[str] = ()) -> Path:
    vocabulary = {text: number for number, text in enumerate(texts)}
    more = [{"id": len(texts) + i, "content": text} for i, text in enumerate(added)]
    tokenizer = {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": more}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


OTHER_TEXTS = [*(TEXTS[row] for row in ORDER), *(f"new{i}" for i in range(30))]


def test_rows_are_paired_by_the_texts_of_tokens(tmp_path: Path) -> None:
    """Notices rows that are paired by number, or texts that are ignored."""
    other = with_tokens(tuned(A, 1), ORDER.tolist(), 30)
    one, two = saved(tmp_path / "a", A), saved(tmp_path / "b", other)
    without = lineage(one, two, tests=("R",))
    assert without.verdict == "abstain"
    assert "97 and 110 rows, without the texts of the tokens" in without.tests["R"].reason
    write_tokenizer(one, TEXTS)
    assert lineage(one, two, tests=("R",)).verdict == "abstain"  # one of the two is not known
    write_tokenizer(two, OTHER_TEXTS[:100], OTHER_TEXTS[100:])
    result = lineage(one, two, tests=("R",)).tests["R"]
    assert result.log10_p is not None
    assert result.log10_p < -30
    stranger = saved(tmp_path / "c", with_tokens(B, ORDER.tolist(), 30))
    write_tokenizer(stranger, OTHER_TEXTS)
    assert (lineage(one, stranger, tests=("R",)).tests["R"].log10_p or 0) > -3


def test_equally_many_tokens_in_another_order_are_paired_by_their_texts(tmp_path: Path) -> None:
    order = np.random.default_rng(5).permutation(VOCABULARY).tolist()
    one = write_tokenizer(saved(tmp_path / "a", A), TEXTS)
    two = saved(tmp_path / "b", with_tokens(tuned(A, 1), order, 0))
    assert (lineage(one, two, tests=("R",)).tests["R"].log10_p or 0) > -3
    write_tokenizer(two, [TEXTS[row] for row in order])
    assert (lineage(one, two, tests=("R",)).tests["R"].log10_p or 0) < -30


def test_a_gguf_file_has_its_own_texts(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    one = write_tokenizer(saved(tmp_path / "a", A), TEXTS)
    other = with_tokens(tuned(A, 1), ORDER.tolist(), 30)
    two = save_gguf(tmp_path / "b", other, "Q8_0", OTHER_TEXTS)
    assert read_tokens(ss.open_checkpoint(two)) == tuple(OTHER_TEXTS)
    assert (lineage(one, two, tests=("R",)).tests["R"].log10_p or 0) < -30
    assert read_tokens(ss.open_checkpoint(save_gguf(tmp_path / "c", A, "Q8_0"))) is None


def test_disjoint_vocabularies_abstain(tmp_path: Path) -> None:
    one = write_tokenizer(saved(tmp_path / "a", A), TEXTS)
    two = write_tokenizer(saved(tmp_path / "b", A), [f"x{text}" for text in TEXTS])
    assert lineage(one, two, tests=("R",)).tests["R"].reason.endswith("share 0 tokens")
    assert lineage(one, two).verdict == "related layers"


def test_fingerprints_know_whether_tokens_are_the_same(tmp_path: Path) -> None:
    one = write_tokenizer(saved(tmp_path / "a", A), TEXTS)
    same = write_tokenizer(saved(tmp_path / "b", tuned(A, 1)), TEXTS)
    other = write_tokenizer(saved(tmp_path / "c", tuned(A, 1)), TEXTS[::-1])
    fingerprint(one).save(tmp_path / "a.npz")
    assert (lineage(tmp_path / "a.npz", same).tests["R"].log10_p or 0) < -5
    assert "compare the files" in lineage(tmp_path / "a.npz", other).tests["R"].reason
    assert lineage(tmp_path / "a.npz", other).verdict == "related layers"


def test_tied_embeddings_are_one_view() -> None:
    """A head that repeats the embedding would count every tie twice."""
    tied = {**A, HEAD: A[EMBED].copy()}
    without = {key: x for key, x in A.items() if key != HEAD}
    views = []
    for weights in (tied, without, A):
        model = CheckpointModel(ss.open_checkpoint(weights), units=None, seed=1)
        features = model.coordinates()[0]
        assert features is not None
        views.append(set(features.views))
    assert views == [{"embed"}, {"embed"}, {"embed", "unembed"}]
    results = [lineage(A, weights, tests=("R",)).tests["R"] for weights in (tied, without)]
    assert results[0] == results[1]


def test_texts_come_from_every_layout_of_tokenizers() -> None:
    assert tokens_of_json({"model": {"vocab": {"a": 1, "b": 0}}}) == ("b", "a")
    assert tokens_of_json({"model": {"vocab": [["x", -1.0], ["y", 0]]}}) == ("x", "y")
    added = {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 2, "content": "<s>"}]}
    assert tokens_of_json(added) == ("a", None, "<s>")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"model": {"vocab": 3}}', '{"model": {"vocab": {"a": -1}}}'),
        *('{"model": {"vocab": {"a": 1e99}}}', '{"model": {"vocab": [[1, 2]]}}', "[" * 100_000),
        '{"model": {"vocab": {"a": 99999999999}}}',
    ],
)
def test_malformed_tokenizers_are_not_used(text: str, tmp_path: Path) -> None:
    """The weights are compared all the same, by row."""
    folder = saved(tmp_path / "a", A)
    (folder / "tokenizer.json").write_text(text)
    assert read_tokens(ss.open_checkpoint(folder)) is None
    assert (lineage(folder, A, tests=("R",)).tests["R"].log10_p or 0) < -30


def test_repeated_texts_pair_nothing() -> None:
    texts = tuple("abcdefghijklmnopqrstuvwxyz")
    one = Vocabulary.of(27, (*texts, "a"))
    other = Vocabulary.of(26, texts[::-1])
    rows = share_rows(one, other, 1)
    assert not isinstance(rows, str)
    assert rows.before is not None
    assert rows.after is not None
    assert sorted(rows.before.tolist()) == list(range(1, 26))  # not "a", which occurs twice
    assert np.array_equal(25 - rows.after, rows.before)
