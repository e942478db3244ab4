# SPDX-License-Identifier: BSD-3-Clause
"""Attention heads as matrices: number and width from config.json, and their places in weights.

A head of q, k or v is a range of outputs; a head of o is a range of inputs. Rows are outputs,
except in models that store their weights transposed (GPT-2's Conv1D), and where the usage of a
tensor says that rows are inputs. With grouped queries, k and v have fewer heads than q and o. Sizes
follow the models' code in Transformers. A matrix that does not fit them is not split, and a note
gives the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .configuration import Configuration
from .formats.jsontext import Members
from .naming.roles import Role
from .views import Cut, Reading, View

#: Models whose q, k and v alternate: for each key head its query heads, its keys, its values.
GROUPS = "gpt_neox gpt_neox_japanese bloom falcon refinedweb refinedwebmodel internlm2 persimmon"
#: Models that store weights with inputs as rows.
TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
WIDTH = ("n_embd", "embed_dim", "hidden_size", "d_model", "n_embed", "dim")
HEAD_WIDTH = ("head_dim", "kv_channels", "d_kv")
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "kv_n_heads")
_OF_TOWER = {
    "encoder": ("encoder_attention_heads",),
    "decoder": ("decoder_attention_heads",),
    "audio": ("encoder_attention_heads",),
}
_PARTS = ("q", "q_b", "k", "v", "o")
_PLACES = ("", "cross_", "pool_", "global_")


def first(settings: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """Return the first setting among some names that is a positive integer."""
    values = (settings.get(key) for key in keys)
    return next((value for value in values if type(value) is int and value > 0), None)


def key_heads(settings: Mapping[str, Any]) -> int | None:
    """Return the number of heads of keys and values, if the settings give it."""
    return first(settings, _KEY_HEADS)


def grouping(model: str, heads: int, settings: Mapping[str, Any]) -> tuple[int, bool]:
    """Return the number of key heads, and whether fused q, k and v alternate, for a model."""
    attention: Any = settings.get("attn_config")
    nested = dict(attention) if isinstance(attention, Members) else {}
    kv_heads = first(nested, _KEY_HEADS) or first(settings, _KEY_HEADS) or heads
    if model in ("falcon", "refinedweb", "refinedwebmodel"):
        if settings.get("new_decoder_architecture") is True or model == "refinedweb":
            return kv_heads, True
        return (1 if settings.get("multi_query", True) else heads), True
    if model == "gpt_bigcode":
        return (1, False) if settings.get("multi_query", True) else (heads, True)
    if model == "chatglm":
        grouped = settings.get("multi_query_attention") is True
        return (first(settings, ("multi_query_group_num",)) or heads), not grouped
    if model == "mpt" and nested.get("attn_type") == "multiquery_attention":
        return 1, False
    return kv_heads, model in GROUPS.split()


def by_heads(
    readings: Mapping[str, Reading],
    roles: Mapping[str, Role],
    config: Configuration,
    inputs_first: Mapping[str, bool | None],
) -> tuple[dict[str, Reading], dict[str, str]]:
    """Cut q, k, v and o into heads.

    Parameters
    ----------
    readings : mapping
        The readings of all tensors, after fused weights are split.
    roles : mapping
        Role of every matrix, by the name of its view.
    inputs_first : mapping
        Tensors whose usage in the file says whether their rows are inputs.

    Returns
    -------
    readings : dict
        All readings, with a view for each head.
    unsplit : dict
        Matrices that are not split, each with the reason.
    """
    done: dict[str, Reading] = {}
    unsplit: dict[str, str] = {}
    for name, reading in readings.items():
        views: list[View] = []
        heads = 0
        for view in reading.views:
            cuts = _cuts(view, roles[view.name], config, inputs_first.get(view.tensor))
            if isinstance(cuts, str):
                unsplit[view.name] = cuts
            heads += len(cuts) if isinstance(cuts, list) else 0
            views += _each(view, cuts) if isinstance(cuts, list) else [view]
        done[name] = reading
        if heads:
            how = "; ".join(filter(None, (reading.how, f"by heads, {len(views)} matrices")))
            done[name] = replace(reading, views=tuple(views), how=how)
    return done, unsplit


def _each(view: View, cuts: list[Cut]) -> list[View]:
    return [
        replace(view, name=f"{view.name}[head {head}]", head=head, cut=cut)
        for head, cut in enumerate(cuts)
    ]


def _cuts(
    view: View, role: Role, config: Configuration, inputs_first: bool | None
) -> list[Cut] | str | None:
    """Return the cuts of all heads, or why they are not known; None for weights without heads."""
    place = next((p for p in reversed(_PLACES) if role.role.startswith(p)), "")
    part = role.role.removeprefix(place)
    if part not in _PARTS:
        return None
    settings = config.of_tower(role.tower)
    if not settings:
        return "there is no config.json that gives its heads"
    count = _count(part, role.tower, settings)
    if count is None:
        return "config.json gives no number of heads"
    width = _width(part, role.tower, settings)
    transposed = settings.get("model_type") in TRANSPOSED if inputs_first is None else inputs_first
    axis = view.cut.axis if view.cut is not None else int((part == "o") != transposed)
    extent = view.full_shape[axis] if view.cut is None else view.cut.extent()
    if width is None or count * width != extent:
        what = ("rows", "columns")[axis]
        return f"{count} heads of {width} by config.json do not fit {extent} {what}"
    return [within(view.cut, axis, head * width, (head + 1) * width) for head in range(count)]


def _heads(tower: str, settings: Mapping[str, Any]) -> int | None:
    return first(settings, _OF_TOWER.get(tower, ()) + HEADS)


def _count(part: str, tower: str, settings: Mapping[str, Any]) -> int | None:
    heads = _heads(tower, settings)
    if heads is None or part not in ("k", "v"):
        return heads
    named = settings.get("model_type")
    return grouping(named.lower() if isinstance(named, str) else "", heads, settings)[0]


def _width(part: str, tower: str, settings: Mapping[str, Any]) -> int | None:
    if first(settings, ("kv_lora_rank",)):  # DeepSeek's latent attention
        keys = ("v_head_dim",) if part in ("v", "o") else ("qk_nope_head_dim", "qk_rope_head_dim")
        sizes = [first(settings, (key,)) for key in keys]
        return sum(size for size in sizes if size) if all(sizes) else None
    heads, width = _heads(tower, settings), first(settings, WIDTH)
    return first(settings, HEAD_WIDTH) or (width // heads if width and heads else None)


def within(cut: Cut | None, axis: int, start: int, stop: int) -> Cut:
    """Return the cut of rows or columns start to stop within another cut."""
    if cut is None:
        return Cut(axis, ((start, stop, 1),))
    runs: list[tuple[int, int, int]] = []
    position = 0
    for begin, end, step in cut.runs:
        count = len(range(begin, end, step))
        low, high = max(start - position, 0), min(stop - position, count)
        if low < high:
            runs.append((begin + low * step, begin + (high - 1) * step + 1, step))
        position += count
    return Cut(cut.axis, tuple(runs))
