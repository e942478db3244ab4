# SPDX-License-Identifier: BSD-3-Clause
"""The page of the lineage of a pair: tests, layers, agreements, premise and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log10
from typing import Any

from sigmascope.extension.pages import Explanation
from sigmascope.provenance.p_values import p_in_words

from .frame import Chapter, Page, Table, code, facts, last_part, listing, note, text, unbroken
from .panels import Axis, Mark, draw_panels, key

Record = Mapping[str, Any]

TONES = {
    "related layers": "good",
    "related layers, reordered units": "good",
    "related heads": "good",
}
"""Verdicts that join two files; all others leave the question open."""

LIMITS = (
    "It does not say which file came first, whether both come from a third, or whether one was "
    "distilled from the other."
)


def lineage_page(record: Record) -> Page:
    """Return the page of the lineage of a pair."""
    names = [last_part(name) for name in record["names"]]
    examined = (
        f"The weights of {names[0]} and {names[1]} were compared by tests whose p-values need no "
        "model of the weights."
    )
    return Page(
        kind="Lineage of two checkpoints",
        heading=f"{names[0]} and {names[1]}",
        verdict=record["verdict"],
        tone=TONES.get(record["verdict"], "open"),
        sentences=[record["text"]],
        explanation=Explanation(examined, meaning_of(record), LIMITS),
        chapters=list(lineage_chapters(record)),
    )


def meaning_of(record: Record) -> str:
    """Return one sentence on a verdict."""
    return {
        "related layers": "The layers of both files have a common origin",
        "related layers, reordered units": (
            "The layers of both files have a common origin, with hidden units in another order"
        ),
        "shared basis only": "The files share embeddings or a basis, and no common layers are seen",
        "related heads": "The attention heads of both files have a common origin",
        "calibrated only": "The files agree more than independent ones did, without a p-value",
        "not rejected": "No common origin is seen, which does not show that there is none",
        "abstain": "No test applies to these files",
    }[record["verdict"]] + "."


def lineage_chapters(record: Record, prefix: str = "") -> Iterator[Chapter]:
    """Yield the evidence of the lineage of a pair; all anchors begin with `prefix`."""
    yield Chapter(f"{prefix}tests", "Tests", tests_table(record))
    yield Chapter(f"{prefix}layers", "Layers", _layers(record))
    yield Chapter(f"{prefix}matches", "Units in another order", _matches(record))
    values = {
        **{f"file {i + 1}": name for i, name in enumerate(record["names"])},
        "level alpha": f"{record['alpha']:g}",
        "seed": record["seed"],
        "units read of a layer": "all" if record["units"] is None else f"at most {record['units']}",
        "bytes of weights read": f"{record['nbytes']:,}",
        "p-values of the premise check": " and ".join(f"{p:.3g}" for p in record["order"]),
    }
    premise = note(
        "A small p-value of the premise check says that the order of units is information in that "
        "file. The tests need one file where it is not."
    )
    limits = f"<h3>What this cannot say</h3>{listing(record['limits'])}"
    yield Chapter(f"{prefix}computed", "How it was computed", facts(values) + premise + limits)


def tests_table(record: Record) -> str:
    """Return the tests of a pair, with certified p-values."""
    lines = [
        [
            code(name),
            text(test["compares"]),
            f"abstains: {text(test['reason'])}" if test["reason"] else unbroken(f"p {test['p']}"),
            "" if test["rho"] is None else f"{test['rho']:.3g}",
            text(test["blind_to"]),
        ]
        for name, test in record["tests"].items()
    ]
    headers = ["test", "compares", "result", ">effect size", "cannot see"]
    explained = note(
        "p is a certified upper bound, adjusted for all tests. The effect size is about 0 between "
        "independent files and 1 between equal ones."
    )
    return Table("Tests", headers, lines).html() + explained


def _layers(record: Record) -> str:
    layers = record["layers"]
    if not layers:
        return ""
    names = {i: str(layer["before"]) for i, layer in enumerate(layers)}
    evidence = [
        _mark(i, -layer["log10_adjusted"], f"layer {layer['before']}: {_p(layer)}")
        for i, layer in enumerate(layers)
    ]
    sizes = [
        _mark(i, layer["rho"], f"layer {layer['before']}: rho {layer['rho']:.3g}")
        for i, layer in enumerate(layers)
    ]
    level = -log10(record["alpha"])
    plots = draw_panels(
        ({"−log₁₀ p": evidence}, Axis("evidence by layer", least=0.0, line=level, places=names)),
        ({"effect size": sizes}, Axis("effect size by layer", least=0.0, places=names)),
    )
    lines = [
        [
            text(layer["before"]),
            text(layer["after"]),
            unbroken(_p(layer)),
            f"{layer['rho']:.3g}",
            f"{layer['in_place']:,} of {layer['units']:,}",
        ]
        for layer in layers
    ]
    headers = ["layer", "compared with", "certified", ">rho", ">nearest unit in place"]
    return (
        key([("claim", "level alpha")])
        + plots
        + Table("Layers", headers, lines).html()
        + _links(record)
    )


def _mark(place: int, value: float, words: str) -> Mark:
    return Mark(place, value, value, value, "dot", words)


def _p(record: Record) -> str:
    return f"p {p_in_words(record['log10_adjusted'])}"


def _links(record: Record) -> str:
    lines = [
        [
            text(link["before"]),
            text(link["after"]),
            _p(link),
            f"{link['rho']:.3g}",
        ]
        for link in record["links"]
    ]
    table = Table("Tied layers", ["layer", "of the other file", "certified", ">rho"], lines).html()
    return f"<h3>Layers that are tied to each other</h3>{table}" if table else ""


def _matches(record: Record) -> str:
    lines = [
        [
            text(match["before"]),
            text(match["after"]),
            f"{match['agreements']:,} of {match['units']:,}",
        ]
        for match in record["matches"]
    ]
    table = Table("Agreements", ["layer", "of the other file", ">units that agree"], lines).html()
    if not table:
        return ""
    return (
        note(
            "Units of which gate and up have the same nearest unit in the other file. Chance gives "
            "about one for each layer. This is calibrated, without a p-value."
        )
        + table
    )
