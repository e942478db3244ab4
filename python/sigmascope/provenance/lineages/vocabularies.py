# SPDX-License-Identifier: BSD-3-Clause
"""Rows of two embeddings that stand for the same tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from .blocks import SEED, Integers, sample_things

TOKENS = 2048
"""Tokens of the embedding that describe a residual coordinate."""

LEAST_SHARED = 16
"""Fewer shared tokens say nothing of a vocabulary."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The rows of an embedding.

    Attributes
    ----------
    rows : int
        Number of rows; 0 if there are no embeddings.
    digest : str
        SHA-256 of the texts of all tokens; empty if they are not known.
    texts : tuple of str or None
        The texts by row. A fingerprint has a digest alone.
    """

    rows: int
    digest: str = ""
    texts: tuple[str | None, ...] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, rows: int, texts: tuple[str | None, ...] | None) -> Vocabulary:
        """Return the vocabulary of so many rows with these texts, if they are known."""
        if texts is None or not rows:
            return cls(rows)
        texts = texts[:rows]
        parts = b"".join(
            b"-" if text is None else b"%d:%s" % (len(raw := text.encode(errors="replace")), raw)
            for text in texts
        )
        return cls(rows, sha256(parts).hexdigest(), texts)

    def sample(self, seed: int = SEED) -> Integers:
        """Return the rows that are read of this vocabulary if the other is the same.

        Vocabularies of nearly one size have the same sample.
        """
        return sample_things(1 << max(self.rows.bit_length() - 1, 0), TOKENS, seed=seed)


class SharedRows(NamedTuple):
    """Rows of two embeddings, in pairs; None where both read their own sample."""

    before: Integers | None
    after: Integers | None


def share_rows(before: Vocabulary, after: Vocabulary, seed: int) -> SharedRows | str:
    """Return rows of equal tokens, or the reason why there are none.

    Rows of equal numbers stand for equal tokens if the texts say so; or if the texts of one file
    are not known and both have equally many rows. Otherwise rows are paired by their texts.
    The choice of rows does not depend on weights, so a test stays exact.
    """
    if not before.rows or not after.rows:
        return "no embedding"
    known = bool(before.digest and after.digest)
    same = before.digest == after.digest if known else before.rows == after.rows
    if same and before.rows.bit_length() == after.rows.bit_length():
        return SharedRows(None, None)
    if not known:
        return (
            f"other vocabularies: {before.rows} and {after.rows} rows, without the texts of the "
            "tokens in both (tokenizer.json beside the weights, or in a GGUF file)"
        )
    if before.texts is None or after.texts is None:
        return "other tokens than those of the fingerprint: compare the files instead"
    places = [_places(vocabulary.texts or ()) for vocabulary in (before, after)]
    texts = sorted(places[0].keys() & places[1].keys())
    if len(texts) < LEAST_SHARED:
        return f"other vocabularies: they share {len(texts)} tokens"
    chosen = [texts[number] for number in sample_things(len(texts), TOKENS, seed=seed)]
    one, other = (np.array([each[text] for text in chosen], np.int64) for each in places)
    return SharedRows(one, other)


def _places(texts: tuple[str | None, ...]) -> dict[str, int]:
    """Return the row of each text that occurs once."""
    places: dict[str, int] = {}
    repeated: set[str] = set()
    for row, text in enumerate(texts):
        if text is not None and places.setdefault(text, row) != row:
            repeated.add(text)
    return {text: row for text, row in places.items() if text not in repeated}
