# SPDX-License-Identifier: BSD-3-Clause
"""GPTQ, AWQ and AutoRound: 32-bit words of codes, whose matrix has inputs as rows.

GPTQ (`qweight` (words of inputs, out), `qzeros` (groups, words of out), `scales` (groups, out),
`g_idx` (in)) packs inputs down the columns; codes of 3 bits cross words. Version 1 stores zero
minus one; AutoGPTQ adds one and keeps as many bits as a code has. AWQ (`qweight` (in, words of
out)) packs outputs along rows, in a special order. A weight is (code - zero) * scale with the scale
as stored: the difference is exact, and the product is rounded once.

GPTQModel's `dynamic` gives settings of some modules by regular expressions. These come with the
file and are not matched; instead, the shapes give bits and group size. AutoRound stores the tensors
of GPTQ version 1 or of AWQ, as its `packing_format` says; `extra_config` has settings by module.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import Members, brief
from sigmascope.checkpoint.views import Located
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import (
    FLOATS,
    GroupedWeight,
    GroupTensors,
    LayoutError,
    Module,
    block_groups,
    groups_of,
    read_groups,
    read_integers,
    read_numbers,
)
from .tables import AWQ_ORDER, dense, integers, unpacked

_BITS = (2, 3, 4, 8)


def gptq_weight(module: Module) -> GroupedWeight:
    """Interpret a weight of GPTQ.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    version = _version(module)
    codes = module.need(".qweight", ("I32", "U32"), (2,))
    words, outputs = codes.entry.shape
    index = module.find(".g_idx")
    if index is not None:
        index = module.need(".g_idx", ("I32", "I64"), (1,))
        if module.settings.get("dynamic") is not None:
            module = _by_shapes(module, words, index.entry.shape[0])
    bits = module.integer("bits", *_BITS)
    inputs = words * 32 // bits if index is None else index.entry.shape[0]
    packing = Packing((inputs, outputs), bits, dense(bits), down=True)
    if packing.words(inputs) != words:
        raise LayoutError(
            f"{codes.entry.name} has {words} rows of words, where {inputs} inputs of {bits} bits "
            f"have {packing.words(inputs)}"
        )
    how = _how(module, f"GPTQ version {version}", bits, inputs)
    how += "" if index is None else ", by g_idx"
    return _weight(module, codes, packing, _tensors(module, packing, index), how, version)


def awq_weight(module: Module) -> GroupedWeight:
    """Interpret a weight of AWQ, for its GEMM kernel.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    bits = module.integer("bits", 4)
    version = module.settings.get("version", "gemm")
    if not isinstance(version, str) or version.lower() != "gemm":
        raise LayoutError(
            f"the layout of version {brief(version)} is not decoded; only that of gemm is"
        )
    codes = module.need(".qweight", ("I32", "U32"), (2,))
    inputs, words = codes.entry.shape
    packing = Packing((inputs, 8 * words), bits, AWQ_ORDER)
    how = _how(module, "AWQ", bits, inputs)
    return _weight(module, codes, packing, _tensors(module, packing, None), how, None)


def auto_round_weight(module: Module) -> GroupedWeight:
    """Interpret a weight of AutoRound.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    settings = dict(module.settings)
    own = settings.pop("extra_config", None)
    if isinstance(own, Members):
        of_module = dict(own).get(module.stem)
        settings |= dict(of_module) if isinstance(of_module, Members) else {}
    module = Module(module.stem, module.tensors, settings)
    packing = settings.get("packing_format")
    if packing == "auto_round:auto_gptq":
        return gptq_weight(module)
    if packing == "auto_round:auto_awq":
        return awq_weight(module)
    raise LayoutError(
        f"packing_format {brief(packing)} is not decoded; only those of GPTQ and AWQ are"
    )


def _by_shapes(module: Module, words: int, inputs: int) -> Module:
    """Return a module with the bits and the group size that its tensors' shapes imply."""
    scales = module.need(".scales", FLOATS, (2,))
    fitting = [
        bits for bits in _BITS if Packing((inputs, 1), bits, dense(bits)).words(inputs) == words
    ]
    groups = scales.entry.shape[0]
    if len(fitting) != 1 or inputs % groups:
        raise LayoutError(
            f"{inputs} inputs in {words} words and {groups} groups fit no number of bits and group "
            "size"
        )
    settings = {**module.settings, "bits": fitting[0], "group_size": inputs // groups}
    return Module(module.stem, module.tensors, settings)


def _version(module: Module) -> int:
    settings = module.settings
    kind = settings.get("checkpoint_format", settings.get("format", "gptq"))
    if settings.get("is_marlin_format"):
        kind = "marlin"
    if kind not in ("gptq", "gptq_v2"):
        raise LayoutError(
            f"checkpoint_format {brief(kind)} is not decoded; only gptq and gptq_v2 are"
        )
    if settings.get("pack_dtype", "int32") not in ("int32", "torch.int32"):
        raise LayoutError(
            f"pack_dtype {brief(settings['pack_dtype'])} is not decoded; only int32 is"
        )
    return 1 if kind == "gptq" else 2


def _group_size(module: Module, inputs: int) -> int:
    size = module.integer("group_size")
    return inputs if size == -1 else size


def _tensors(module: Module, packing: Packing, index: Located | None) -> GroupTensors:
    """Return scales and zeros, whose shapes must fit the codes and the groups."""
    inputs, outputs = packing.shape
    scales = module.need(".scales", FLOATS, (2,))
    zeros = module.need(".qzeros", ("I32", "U32"), (2,))
    groups = scales.entry.shape[0]
    size = _group_size(module, inputs)
    groups_of(inputs, size, groups, scales.entry.name)
    module.check_shape(scales, (groups, outputs))
    words = Packing((1, outputs), packing.bits, packing.order).words(outputs)
    module.check_shape(zeros, (groups, words))
    return GroupTensors(scales, zeros, (size, 1), index)


def _weight(
    module: Module,
    codes: Located,
    packing: Packing,
    tensors: GroupTensors,
    how: str,
    version: int | None,
) -> GroupedWeight:
    name, scales = module.stem + ".weight", (tensors.scales.entry.name,)
    load = partial(_load, packing, tensors, version)
    return GroupedWeight(name, codes, packing, load, scales, tensors.others, how, True)


def _load(
    packing: Packing, tensors: GroupTensors, version: int | None, reading: str, _: int
) -> GroupCodes:
    inputs, outputs = packing.shape
    grid = read_numbers(tensors.scales, reading)
    indices: NDArray[np.int32] | None = None
    if tensors.index is not None:
        indices = read_groups(tensors.index, reading, inputs, len(grid))
    assert tensors.zeros is not None
    zeros = read_integers(tensors.zeros, reading)
    codes = unpacked(zeros, packing.bits, packing.order, outputs)
    if version == 1:
        codes = (codes + np.uint8(1)) & np.uint8((1 << packing.bits) - 1)
    rows, columns = block_groups(packing.shape, tensors.size)
    groups = (rows if indices is None else indices, columns)
    return GroupCodes(packing, integers(packing.bits), groups, grid, codes.astype(np.float32))


def _how(module: Module, layout: str, bits: int, inputs: int) -> str:
    return f"{layout}, {bits} bits, scale and zero per {_group_size(module, inputs)} inputs"
