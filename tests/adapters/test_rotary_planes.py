# SPDX-License-Identifier: BSD-3-Clause
"""The planes of rotary embeddings, and bounds over all rotations, against explicit rotations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.families import FAMILIES
from tests.support.rotations import largest_by_ascent, rotation_matrix, triangle

import sigmascope as ss
from sigmascope.adapters import Circuits, LogitBound, RotaryPlanes, circuits_of

Array = NDArray[np.float64]
SELF = "model.layers.0.self_attn"


class Model:
    """One attention module in memory, with the settings of its model."""

    def __init__(self, tensors: dict[str, Array], settings: dict[str, Any]) -> None:
        class Configuration:
            @staticmethod
            def to_dict() -> dict[str, Any]:
                return settings

        self.tensors, self.config = tensors, Configuration

    def state_dict(self) -> dict[str, Array]:
        return self.tensors


def circuits(q: Array, k: Array, **settings: Any) -> Circuits:
    """The circuits of one head, with a gain of 1 in the norm before attention."""
    rank, d = q.shape
    tensors = {
        f"{SELF}.{part}_proj.weight": x for part, x in zip("qkv", (q, k, 2 * k), strict=True)
    }
    tensors[f"{SELF}.o_proj.weight"] = k.T.copy()
    tensors["model.layers.0.input_layernorm.weight"] = np.ones(d)
    usual = {"model_type": "llama", "num_attention_heads": 1, "hidden_size": d, "head_dim": rank}
    return circuits_of(ss.open_checkpoint(Model(tensors, usual | settings), circuits=True))


def head(rank: int, d: int, kind: str, seed: int = 0) -> tuple[Array, Array]:
    """W_q and W_k: Gaussian, with rows of very unequal size, or with one large direction."""
    rng = np.random.default_rng(seed)
    q, k = rng.standard_normal((2, rank, d))
    if kind == "unequal":
        q, k = (x * np.exp(2 * rng.standard_normal((rank, 1))) for x in (q, k))
    elif kind == "spiked":
        q, k = (x + 3 * np.outer(rng.standard_normal(rank), rng.standard_normal(d)) for x in (q, k))
    return q, k


def results(q: Array, k: Array, **settings: Any) -> tuple[RotaryPlanes, LogitBound]:
    mapping = circuits(q, k, **settings)
    planes, bound = mapping.planes(f"{SELF}[qk 0]"), mapping.logit_bound(f"{SELF}[qk 0]")
    assert planes is not None
    assert bound is not None
    return planes, bound


PARTIAL = {"model_type": "phi", "partial_rotary_factor": 0.5}
NEIGHBOURS = {"model_type": "gptj", "rotary_dim": 12}
SETTINGS: list[dict[str, Any]] = [{}, PARTIAL, NEIGHBOURS, {"model_type": "cohere"}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["gaussian", "unequal", "spiked"])
def test_planes_are_those_of_explicit_rotations(kind: str, settings: dict[str, Any]) -> None:
    q, k = head(16, 40, kind)
    planes, _ = results(q, k, **settings)
    angles = np.linspace(0, 2 * math.pi, 2000)
    for (one, two), same, largest in zip(
        planes.rows, planes.same_position, planes.any_positions, strict=True
    ):
        of_q, of_k = q[[one, two]], k[[one, two]]
        assert same == pytest.approx(np.linalg.norm(of_q.T @ of_k, 2), rel=1e-12)
        turns = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
        left, right = (triangle(x) for x in (of_q, of_k))
        norms = np.linalg.norm(left @ turns.transpose(2, 0, 1) @ right.T, 2, axis=(1, 2))
        assert norms.max() <= largest * (1 + 1e-12)
        assert norms.max() == pytest.approx(largest, rel=1e-5)  # attained by some angle
    rest = [row for row in range(16) if row not in planes.rows]
    rest_norm = np.linalg.norm(q[rest].T @ k[rest], 2) if rest else 0.0
    assert planes.unrotated == pytest.approx(rest_norm, rel=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["gaussian", "unequal", "spiked"])
def test_no_rotation_exceeds_the_bound(kind: str, settings: dict[str, Any]) -> None:
    """An ascent over all angles looks for a counterexample, and comes close to the bound."""
    q, k = head(16, 40, kind)
    planes, bound = results(q, k, **settings)
    size = bound.same_position / np.linalg.norm(q.T @ k, 2)
    largest = size * largest_by_ascent(q, k, planes.rows, starts=6)
    assert largest <= bound.any_positions * (1 + 1e-10)
    assert bound.any_positions <= 1.1 * largest
    assert bound.any_positions >= bound.same_position * (1 - 1e-12)
    norms = np.linalg.norm(q, 2) * np.linalg.norm(k, 2)
    summed = planes.any_positions.sum() + planes.unrotated
    assert bound.any_positions <= size * min(norms, summed) * (1 + 1e-12)


def test_every_distance_is_within_the_bound() -> None:
    q, k = head(16, 40, "spiked")
    planes, bound = results(q, k, rope_theta=10000.0)
    size = bound.same_position / np.linalg.norm(q.T @ k, 2)
    assert planes.frequencies is not None
    np.testing.assert_allclose(planes.frequencies, 10000.0 ** (-np.arange(8) / 8), rtol=1e-14)
    for distance in (*range(300), 10**4, 10**6):
        turn = rotation_matrix(planes.rows, distance * planes.frequencies, 16)
        assert size * np.linalg.norm(q.T @ turn @ k, 2) <= bound.any_positions * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gains_of_q_and_k_bound_every_rotation(seed: int, tmp_path: Path) -> None:
    mapping = circuits_of(FAMILIES["qwen3"].opened(tmp_path, seed, circuits=True))
    name = f"{SELF}[qk 0]"
    planes, bound = mapping.planes(name), mapping.logit_bound(name)
    assert planes is not None
    assert bound is not None
    gains = [mapping.checkpoint.elements(f"{SELF}.{part}_norm.weight") for part in "qk"]
    of_q, of_k = (np.concatenate([np.ravel(x) for x in each or ()]) for each in gains)
    largest = largest_by_ascent(np.diag(of_q), np.diag(of_k), planes.rows, starts=20)
    assert math.sqrt(8) * largest == pytest.approx(bound.any_positions, rel=1e-9)


def test_layers_without_positions_have_no_planes() -> None:
    q, k = head(8, 20, "gaussian")
    settings: dict[str, Any] = {"model_type": "smollm3", "no_rope_layers": [0]}
    planes, bound = results(q, k, **settings)
    assert planes.rows.shape == (0, 2)
    assert planes.unrotated == pytest.approx(np.linalg.norm(q.T @ k, 2), rel=1e-12)
    assert bound.same_position == bound.any_positions


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_bounds_of_very_small_and_large_weights(size: float) -> None:
    q, k = head(8, 20, "spiked")
    (_, usual), (_, scaled) = results(q, k), results(q * size, k / size)
    for one, two in zip(usual, scaled, strict=True):
        assert two == pytest.approx(one, rel=1e-3)


def test_planes_of_zero_weights_have_norm_zero() -> None:
    q, k = head(8, 20, "gaussian")
    q[[2, 6]] = 0  # the two rows of plane 2
    planes, bound = results(q, k)
    assert planes.any_positions[2] == 0
    assert bound.any_positions > 0
    _, zero = results(0 * q, k)
    assert zero == (0, 0)


def test_pairs_that_are_not_known_give_no_planes(tmp_path: Path) -> None:
    q, k = head(8, 20, "gaussian")
    mapping = circuits(q, k, model_type="unheard-of")
    assert mapping.planes(f"{SELF}[qk 0]") is None
    odd = circuits(q, k, model_type="phi", partial_rotary_factor=0.4)  # 3 rows do not form planes
    assert odd.planes(f"{SELF}[qk 0]") is None
    bound = odd.logit_bound(f"{SELF}[qk 0]")
    assert bound is not None
    largest = np.linalg.norm(q, 2) * np.linalg.norm(k, 2) * 20 / math.sqrt(8)
    assert bound.any_positions == pytest.approx(largest, rel=1e-12)
    with pytest.raises(ValueError, match="its role is 'ov', not 'qk'"):
        odd.planes(f"{SELF}[ov 0]")


@pytest.mark.parametrize(
    "settings",
    [
        {},  # without rope_theta
        {"rope_theta": 1e4, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        {"rope_theta": 1e4, "rope_local_base_freq": 1e3},
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0}},
    ],
)
def test_frequencies_that_are_not_known_are_absent(settings: dict[str, Any]) -> None:
    planes, _ = results(*head(8, 20, "gaussian"), **settings)
    assert planes.frequencies is None


def test_layers_of_several_types_have_their_own_frequencies() -> None:
    parameters = {
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    settings: dict[str, Any] = {"rope_parameters": parameters, "layer_types": ["sliding_attention"]}
    planes, _ = results(*head(8, 20, "gaussian"), **settings)
    assert planes.frequencies is not None
    assert planes.frequencies[1] == pytest.approx(0.1)
    scaled = parameters | {"full_attention": {"rope_type": "yarn", "rope_theta": 1e6}}
    mapping = circuits(*head(8, 20, "gaussian"), rope_parameters=scaled)
    assert mapping.logit_bound(f"{SELF}[qk 0]") is None
    assert mapping.planes(f"{SELF}[qk 0]") is None  # which parameters layer 0 has is not stated
