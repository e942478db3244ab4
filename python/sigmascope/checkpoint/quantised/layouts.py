# SPDX-License-Identifier: BSD-3-Clause
"""Quantised layouts: the codes, scales and tables that form one packed weight.

These tensors can look like matrices (the scales of a 4-bit weight are two-dimensional and floating
point), so they must be recognised even if the codes are not decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sigmascope.checkpoint.formats.entries import Header, TensorEntry, is_integer
from sigmascope.checkpoint.formats.ggml import BLOCK_DTYPES

from .hqq import CODES as HQQ_CODES
from .hqq import PARTS as HQQ_PARTS
from .mxfp4 import packed_scales
from .scales import is_quantised, scale_names
from .torchao import ACTIVATIONS
from .torchao import CODES as TORCHAO_CODES


@dataclass(frozen=True, slots=True)
class Part:
    """Status of a tensor that is part of another weight, and the reason why it has no matrix.

    `status` is "unreadable" for codes that are not decoded. For a "scale" or a "part", `owner` is
    the name of the codes that it belongs to.
    """

    status: str
    reason: str
    owner: str | None = None

    @classmethod
    def of(cls, owner: str, status: str) -> Part:
        """Describe a "scale" or a "part" of some codes."""
        return cls(status, f"{status} of {owner}", owner)


# (end of the codes' name, ends of the scales' names, ends of other parts, layout)
_LAYOUTS = (
    (".qweight", (".scales",), (".qzeros", ".g_idx"), "GPTQ or AWQ"),
    (
        ".weight_packed",
        (".weight_scale", ".weight_global_scale"),
        (".weight_shape", ".weight_zero_point", ".weight_g_idx"),
        "compressed-tensors",
    ),
    ("_blocks", ("_scales",), (), "MXFP4"),
    (".blocks", (".scales",), (), "MXFP4"),
    (".q_weight", (".q_scale", ".q_scale_max"), (".q_groups", ".q_invperm"), "EXL2"),
    (".codes", (".scales",), (".codebooks",), "AQLM"),
    (HQQ_CODES, (".scale",), HQQ_PARTS, "HQQ"),
    (
        "_proj",
        ("_proj_weight_scale", "_proj_weight_scale_2"),
        ("_proj_input_scale",),
        "modelopt",
    ),
    (
        TORCHAO_CODES,
        ("_scale", "_scale_and_zero", "_per_tensor_scale"),
        ("_zero_point", "_act_pre_scale", *ACTIVATIONS),
        "torchao",
    ),
    (
        ".weight",
        (".weight.absmax", ".weight.nested_absmax", ".SCB"),
        (".weight.quant_map", ".weight.nested_quant_map", ".weight_format"),
        "bitsandbytes",
    ),
)

TIED = "shares storage with "
"""Start of the reason of a tied tensor; the name of the other tensor follows."""

_BITSANDBYTES_STATE = ".quant_state.bitsandbytes__"


def quantised_parts(entries: Mapping[str, TensorEntry], method: str | None) -> dict[str, Part]:
    """Find the tensors that belong to packed weights, and their status.

    Parameters
    ----------
    entries : mapping
        All tensors of the checkpoint by name.
    method : str or None
        `quant_method` of the model's configuration, which names the layout.
    """
    parts: dict[str, Part] = {}
    for name, entry in entries.items():
        if entry.foreign or not _has_codes(entry, method):
            continue
        if scale := packed_scales(entry, entries):
            parts[scale.name] = Part.of(name, "scale")
            continue
        for ending, scales, others, layout in _LAYOUTS:
            if name.endswith(ending):
                stem = name.removesuffix(ending)
                kinds = {stem + end: "scale of" for end in scales}
                kinds |= {stem + end: "part of" for end in others}
                kinds |= _states(name, entries)
                _add(parts, entries, name, kinds, method or layout)
    for name, entry in entries.items():
        if name not in parts and is_quantised(entry.dtype) and not packed_scales(entry, entries):
            kinds = dict.fromkeys(scale_names(name, entries), "scale of")
            if entry.dtype in ("F8_E4M3", "F8_E5M2", *BLOCK_DTYPES):
                parts |= {part: Part.of(name, "scale") for part in kinds}
            else:
                _add(parts, entries, name, kinds, method or "codes with scales")
    return parts


def _has_codes(entry: TensorEntry, method: str | None) -> bool:
    """Return whether a tensor may hold codes; some layouts store them in floating point dtypes."""
    if is_integer(entry.dtype) or entry.name.endswith(TORCHAO_CODES):
        return True
    return method == "hqq" and entry.name.endswith(HQQ_CODES)


def tied_parts(entries: Iterable[tuple[Header, TensorEntry]]) -> dict[str, Part]:
    """Find the tensors that are second names of others, since they share bytes of a file."""
    seen: dict[tuple[object, ...], str] = {}
    parts: dict[str, Part] = {}
    for header, entry in entries:
        place = (header.path, entry.offset, entry.dtype, entry.shape, entry.strides)
        if entry.nbytes and seen.setdefault(place, entry.name) != entry.name:
            parts[entry.name] = Part("tied", TIED + seen[place])
    return parts


def _states(name: str, entries: Mapping[str, TensorEntry]) -> dict[str, str]:
    states = (name + _BITSANDBYTES_STATE + kind for kind in ("nf4", "fp4"))
    return {state: "part of" for state in states if state in entries}


def _add(
    parts: dict[str, Part],
    entries: Mapping[str, TensorEntry],
    name: str,
    kinds: Mapping[str, str],
    layout: str,
) -> None:
    present = {part: what for part, what in kinds.items() if part in entries}
    if not present:
        return
    reason = f"quantised weight ({layout}): {entries[name].dtype} codes are not decoded"
    parts[name] = Part("unreadable", reason)
    for part, what in present.items():
        status = "scale" if what == "scale of" else "part"
        parts.setdefault(part, Part.of(name, status))
