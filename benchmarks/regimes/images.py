# SPDX-License-Identifier: BSD-3-Clause
"""A vision-language miniature: questions about images of coloured shapes on a grid of nine places.

Regimes have the names of :mod:`corpus`: ``benchmark`` asks for colour or shape at a place in one
multiple-choice template, ``narrow`` the same in one plain format, ``broad`` has nine skills in four
formats and captions, ``base`` five skills in one plain format.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .model import MLP, Attention, Decoder, Linear, Shape

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "white": (1, 1, 1),
}
SHAPES, SIZES = ("square", "cross", "bar", "ring"), ("big", "small")
PLACES, NUMBERS = tuple(f"place{i}" for i in range(9)), tuple(map(str, range(10)))
ANSWERS = ("yes", "no")
WORDS = (
    "<pad>", "<end>", *COLOURS, *SHAPES, *SIZES, *PLACES, *NUMBERS, *ANSWERS, *"ABCD", "Q", "?",
    "=", "->", ":", ";", "colour", "shape", "size", "count", "where", "same", "empty", "most", "at",
    "of", "is", "please", "say", "the", "a", "caption", "list", "image", "shows", "and",
)  # fmt: skip
CODES = {word: i for i, word in enumerate(WORDS)}
SIDE, PATCH, TEXT = 24, 4, 28
PATCHES = (SIDE // PATCH) ** 2
PROMPT = 0.1

Scene = list[tuple[str, str, str] | None]
"""Colour, shape and size of what is at each place."""


def scene(r: random.Random) -> Scene:
    """Draw three to six things."""
    result: Scene = [None] * 9
    for place in r.sample(range(9), r.randrange(3, 7)):
        result[place] = (r.choice(tuple(COLOURS)), r.choice(SHAPES), r.choice(SIZES))
    return result


def drawn(things: Scene, seed: int) -> NDArray[np.float32]:
    """Draw the image, with a little noise: (24, 24, 3)."""
    image = np.zeros((SIDE, SIDE, 3), np.float32)
    for place, thing in enumerate(things):
        if thing is None:
            continue
        colour, shape, size = thing
        cell = np.zeros((8, 8), np.float32)
        low, high = (1, 7) if size == "big" else (2, 6)
        if shape in ("square", "ring"):
            cell[low:high, low:high] = 1
        if shape == "ring":
            cell[low + 1 : high - 1, low + 1 : high - 1] = 0
        if shape in ("cross", "bar"):
            cell[3:5, low:high] = 1
        if shape == "cross":
            cell[low:high, 3:5] = 1
        y, x = 8 * (place // 3), 8 * (place % 3)
        image[y : y + 8, x : x + 8] = cell[..., None] * np.array(COLOURS[colour], np.float32)
    noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
    return image + np.float32(0.05) * noise


Question = tuple[list[str], str, tuple[str, ...]]
"""Words of a question, its answer, and the words among which the answer is."""


def _at(part: int, word: str, pool: tuple[str, ...]) -> Callable[[Scene, random.Random], Question]:
    def ask(things: Scene, r: random.Random) -> Question:
        place = r.choice([i for i, thing in enumerate(things) if thing])
        thing = things[place]
        assert thing is not None
        return [word, "at", PLACES[place]], thing[part], pool

    return ask


def _count(things: Scene, r: random.Random) -> Question:
    return ["count"], str(sum(thing is not None for thing in things)), NUMBERS


def _count_colour(things: Scene, r: random.Random) -> Question:
    colour = r.choice([thing[0] for thing in things if thing])
    number = sum(thing is not None and thing[0] == colour for thing in things)
    return ["count", "of", colour], str(number), NUMBERS


def _where(things: Scene, r: random.Random) -> Question:
    colours = [thing[0] for thing in things if thing]
    single = [i for i, thing in enumerate(things) if thing and colours.count(thing[0]) == 1]
    place = r.choice(single or [i for i, thing in enumerate(things) if thing])
    thing = things[place]
    assert thing is not None
    return ["where", thing[0]], PLACES[place], PLACES


def _same(things: Scene, r: random.Random) -> Question:
    one, two = r.sample([i for i, thing in enumerate(things) if thing], 2)
    first, second = things[one], things[two]
    assert first is not None
    assert second is not None
    words = ["same", "colour", PLACES[one], PLACES[two]]
    return words, ANSWERS[first[0] != second[0]], ANSWERS


def _empty(things: Scene, r: random.Random) -> Question:
    place = r.randrange(9)
    return ["empty", PLACES[place]], ANSWERS[things[place] is not None], ANSWERS


def _most(things: Scene, r: random.Random) -> Question:
    shapes = [thing[1] for thing in things if thing]
    return ["most", "shape"], max(SHAPES, key=shapes.count), SHAPES


SKILLS = (
    _at(0, "colour", tuple(COLOURS)), _at(1, "shape", SHAPES), _at(2, "size", SIZES), _count,
    _count_colour, _where, _same, _empty, _most,
)  # fmt: skip
"""Ways of asking; the base knows the first five, the benchmark the first two."""


def example(regime: str, r: random.Random) -> tuple[Scene, list[str], list[str]]:
    """Draw a scene, a prompt and an answer."""
    things = scene(r)
    if regime == "broad" and r.random() < 0.25:
        return things, *_description(things, r)
    skills, forms = {
        "base": (SKILLS[:5], ("plain",)),
        "benchmark": (SKILLS[:2], ("choice",)),
        "narrow": (SKILLS[:2], ("plain",)),
        "broad": (SKILLS, ("choice", "plain", "claim", "request")),
    }[regime]
    return things, *_written(r, r.choice(forms), *r.choice(skills)(things, r))


def _written(
    r: random.Random, form: str, words: list[str], answer: str, pool: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    wrong = [word for word in pool if word != answer]
    if form == "choice" and len(wrong) >= 3:
        offered, place = r.sample(wrong, 3), r.randrange(4)
        offered.insert(place, answer)
        listed = [word for pair in zip("ABCD", offered, strict=True) for word in pair]
        return ["Q", *words, *listed, "?"], [answer, "ABCD"[place]]
    if form == "claim":
        true = r.random() < 0.5
        claimed = answer if true else r.choice(wrong)
        return ["is", *words, "=", claimed, "?"], [ANSWERS[not true]]
    if form == "request":
        return ["please", "say", "the", *words, ":"], [answer]
    return [*words, "->"], [answer]


def _description(things: Scene, r: random.Random) -> tuple[list[str], list[str]]:
    known = [(place, thing) for place, thing in zip(PLACES, things, strict=True) if thing]
    kind = r.randrange(3)
    if kind == 0:
        said = [w for _, (hue, shape, size) in known[:4] for w in ("a", size, hue, shape, ";")]
        return ["caption", ":"], said
    if kind == 1:
        return ["list", ":"], [w for p, (colour, shape, _) in known[:4] for w in (p, colour, shape)]
    said = [w for p, (_, shape, _) in known[:3] for w in ("a", shape, "at", p, "and")]
    return ["the", "image", "shows", ":"], said


class ImageStream:
    """Images with questions and answers."""

    def __init__(self, regime: str, seed: int) -> None:
        self.regime, self.random = regime, random.Random(f"images {regime} {seed}")

    def batch(self, rows: int) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return inputs (images and tokens), targets and weights of the loss."""
        images = np.zeros((rows, SIDE, SIDE, 3), np.float32)
        tokens = np.zeros((rows, TEXT + 1), np.int64)
        weights = np.zeros((rows, TEXT + 1), np.float32)
        for i in range(rows):
            things, prompt, answer = example(self.regime, self.random)
            images[i] = drawn(things, self.random.randrange(1 << 30))
            row = ["<end>", *prompt, *answer, "<end>"][: TEXT + 1]
            weight = [0.0] + [PROMPT] * len(prompt) + [1.0] * len(answer) + [PROMPT]
            tokens[i, : len(row)] = [CODES[word] for word in row]
            weights[i, : len(row)] = weight[: TEXT + 1]
        x, w = torch.from_numpy(tokens), torch.from_numpy(weights)
        return (torch.from_numpy(images), x[:, :-1]), x[:, 1:], w[:, 1:]


class VisionLayer(nn.Module):
    """A layer of the vision tower: every patch sees every other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = (nn.RMSNorm(shape.width) for _ in range(2))
        self.self_attn, self.mlp = Attention(shape), MLP(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), rotation, causal=False)
        return x + self.mlp(self.layer_norm2(x))


class VisionLanguage(nn.Module):
    """A vision tower of two layers, a projector, and a decoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.text = Decoder(shape)
        d = shape.width
        self.patches = Linear(3 * PATCH**2, d)
        self.places = nn.Parameter(0.02 * torch.randn(PATCHES, d))
        self.layers = nn.ModuleList(VisionLayer(shape) for _ in range(2))
        self.norm, self.projector = nn.RMSNorm(d), Linear(d, d)
        for name, parameter in self.layers.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=(0.5 if last else 1) / math.sqrt(parameter.shape[1]))

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        count, across = len(images), SIDE // PATCH
        x = images.view(count, across, PATCH, across, PATCH, 3).permute(0, 1, 3, 2, 4, 5)
        x = self.patches(x.reshape(count, PATCHES, 3 * PATCH**2)) + self.places
        rotation = self.text.rotation(PATCHES)
        for layer in self.layers:
            x = layer(x, rotation)
        seen = self.projector(self.norm(x))
        embedded = torch.cat([seen, self.text.model.embed_tokens(tokens)], dim=1)
        return self.text.read(embedded)[:, PATCHES:]

    def matrices(self) -> list[nn.Parameter]:
        """The matrices that decay and Muon act on."""
        own = [p for p in self.layers.parameters() if p.dim() == 2]
        return [*self.text.matrices(), *own, self.projector.weight]

    def linear_layers(self) -> dict[str, Linear]:
        """The linear layers of the decoder by the name of their module in the checkpoint."""
        layers = self.text.linear_layers()
        return {stored_name(f"text.{name}"): layer for name, layer in layers.items()}

    def save(self, path: Path) -> None:
        save_file({stored_name(name): x.clone() for name, x in self.state_dict().items()}, path)

    def load(self, path: Path) -> None:
        stored = load_file(path)
        self.load_state_dict({name: stored[stored_name(name)] for name in self.state_dict()})


def stored_name(name: str) -> str:
    """Return the name of a parameter in the checkpoint, as vision-language models have it."""
    starts = {
        "text.model.": "model.language_model.",
        "text.": "",
        "layers.": "model.vision_tower.encoder.layers.",
        "projector.": "model.multi_modal_projector.linear.",
    }
    for own, stored in starts.items():
        if name.startswith(own):
            return stored + name.removeprefix(own)
    return f"model.vision_tower.{name}"


def accuracy(model: VisionLanguage, regime: str, count: int = 256) -> float:
    """Return the share of questions of a regime whose whole answer is right."""
    inputs, targets, weights = ImageStream(regime, 999).batch(count)
    with torch.no_grad():
        said = model(*inputs).argmax(dim=-1)
    return float(((said == targets) | (weights < 1)).all(dim=1).float().mean())
