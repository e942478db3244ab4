# SPDX-License-Identifier: BSD-3-Clause
"""Patterns of weights, and tensors from other places, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from sigmascope.extension import counted

from .number_formats import Reals
from .patterns import BY_LAYER, BY_ROLE, IN_PART, STOCK, Part, Pattern
from .places import describe, list_layers, role_of
from .tensors import Row
from .verdicts import Evidence
from .wording import last_part, list_words, weight_text


def pattern_sentence(evidence: Evidence, pattern: Pattern) -> str:
    """Return a pattern in a sentence or two."""
    names = [last_part(name) for name in evidence.names]
    if pattern.kind == IN_PART:
        sentence = _in_part(names, pattern)
    elif pattern.kind in (BY_LAYER, BY_ROLE):
        sentence = _table(names, pattern)
    else:
        sentence = _equal(names, pattern)
    if pattern.undecided:
        count = counted(len(pattern.undecided), "tensor")
        sentence += f" The numbers of {count} do not tell which."
    return sentence


def _in_part(names: Sequence[str], pattern: Pattern) -> str:
    everything = [row for part in pattern.parts for row in part.rows]
    places = [describe(part.rows, everything) for part in pattern.parts]
    whole = [not part.box.any() for part in pattern.parts]
    if len(names) == 1:
        (name,) = names
        part = pattern.parts[whole.index(False)]
        if part.rows[0]["terms"][0]:
            return (
                f"{name} was applied in part: to {places[whole.index(False)]}, but not to "
                f"{places[whole.index(True)]}."
            )
    owners = [_owner(names, part.box) for part in pattern.parts]
    list_of = [f"{place} from {owner}" for place, owner in zip(places, owners, strict=True)]
    return f"Tensors come from several models: {list_words(list_of)}."


def _owner(names: Sequence[str], box: Reals) -> str:
    """Return whose change the tensors have in full."""
    middle = box.mean(axis=1)
    chosen = [i for i, weight in enumerate(middle) if weight]
    if not chosen:
        return "the base"
    parts = [names[i] if middle[i] == 1 else f"{middle[i]:g} {names[i]}" for i in chosen]
    return " + ".join(parts)


def _table(names: Sequence[str], pattern: Pattern) -> str:
    if pattern.kind == BY_LAYER:
        parts = sorted(pattern.parts, key=_first_layer)
        words = [_layer(part) for part in parts]
        what = "layer"
    else:
        parts, what = list(pattern.parts), "role"
        words = [role_of(part.rows[0]) for part in parts]
    shown = [f"{_weights(names, part)} in {word}" for part, word in zip(parts, words, strict=True)]
    if len(shown) > 3:
        shown = [shown[0], f"{len(shown) - 2} more", shown[-1]]
    return f"The weights differ by {what}, and are the same within each {what}: {'; '.join(shown)}."


def _first_layer(part: Part) -> tuple[bool, int]:
    layer = part.rows[0]["layer"]
    return layer is None, layer or 0


def _layer(part: Part) -> str:
    layer = part.rows[0]["layer"]
    return role_of(part.rows[0]) if layer is None else list_layers([layer])


def _weights(names: Sequence[str], part: Part) -> str:
    touched = sorted({i for row in part.rows for i in row["donors"]})
    return " and ".join(
        f"{weight_text(float(part.box[i, 0]), float(part.box[i, 1]))} {names[i]}" for i in touched
    )


def _equal(names: Sequence[str], pattern: Pattern) -> str:
    boxes = sorted((len(names) * part.box[0]).tolist() for part in pattern.parts)
    ends = " to ".join(weight_text(*box) for box in (boxes[0], boxes[-1]))
    sentence = (
        f"All donors have equal weights in each tensor, which differ by tensor: together {ends}."
    )
    if pattern.kind == STOCK:
        sentence += " They are those of a model stock."
    return sentence


def copy_sentences(rows: Sequence[Row], base: str, donors: Sequence[str]) -> list[str]:
    """Say which layers and tensors are those of another place, number for number."""
    owners = [f"the base ({last_part(base)})", *(last_part(name) for name in donors)]
    layers: dict[int, tuple[int, int]] = {}
    single = []
    for row in rows:
        origin = row.get("origin")
        if origin is None:
            continue
        if origin["whole_layer"] and row["merged_layer"] is not None:
            layers[row["merged_layer"]] = origin["file"], origin["layer"]
        else:
            single.append(f"{row['merged']} is {origin['name']} of {owners[origin['file']]}")
    runs: list[list[int]] = []  # file, shift, first and last layer
    for layer, (file, source) in sorted(layers.items()):
        if runs and runs[-1][:2] == [file, source - layer] and runs[-1][3] == layer - 1:
            runs[-1][3] = layer
        else:
            runs.append([file, source - layer, layer, layer])
    words = [
        f"{list_layers(range(first, last + 1))} {'is' if first == last else 'are'} "
        f"{list_layers(range(first + shift, last + shift + 1))} of {owners[file]}"
        for file, shift, first, last in runs
    ]
    sentences = []
    if words:
        shown = words if len(words) <= 6 else [*words[:5], f"{len(words) - 5} more"]
        text = "; ".join(shown)
        sentences.append(f"Layers were taken from other places, number for number: {text}.")
    if single:
        shown = single[:3] + ([f"{len(single) - 3} more"] if len(single) > 3 else [])
        text = "; ".join(shown)
        sentences.append(f"Tensors were taken from other places, number for number: {text}.")
    return sentences
