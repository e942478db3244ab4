# SPDX-License-Identifier: BSD-3-Clause
"""Whether products change the matrices of a stack, or their transposes.

PEFT reads a stack as experts x outputs x inputs, or as experts x inputs x outputs if the class of
its module has `is_transposed`. B A is then the change of a matrix, or its transpose. Earlier
versions of PEFT did not do this. If a matrix is not square, its shape tells which of the two it is.
"""

from __future__ import annotations

from sigmascope.checkpoint import Checkpoint

from .settings import Version

_INPUTS_AS_ROWS = ("gptoss", "gpt_oss", "openaiprivacyfilter", "openai_privacy_filter")
"""Models whose class tells PEFT that stacks are experts x inputs x outputs (`is_transposed`)."""

_LOADED_AS_OUTPUTS = ("qwen3vlmoe", "qwen3_vl_moe")
"""Models whose stacks transformers 5 loads as experts x outputs x inputs, from either order."""

_SWAPPED, _HEEDED = (0, 19, 1), (0, 19, 0)
"""The first version of PEFT whose factors belong to experts x outputs x inputs by default, and the
first version in which `is_transposed` counts."""


def has_transposed_products(base: Checkpoint) -> bool:
    """Return whether products of PEFT 0.20 are transposes of the changes of stored stacks."""
    return _class_is_transposed(base) or _is_stored_transposed(base)


def unknown_orientation(base: Checkpoint, version: Version | None) -> str | None:
    """Return why the orientation of products of square matrices is unknown; None if it is known."""
    lost = (
        "the matrices of the stack are square: whether the change is B A or its transpose depends"
    )
    if version is None:
        return f"{lost} on the version of PEFT, and adapter_config.json has no peft_version"
    if base.architecture is None:
        return f"{lost} on the class of the model, and {base.path} has no config.json that names it"
    return None


def is_transposed(base: Checkpoint, version: Version, *, stored_as_codes: bool) -> bool:
    """Return whether a product is the transpose of the change of a stacked matrix.

    Parameters
    ----------
    version
        Version of PEFT that wrote the adapter.
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
    """Return whether stacks are transposed when they are loaded."""
    model = (base.architecture or "").lower()
    return model.startswith(_LOADED_AS_OUTPUTS) and _has_inputs_as_rows(base)


def _has_inputs_as_rows(base: Checkpoint) -> bool:
    """Return whether the stacks of the first layer are experts x inputs x outputs.

    In that case the columns of an expert's second matrix are as many as the rows of its first one,
    not half as many.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for record in base.info():
        if record["status"] == "stack":
            shapes.setdefault(record["name"].rpartition(".")[2], record["shape"])
    first, second = shapes.get("gate_up_proj"), shapes.get("down_proj")
    return first is not None and second is not None and first[1] == second[2]
