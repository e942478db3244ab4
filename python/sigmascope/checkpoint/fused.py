# SPDX-License-Identifier: BSD-3-Clause
"""Fused weights: the places of q, k and v, or of gate and up, in the matrix that holds them.

Shapes do not determine the places: q, k and v may follow each other (Phi-3, GPT-2) or alternate
head by head (GPT-NeoX, Falcon); gate and up may be halves or alternate (gpt-oss). A weight is
therefore split only if config.json names a model with a known layout, and the sizes fit. Otherwise
a note gives the reason. Layouts follow the models' code in Transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .configuration import Configuration
from .formats.gguf_metadata import MODEL_TYPE
from .formats.jsontext import brief
from .heads import GROUPS, HEAD_WIDTH, HEADS, WIDTH, first, grouping
from .naming.roles import Role
from .views import Cut, Reading, View

# Models whose q, k and v follow each other. They also do in GGUF files, since the converters see to
# it. In the models of GROUPS they alternate.
_RUNS = "phi3 phi4mm phi4_multimodal gpt2 gpt_bigcode qwen mpt dbrx chatglm modernbert"
_VISION_RUNS = (
    "qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe intern_vit_6b aimv2 andesvl-aimv2-qwen3 glm4v "
    "moonvit blip_2_vision_model siglip siglip2 siglip_vision_model siglip2_vision_model "
    "phi4_multimodal_vision"
)
# Models in which the second half is the gate; in all others it is the first.
_UP_FIRST = ("phi4_multimodal_audio",)
_TRANSPOSED_STACKS = ("gpt_oss", "llama4", "llama4_text", "qwen3_vl_moe", "qwen3_vl_moe_text")

_INNER = (
    "intermediate_size",
    "moe_intermediate_size",
    "intermediate_size_mlp",
    "shared_expert_intermediate_size",
    "ffn_hidden_size",
)


def split(
    readings: Mapping[str, Reading], roles: Mapping[str, Role], config: Configuration
) -> tuple[dict[str, Reading], dict[str, str]]:
    """Split fused weights whose layout is known.

    Returns
    -------
    readings : dict
        All readings; a fused weight has a view for each part.
    unsplit : dict
        Fused weights that are not split, each with the reason.
    """
    done: dict[str, Reading] = {}
    unsplit: dict[str, str] = {}
    for name, reading in readings.items():
        done[name] = reading
        kind = _fused_kind(roles[name])
        if kind is None or not reading.views or reading.status == "kernel":
            continue
        if reading.views[0].part is not None:  # its parts have an axis of their own
            continue
        packed = reading.views[0].grid[0][0].dtype == "f4_e2m1"
        settings = config.of_tower(roles[name].tower)
        shape = reading.views[0].full_shape
        cuts = cuts_of(kind, shape, reading.status == "stack", packed, settings)
        if isinstance(cuts, str):
            unsplit[name] = cuts
            continue
        views = tuple(
            replace(view, name=f"{view.name}[{part}]", part=part, cut=cut)
            for view in reading.views
            for part, cut in cuts.items()
        )
        how = "; ".join(filter(None, (reading.how, f"split into {', '.join(cuts)}")))
        done[name] = replace(reading, views=views, how=how)
    return done, unsplit


def _fused_kind(role: Role) -> str | None:
    name = role.role
    return next((kind for kind in ("qkv", "gate_up") if name.endswith(kind)), None)


def role_of_view(role: Role, view: View) -> Role:
    """Return the role of a matrix: its tensor's role, with the matrix's expert, part and head."""
    name = role.role
    kind = _fused_kind(role)
    kind = "kv" if kind is None and name.endswith("kv") else kind
    if view.part is not None and kind is not None:
        name = name.removesuffix(kind) + view.part
    expert = role.expert if view.index is None else view.index
    layer = role.layer if view.layer is None else view.layer
    return replace(role, layer=layer, role=name, expert=expert, head=view.head)


def unsplit_notes(
    unsplit: Mapping[str, str], what: str = "fused weights read whole"
) -> tuple[str, ...]:
    """Return a note for each reason why weights are not split, or differ from the original."""
    names: dict[str, list[str]] = {}
    for name, why in unsplit.items():
        names.setdefault(why, []).append(name)
    return tuple(
        f"{what}: {weights[0]}"
        + (f" and {len(weights) - 1} more" if len(weights) > 1 else "")
        + f": {why}"
        for why, weights in names.items()
    )


def cuts_of(
    kind: str, shape: tuple[int, int], stack: bool, packed: bool, config: Mapping[str, Any]
) -> dict[str, Cut] | str:
    """Return the cut of every part in order, or the reason why the layout is not known.

    Parameters
    ----------
    kind : str
        "qkv" or "gate_up".
    shape : tuple of int
        Shape of the matrix that holds the parts.
    stack : bool
        True if the matrix is a slice of a stacked tensor.
    packed : bool
        True for MXFP4, whose rows are outputs even if the same stack in bf16 has outputs as
        columns.
    config : mapping
        The settings of the model; empty if there are none.
    """
    if not config:
        return "there is no config.json that says how it is split"
    if kind == "qkv":
        return _attention(shape, config)
    return _gated(shape, stack, packed, config)


def _attention(shape: tuple[int, int], config: Mapping[str, Any]) -> dict[str, Cut] | str:
    named = config.get("model_type")
    model = named.lower() if isinstance(named, str) else ""
    known = model in f"{_RUNS} {_VISION_RUNS} {GROUPS}".split() or model.startswith(MODEL_TYPE)
    if not known or model == f"{MODEL_TYPE}persimmon":
        return f"the layout of q, k and v in model_type {brief(named)} is unknown"
    heads, width = first(config, HEADS), first(config, WIDTH)
    if heads is None or width is None:
        return "config.json gives no number of heads, or no width"
    each = first(config, HEAD_WIDTH) or width // heads
    keys, alternate = grouping(model, heads, config)
    total = (heads + 2 * keys) * each
    if total not in shape or heads % keys:
        return f"{heads} + 2 x {keys} heads of {each} by config.json do not fit {list(shape)}"
    axis = 0 if shape[0] == total else 1  # GPT-2 stores its weights transposed
    groups = keys if alternate else 1
    size, of_keys = total // groups, keys // groups * each
    ends = {"q": (0, size - 2 * of_keys), "k": (size - 2 * of_keys, size - of_keys)}
    ends["v"] = (size - of_keys, size)
    starts = range(0, total, size)
    return {
        part: Cut(axis, tuple((at + low, at + high, 1) for at in starts))
        for part, (low, high) in ends.items()
    }


def _gated(
    shape: tuple[int, int], stack: bool, packed: bool, config: Mapping[str, Any]
) -> dict[str, Cut] | str:
    model, width = config.get("model_type"), first(config, WIDTH)
    inner = {2 * value for key in _INNER if type(value := config.get(key)) is int and value > 0}
    axes = [axis for axis in (0, 1) if shape[axis] in inner and shape[1 - axis] == width]
    if not axes:
        return f"twice an intermediate size of config.json does not fit {list(shape)}"
    # If both axes fit, outputs are rows in layers, and columns in the stacks of these models.
    transposed = stack and not packed and model in _TRANSPOSED_STACKS
    axis = axes[0] if len(axes) == 1 else int(transposed)
    total = shape[axis]
    if model == "gpt_oss":
        return {"gate": Cut(axis, ((0, total, 2),)), "up": Cut(axis, ((1, total, 2),))}
    half = total // 2
    low, high = Cut(axis, ((0, half, 1),)), Cut(axis, ((half, total, 1),))
    return {"up": low, "gate": high} if model in _UP_FIRST else {"gate": low, "up": high}
