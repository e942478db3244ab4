# SPDX-License-Identifier: BSD-3-Clause
"""Whether products change the matrices of a stack, or the transposes of these.

PEFT takes a stack for experts x outputs x inputs, or for experts x inputs x outputs if the class of
its module has `is_transposed`, so that B A is the change of a matrix, or its transpose. Earlier
versions did otherwise. Shapes tell the two apart where a matrix is not square.
"""

from __future__ import annotations

from sigmascope.checkpoint import Checkpoint

from .settings import Version

_INPUTS_AS_ROWS = ("gptoss", "gpt_oss", "openaiprivacyfilter", "openai_privacy_filter")
"""Models whose class tells PEFT that stacks are experts x inputs x outputs (`is_transposed`)."""

_LOADED_AS_OUTPUTS = ("qwen3vlmoe", "qwen3_vl_moe")
"""Models whose stacks transformers 5 loads as experts x outputs x inputs, stored in either way."""

_SWAPPED, _HEEDED = (0, 19, 1), (0, 19, 0)
"""Versions of PEFT since which the factors are those of experts x outputs x inputs by default, and
since which `is_transposed` counts."""


def has_transposed_products(base: Checkpoint) -> bool:
    """Tell whether products are the transposes of the changes of stored stacks, in PEFT 0.20."""
    return _class_is_transposed(base) or _is_stored_transposed(base)


def unknown_orientation(base: Checkpoint, version: Version | None) -> str | None:
    """Return why it is not known whether products of square matrices are transposed, or None."""
    lost = (
        "the matrices of the stack are square: whether the change is B A or its transpose depends"
    )
    if version is None:
        return f"{lost} on the version of PEFT, and adapter_config.json has no peft_version"
    if base.architecture is None:
        return f"{lost} on the class of the model, and {base.path} has no config.json that names it"
    return None


def is_transposed(base: Checkpoint, version: Version, *, stored_as_codes: bool) -> bool:
    """Tell whether a product is the transpose of the change of a matrix of a stack.

    Parameters
    ----------
    version
        That of PEFT, by which the adapter was written.
    stored_as_codes
        True if the base has codes in blocks (MXFP4). These are stored with outputs as rows, and
        transposed when transformers decodes them.
    """
    flag = _class_is_transposed(base)
    turned = flag if version >= _SWAPPED else not (flag and version >= _HEEDED)
    stored = flag if stored_as_codes else _is_stored_transposed(base)
    return turned != stored


def _class_is_transposed(base: Checkpoint) -> bool:
    return (base.architecture or "").lower().startswith(_INPUTS_AS_ROWS)


def _is_stored_transposed(base: Checkpoint) -> bool:
    """Tell whether stacks are transposed when they are loaded."""
    model = (base.architecture or "").lower()
    return model.startswith(_LOADED_AS_OUTPUTS) and _has_inputs_as_rows(base)


def _has_inputs_as_rows(base: Checkpoint) -> bool:
    """Tell whether stacks are experts x inputs x outputs, by those of the first layer.

    The columns of an expert's second matrix are then the rows of its first one, and not half of
    these.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for record in base.info():
        if record["status"] == "stack":
            shapes.setdefault(record["name"].rpartition(".")[2], record["shape"])
    first, second = shapes.get("gate_up_proj"), shapes.get("down_proj")
    return first is not None and second is not None and first[1] == second[2]
