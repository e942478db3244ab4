# SPDX-License-Identifier: BSD-3-Clause
"""Words, levels and files of results."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tests.support.lineage_models import permuted, random_model, tuned, with_embeddings

from sigmascope.provenance import Fingerprint, fingerprint, group_by_lineage, lineage
from sigmascope.provenance.lineages.features import Layer
from sigmascope.provenance.lineages.levels import bonferroni, group_by_links, holm
from sigmascope.provenance.lineages.outcomes import Match, least_tie, p_in_words
from sigmascope.provenance.lineages.verdicts import layers_in_words

A, B = random_model(1), random_model(2)
SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "lineage.schema.json"

TOO_STRONG = re.compile(
    r"stolen|copied|trained from|derived from|parent|proves|child", re.IGNORECASE
)


@pytest.mark.parametrize("other", [tuned(A, 1), permuted(A), with_embeddings(B, A), B])
def test_sentences_accuse_nobody_and_name_no_parent(other: dict[str, np.ndarray]) -> None:
    result = lineage(A, other)
    assert not TOO_STRONG.search(result.text)
    assert result.text in repr(result)
    if result.related:
        assert "be it only the same initialisation. The test can't say which." in result.text
    if result.verdict == "shared basis only":
        assert result.text.endswith("The layers show no common origin.")
    if result.verdict == "not rejected":
        assert result.text.startswith("No common origin found. This does not show independence")
        assert "nor a distilled model" in result.text


def test_a_saved_result_has_all_numbers(tmp_path: Path) -> None:
    result = lineage(A, tuned(A, 1))
    result.save(tmp_path / "pair.json")
    record = json.loads((tmp_path / "pair.json").read_text())
    assert record == json.loads(json.dumps(result.to_dict()))
    assert record["seed"] == 20261130
    assert record["layers"][1]["before"] == "1"
    assert set(record["tests"]) == {"U", "L", "N", "UR", "U aligned", "R", "RR", "H"}
    for test in record["tests"].values():
        assert (test["log10_p"] is None) == bool(test["reason"])
    with pytest.raises(ValueError, match=r"saved as \.json"):
        result.save(tmp_path / "pair.pdf")


def test_several_results_are_one_file(tmp_path: Path) -> None:
    result = group_by_lineage([A, tuned(A, 1), B], tests=("U",))
    result.save(tmp_path / "all.json")
    record = json.loads((tmp_path / "all.json").read_text())
    assert record["kind"] == "lineages"
    assert [len(group) for group in record["groups"]] == [2, 1]
    assert len(record["pairs"]) == 3
    assert "3 checkpoints, 2 groups" in repr(result)


def test_every_result_fits_the_published_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    results = [lineage(A, other) for other in (A, permuted(A), B)]
    results.append(lineage(A, B, tests=("H",)))
    for result in (*results, group_by_lineage([A, tuned(A, 1), B])):
        jsonschema.validate(result.to_dict(), schema)
    broken = {**results[0].to_dict(), "verdict": "copied"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_p_values_are_never_printed_below_the_bound() -> None:
    """Rounding the exponent to the nearest would print 1e-81 for 10^-80.6."""
    for log10_p in (-0.0, -0.3, -1.301, -1.3536, -2.999, -3.99, -4, -80.6, -147.37):
        words = p_in_words(log10_p)
        assert float(words.removeprefix("<= ")) >= 10**log10_p * (1 - 1e-6)
    assert p_in_words(-80.6) == "<= 1e-80"
    assert p_in_words(0) == "<= 1"
    assert p_in_words(-146.7, -147.4) == "<= 1e-146 (the least this group can give)"


def test_holm_keeps_the_level_of_dependent_families() -> None:
    """20,000 families of 5 normal variables of any correlation, of which 2 are alternatives."""
    rng, errors = np.random.default_rng(0), 0
    for _ in range(20_000):
        p = 10.0 ** -np.abs(rng.exponential(0.4343, 5) * 1)
        p[:3] = rng.random() if rng.random() < 0.5 else rng.random(3)
        p[3:] *= 1e-6
        adjusted = holm(dict(enumerate(np.log10(p))))
        errors += any(adjusted[i] <= np.log10(0.05) for i in range(3))
    assert errors / 20_000 <= 0.05


def test_holm_and_bonferroni_adjust_by_hand() -> None:
    adjusted = holm({"a": np.log10(0.01), "b": np.log10(0.04), "c": np.log10(0.03)})
    assert {key: round(10**value, 9) for key, value in adjusted.items()} == {
        "a": 0.03,
        "b": 0.06,
        "c": 0.06,
    }
    assert bonferroni(-3, 10) == -2
    assert bonferroni(-0.1, 10) == 0


def test_groups_are_connected_components() -> None:
    names = list("abcdef")
    assert group_by_links(names, [(4, 1), (1, 3)]) == [["a"], ["b", "d", "e"], ["c"], ["f"]]
    assert group_by_links(names, list(combinations(range(6), 2))) == [names]


def test_layers_have_words() -> None:
    layers = [Layer("text", number) for number in (0, 1, 2, 5)]
    assert layers_in_words([*layers, Layer("vision", 3)]) == "Layers 0-2, 5, vision 3"
    assert layers_in_words(layers[3:]) == "Layer 5"
    assert layers_in_words([Layer("text", 1, expert) for expert in (0, 1)]) == "Layer 1 (experts)"
    assert Layer("vision", 3, 2, "shared_").text == "vision 3, shared expert 2"


def test_few_agreements_are_not_evidence() -> None:
    layer = Layer("text", 0)
    assert not Match(layer, layer, 9, 100).evident
    assert Match(layer, layer, 10, 100).evident
    assert not Match(layer, layer, 25, 512).evident


def test_the_least_tie_falls_with_the_numbers_that_are_read() -> None:
    assert least_tie(0) == least_tie(1) == 1
    assert least_tie(3 * 1024 * 128) == pytest.approx(6 / np.sqrt(0.875 * 3 * 1024 * 128))


def test_files_state_the_seed_that_repeats_their_numbers(tmp_path: Path) -> None:
    for seed in (5, 6):
        result = lineage(A, tuned(A, 1), seed=seed)
        result.save(tmp_path / "pair.json")
        record = json.loads((tmp_path / "pair.json").read_text())
        assert record["seed"] == seed
        assert lineage(A, tuned(A, 1), seed=record["seed"]).to_dict() == result.to_dict()
        group_by_lineage([A, B, tuned(A, 1)], seed=seed).save(tmp_path / "all.json")
        pairs = json.loads((tmp_path / "all.json").read_text())["pairs"]
        assert {pair["seed"] for pair in pairs} == {seed}
        fingerprint(A, seed=seed).save(tmp_path / "a.npz")
        assert Fingerprint.load(tmp_path / "a.npz").seed == seed
